//! The numbers that the batch-poller alone owns.

mod facts;

use domain::batch::ItemState;
use facts::Facts;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry, core::Collector};
use std::collections::HashMap;
use store::{ItemEnd, ItemThen, Settled, SettledItem};

/// What a batch takes at its provider, in seconds: from a moment to two days.
const TAKES: [f64; 12] = [1.0, 5.0, 15.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 14_400.0, 43_200.0, 86_400.0, 172_800.0];

/// The batch-poller's metrics.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    collected: IntCounterVec,
    passed_over: IntCounter,
    pub(crate) declined: IntCounter,
    created: IntCounterVec,
    failed: IntCounterVec,
    ended: IntCounterVec,
    again: IntCounterVec,
    pub(crate) sent_again: IntCounter,
    lookups: IntCounterVec,
    pub(crate) adopted: IntCounter,
    pub(crate) abandoned: IntCounter,
    pub(crate) halved: IntCounter,
    late: IntCounter,
    pub(crate) foreign: IntCounter,
    pub(crate) unknown_states: IntCounter,
    spent: IntCounterVec,
    saved: IntCounterVec,
    took: HistogramVec,
    /// What is read from Postgres.
    pub(crate) facts: Facts,
}

/// Registers metrics under the service's prefix.
struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn keep<T: Collector + Clone + 'static>(&self, made: T) -> Result<T, prometheus::Error> {
        self.0.register(Box::new(made.clone()))?;
        Ok(made)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.keep(IntCounter::new(format!("chavion_batch_poller_{name}_total"), help)?)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        self.keep(IntCounterVec::new(Opts::new(format!("chavion_batch_poller_{name}_total"), help), labels)?)
    }
}

impl Metrics {
    /// Registers all of them, for the providers that take batches: an increase from nothing is invisible to
    /// Prometheus, so each of their counters begins at 0.
    ///
    /// # Errors
    /// When a name is taken.
    pub(crate) fn new(registry: &Registry, providers: &[String]) -> Result<Self, prometheus::Error> {
        let metrics = Self::register(registry, providers)?;
        let ended = || ItemState::ALL.iter().filter(|state| state.has_ended()).map(|state| state.as_str());
        for provider in providers {
            for counters in [&metrics.collected, &metrics.created, &metrics.failed, &metrics.spent, &metrics.saved] {
                counters.with_label_values(&[provider]);
            }
            for state in ended() {
                metrics.ended.with_label_values(&[provider.as_str(), state]);
            }
            metrics.took.with_label_values(&[provider]);
        }
        for cause in ended().filter(|cause| *cause != "succeeded").chain(["misfit"]) {
            metrics.again.with_label_values(&[cause]);
        }
        for outcome in ["found", "perhaps", "absent", "failed"] {
            metrics.lookups.with_label_values(&[outcome]);
        }
        Ok(metrics)
    }

    fn register(registry: &Registry, providers: &[String]) -> Result<Self, prometheus::Error> {
        let make = Maker(registry);
        let takes = HistogramOpts::new(
            "chavion_batch_poller_provider_seconds",
            "Time from a batch's submission to its end at the provider, in seconds, by provider.",
        );
        Ok(Self {
            collected: make.counters(
                "collected",
                "Asks that were laid down to wait for a batch, by provider.",
                &["provider"],
            )?,
            passed_over: make.counter("passed_over", "Entries whose task had moved on before, or is none of ours.")?,
            declined: make.counter("declined", "Asks that went to another pace because no batch takes them.")?,
            created: make.counters("created", "Batches that a provider has confirmed, by provider.", &["provider"])?,
            failed: make.counters(
                "failed",
                "Batches that a provider took nothing of, or lost, by provider.",
                &["provider"],
            )?,
            ended: make.counters(
                "items_ended",
                "Items that ended, by provider and the state they ended in.",
                &["provider", "state"],
            )?,
            again: make.counters(
                "resubmitted",
                "Asks that went into another batch, by why: the state of the item before, or misfit.",
                &["cause"],
            )?,
            sent_again: make
                .counter("sent_again", "Submissions of a batch after one that certainly does not exist.")?,
            lookups: make.counters(
                "lookups",
                "Searches for a batch whose create was not answered, by outcome: found, perhaps, absent, failed.",
                &["outcome"],
            )?,
            adopted: make.counter("adopted", "Batches that were found at their provider and adopted.")?,
            halved: make.counter("halved", "Batches that were refused for what is in them and became two.")?,
            abandoned: make.counter(
                "abandoned",
                "Asks that were taken from their batch because they would have missed their deadline.",
            )?,
            late: make
                .counter("late", "Results that came when nobody waited for them any more; booked and nothing else.")?,
            foreign: make.counter("foreign", "Result lines that name no item of their batch.")?,
            unknown_states: make
                .counter("unknown_states", "Polls that brought a word for a batch's state that is not known.")?,
            spent: make.counters("spent_nanos", "Nano-dollars booked for items, by provider.", &["provider"])?,
            saved: make.counters(
                "saved_nanos",
                "Nano-dollars that the same tokens would have cost more at pace now, by provider.",
                &["provider"],
            )?,
            took: make.keep(HistogramVec::new(takes.buckets(TAKES.to_vec()), &["provider"])?)?,
            facts: Facts::new(registry, providers.to_vec())?,
        })
    }

    /// Counts asks laid down, by provider.
    pub(crate) fn collected<'a>(&self, providers: impl Iterator<Item = &'a str>) {
        providers.for_each(|provider| self.collected.with_label_values(&[provider]).inc());
    }

    /// Counts entries that were nothing to do for.
    pub(crate) fn passed_over(&self, entries: usize) {
        self.passed_over.inc_by(u64::try_from(entries).unwrap_or(0));
    }

    /// Counts a batch that its provider has.
    pub(crate) fn created(&self, provider: &str) {
        self.created.with_label_values(&[provider]).inc();
    }

    /// Counts a batch that came to nothing.
    pub(crate) fn failed(&self, provider: &str) {
        self.failed.with_label_values(&[provider]).inc();
    }

    /// Counts a search for a batch.
    pub(crate) fn looked_up(&self, outcome: &str) {
        self.lookups.with_label_values(&[outcome]).inc();
    }

    /// Measures what a batch took at its provider.
    pub(crate) fn took(&self, provider: &str, time: std::time::Duration) {
        let histogram: Histogram = self.took.with_label_values(&[provider]);
        histogram.observe(time.as_secs_f64());
    }

    /// Counts a committed slice: only what this commit has ended.
    pub(crate) fn settled(&self, provider: &str, ends: &[ItemEnd], settled: &[SettledItem]) {
        let ends: HashMap<i32, &ItemEnd> = ends.iter().map(|end| (end.seq, end)).collect();
        for item in settled {
            let Some(end) = ends.get(&item.seq) else { continue };
            self.ended.with_label_values(&[provider, end.state.as_str()]).inc();
            if item.then == Settled::Again {
                let misfit = matches!(end.then, ItemThen::Correct { .. });
                self.again.with_label_values(&[if misfit { "misfit" } else { end.state.as_str() }]).inc();
            }
            if let Some(charge) = &end.charge {
                self.late.inc_by(u64::from(item.then == Settled::Late));
                let nanos = |amount: i64| u64::try_from(amount).unwrap_or(0);
                self.spent.with_label_values(&[provider]).inc_by(nanos(charge.nanos.0));
                let saved = charge.list_nanos.0.saturating_sub(charge.nanos.0);
                self.saved.with_label_values(&[provider]).inc_by(nanos(saved));
            }
        }
    }
}
