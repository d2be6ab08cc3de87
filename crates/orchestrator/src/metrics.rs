//! What this service alone counts. The facts that it reads from Postgres and Redis for everybody are in `facts`.

mod facts;

use domain::{
    pace::Pace,
    task::{Cause, HeldFor, State},
};
use facts::Facts;
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};
use std::time::Duration;
use store::End;

/// Upper bounds of the buckets of an order's time, in seconds: from an emulated moment to a week of batches.
const ORDER_SECONDS: [f64; 15] =
    [1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0, 172_800.0, 604_800.0];

/// The orchestrator's metrics. Orders that end elsewhere, by a master's cancellation or on the board, are counted by the
/// gateway under the same names.
pub(crate) struct Metrics {
    /// What is read for everybody.
    pub(crate) facts: Facts,
    orders_ended: IntCounterVec,
    orders_failed: IntCounterVec,
    order_seconds: HistogramVec,
    asks_ended: IntCounterVec,
    deliveries_tried: IntCounterVec,
    swept: IntCounter,
    paces: IntCounterVec,
    held: IntCounterVec,
    blackouts: IntCounterVec,
}

impl Metrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// When a name is taken.
    pub(crate) fn new(registry: &Registry, providers: &[String]) -> Result<Self, prometheus::Error> {
        let metrics = Self::register(registry)?;
        metrics.begin_at_nothing(providers);
        Ok(metrics)
    }

    /// Shows every figure before its first event: an increase from nothing is invisible to Prometheus.
    fn begin_at_nothing(&self, providers: &[String]) {
        for state in [State::Completed, State::Failed] {
            self.orders_ended.with_label_values(&[state.as_str()]);
            self.order_seconds.with_label_values(&[state.as_str()]);
        }
        for cause in Cause::ALL {
            self.orders_failed.with_label_values(&[cause.as_str()]);
            self.asks_ended.with_label_values(&[cause.as_str()]);
        }
        for outcome in ["completed", "again", "held"] {
            self.asks_ended.with_label_values(&[outcome]);
        }
        for outcome in ["completed", "again", Cause::Undelivered.as_str(), Cause::Internal.as_str()] {
            self.deliveries_tried.with_label_values(&[outcome]);
        }
        for pace in [Pace::Now, Pace::Flex, Pace::Batch] {
            for ordered in ["yes", "no"] {
                self.paces.with_label_values(&[pace.as_str(), ordered]);
            }
        }
        for what in HeldFor::ALL {
            self.held.with_label_values(&[what.as_str()]);
        }
        for provider in providers {
            for what in ["begun", "ended"] {
                self.blackouts.with_label_values(&[provider.as_str(), what]);
            }
        }
    }

    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let labelled = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let counters = |name: &str, help: &str| labelled(name, help, &["outcome"]);
        let paces = labelled(
            "chavion_orchestrator_asks_queued_total",
            "Asks that were queued, by the pace chosen and whether it is what was ordered.",
            &["pace", "ordered"],
        )?;
        let held =
            labelled("chavion_orchestrator_asks_held_total", "Asks that were held, by what they wait for.", &["for"])?;
        let blackouts = labelled(
            "chavion_orchestrator_blackouts_total",
            "Blackouts of providers that began and ended.",
            &["provider", "what"],
        )?;
        let orders_failed = labelled("chavion_orders_failed_total", "Orders that failed, by cause.", &["cause"])?;
        let takes = HistogramOpts::new(
            "chavion_orchestrator_order_seconds",
            "Time from an order's acceptance to its end, in seconds, by state.",
        );
        let order_seconds = HistogramVec::new(takes.buckets(ORDER_SECONDS.to_vec()), &["outcome"])?;
        registry.register(Box::new(order_seconds.clone()))?;
        let orders_ended = counters("chavion_orders_ended_total", "Orders that ended, by state.")?;
        let asks_ended = counters("chavion_orchestrator_asks_ended_total", "Asks that ended, by outcome.")?;
        let deliveries_tried =
            counters("chavion_orchestrator_deliveries_tried_total", "Deliveries that were tried, by outcome.")?;
        let swept = IntCounter::new(
            "chavion_orchestrator_swept_total",
            "Tasks that the sweep announced again because they sat too long.",
        )?;
        registry.register(Box::new(swept.clone()))?;
        let facts = Facts::new(registry)?;
        Ok(Self {
            facts,
            orders_ended,
            orders_failed,
            order_seconds,
            asks_ended,
            deliveries_tried,
            swept,
            paces,
            held,
            blackouts,
        })
    }

    /// Counts an order that ended, `took` after it was accepted.
    pub(crate) fn ended(&self, state: State, cause: Option<Cause>, took: Duration) {
        self.orders_ended.with_label_values(&[state.as_str()]).inc();
        self.order_seconds.with_label_values(&[state.as_str()]).observe(took.as_secs_f64());
        if let Some(cause) = cause {
            self.orders_failed.with_label_values(&[cause.as_str()]).inc();
        }
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

    /// Counts an ask that is queued.
    pub(crate) fn paced(&self, pace: Pace, ordered: bool) {
        self.paces.with_label_values(&[pace.as_str(), if ordered { "yes" } else { "no" }]).inc();
    }

    /// Counts an ask that is held.
    pub(crate) fn held(&self, what: HeldFor) {
        self.held.with_label_values(&[what.as_str()]).inc();
    }

    /// Counts a blackout that began or ended.
    pub(crate) fn blackout(&self, provider: &str, what: &str) {
        self.blackouts.with_label_values(&[provider, what]).inc();
    }
}

fn outcome(end: &End) -> &'static str {
    match end {
        End::Completed { .. } => "completed",
        End::Failed(failure) => failure.cause.as_str(),
        End::Again { .. } => "again",
        End::Held(_) => "held",
    }
}
