//! What this service alone counts, and the facts that it reads from Postgres for everybody.

use domain::task::{Kind, State};
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use store::{Counts, End};

/// The orchestrator's metrics.
pub(crate) struct Metrics {
    orders_ended: IntCounterVec,
    asks_ended: IntCounterVec,
    deliveries_tried: IntCounterVec,
    swept: IntCounter,
    live: IntGaugeVec,
    oldest: IntGauge,
}

impl Metrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// When a name is taken.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str| -> Result<IntCounterVec, prometheus::Error> {
            let counter = IntCounterVec::new(Opts::new(name, help), &["outcome"])?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let orders_ended = counters("chavion_orchestrator_orders_ended_total", "Orders that ended, by state.")?;
        let asks_ended = counters("chavion_orchestrator_asks_ended_total", "Asks that ended, by outcome.")?;
        let deliveries_tried =
            counters("chavion_orchestrator_deliveries_tried_total", "Deliveries that were tried, by outcome.")?;
        let swept = IntCounter::new(
            "chavion_orchestrator_swept_total",
            "Tasks that the sweep announced again because they sat too long.",
        )?;
        let live = IntGaugeVec::new(
            Opts::new("chavion_tasks_live", "Tasks that have not ended, by kind and state, as Postgres has them."),
            &["kind", "state"],
        )?;
        let oldest = IntGauge::new(
            "chavion_tasks_oldest_live_seconds",
            "Age of the oldest task that has not ended, in seconds; 0 when there is none.",
        )?;
        registry.register(Box::new(swept.clone()))?;
        registry.register(Box::new(live.clone()))?;
        registry.register(Box::new(oldest.clone()))?;
        Ok(Self { orders_ended, asks_ended, deliveries_tried, swept, live, oldest })
    }

    /// Counts an order that ended.
    pub(crate) fn ended(&self, state: State) {
        self.orders_ended.with_label_values(&[state.as_str()]).inc();
    }

    /// Counts an ask that ended.
    pub(crate) fn asked(&self, end: &End) {
        self.asks_ended.with_label_values(&[outcome(end)]).inc();
    }

    /// Counts a try to deliver.
    pub(crate) fn delivered(&self, end: &End) {
        self.deliveries_tried.with_label_values(&[outcome(end)]).inc();
    }

    /// Counts what a sweep found.
    pub(crate) fn swept(&self, found: usize) {
        self.swept.inc_by(u64::try_from(found).unwrap_or(u64::MAX));
    }

    /// Publishes what Postgres says; what it no longer lists is zero.
    pub(crate) fn facts(&self, counts: &Counts) {
        for kind in Kind::ALL {
            for state in State::ALL.iter().filter(|state| !state.is_terminal()) {
                let found = counts.live.iter().find(|count| count.kind == *kind && count.state == *state);
                self.live.with_label_values(&[kind.as_str(), state.as_str()]).set(found.map_or(0, |count| count.count));
            }
        }
        let age = counts.oldest_live.map_or(0, |age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
        self.oldest.set(age);
    }
}

fn outcome(end: &End) -> &'static str {
    match end {
        End::Completed { .. } => "completed",
        End::Failed(failure) => failure.cause.as_str(),
        End::Again { .. } => "again",
    }
}
