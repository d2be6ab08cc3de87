//! What this process asked of providers, in numbers.
//! Refuses to have labels that are not known at start.

mod batch;

pub(crate) use batch::{BatchMeters, Outcome, Verb};

use crate::error::{Class, Error};
use batch::BatchMetrics;
use domain::money::{Nanos, Usage};
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};
use std::time::Duration;

/// Upper bounds of the buckets, in seconds: an emulator answers in a millisecond, a thinker in minutes.
const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// The metrics of all providers.
#[derive(Debug, Clone)]
pub struct Metrics {
    tries: IntCounterVec,
    seconds: HistogramVec,
    tokens: IntCounterVec,
    cost: IntCounterVec,
    unpriced: IntCounterVec,
    batch: BatchMetrics,
}

/// The metrics of one provider.
#[derive(Debug)]
pub(crate) struct Meters {
    answered: IntCounter,
    retry: IntCounter,
    fail_over: IntCounter,
    hold: IntCounter,
    fail: IntCounter,
    seconds: Histogram,
    tokens: [IntCounter; 5],
    cost: IntCounter,
    unpriced: IntCounter,
    pub(crate) batch: BatchMeters,
}

impl Metrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// The registry has metrics of these names already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let seconds =
            HistogramOpts::new("chavion_providers_try_seconds", "Time of one try, from request to last byte.");
        let seconds = HistogramVec::new(seconds.buckets(SECONDS.to_vec()), &["provider"])?;
        registry.register(Box::new(seconds.clone()))?;
        Ok(Self {
            tries: counter("chavion_providers_tries_total", "Tries, by how they ended.", &["provider", "outcome"])?,
            seconds,
            tokens: counter("chavion_providers_tokens_total", "Tokens billed.", &["provider", "class"])?,
            cost: counter("chavion_providers_cost_nanodollars_total", "Money billed, in 10⁻⁹ USD.", &["provider"])?,
            unpriced: counter(
                "chavion_providers_unpriced_total",
                "Answers of models without a price, booked at 0.",
                &["provider"],
            )?,
            batch: BatchMetrics::new(registry)?,
        })
    }

    pub(crate) fn of(&self, provider: &str) -> Meters {
        let tries = |outcome| self.tries.with_label_values(&[provider, outcome]);
        let tokens = |class| self.tokens.with_label_values(&[provider, class]);
        Meters {
            answered: tries("answered"),
            retry: tries("retry"),
            fail_over: tries("fail_over"),
            hold: tries("hold"),
            fail: tries("fail"),
            seconds: self.seconds.with_label_values(&[provider]),
            tokens: ["input", "cache_read", "cache_write", "cache_write_hour", "output"].map(tokens),
            cost: self.cost.with_label_values(&[provider]),
            unpriced: self.unpriced.with_label_values(&[provider]),
            batch: self.batch.of(provider),
        }
    }
}

impl Meters {
    /// Counts one try that has ended.
    pub(crate) fn tried(&self, error: Option<&Error>, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
        match error.map(|error| error.class) {
            None => self.answered.inc(),
            Some(Class::Retry { .. }) => self.retry.inc(),
            Some(Class::FailOver) => self.fail_over.inc(),
            Some(Class::Hold) => self.hold.inc(),
            Some(Class::Fail) => self.fail.inc(),
        }
    }

    /// Counts what one try was billed.
    pub(crate) fn billed(&self, usage: &Usage, nanos: Nanos) {
        let counts = [usage.input, usage.cache_read, usage.cache_write, usage.cache_write_hour, usage.output];
        for (counter, count) in self.tokens.iter().zip(counts) {
            counter.inc_by(u64::try_from(count).unwrap_or(0));
        }
        self.cost.inc_by(u64::try_from(nanos.0).unwrap_or(0));
    }

    /// Counts an answer that has no price.
    pub(crate) fn unpriced(&self) {
        self.unpriced.inc();
    }
}
