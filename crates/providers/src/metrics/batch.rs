//! What this process asked of batch APIs, in numbers.
//! Refuses to have labels that are not known at start: batches and models are not among them.

use crate::error::{Class, Error};
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};
use std::time::Duration;

/// Upper bounds of the buckets, in seconds: from a look at a job to an upload of hundreds of megabytes.
const SECONDS: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1200.0];

/// What is asked of a batch API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Upload,
    Create,
    Find,
    Status,
    Results,
    Cancel,
    Clean,
}

impl Verb {
    const ALL: [Self; 7] =
        [Self::Upload, Self::Create, Self::Find, Self::Status, Self::Results, Self::Cancel, Self::Clean];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Create => "create",
            Self::Find => "find",
            Self::Status => "status",
            Self::Results => "results",
            Self::Cancel => "cancel",
            Self::Clean => "clean",
        }
    }
}

/// What one line of results said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Succeeded,
    Failed,
    Expired,
    Cancelled,
    /// A line that could not be read and did not even say whose it is.
    Unreadable,
}

/// The metrics of all providers' batch APIs.
#[derive(Debug, Clone)]
pub(super) struct BatchMetrics {
    calls: IntCounterVec,
    seconds: HistogramVec,
    results: IntCounterVec,
}

/// The metrics of one provider's batch API.
#[derive(Debug)]
pub(crate) struct BatchMeters {
    verbs: [VerbMeters; 7],
    results: [IntCounter; 5],
}

#[derive(Debug)]
struct VerbMeters {
    verb: Verb,
    done: IntCounter,
    missing: IntCounter,
    retry: IntCounter,
    fail_over: IntCounter,
    hold: IntCounter,
    fail: IntCounter,
    seconds: Histogram,
}

impl BatchMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let seconds = HistogramOpts::new(
            "chavion_providers_batch_call_seconds",
            "Time of one call of a batch API, from request to last byte; of results, to the first.",
        );
        let seconds = HistogramVec::new(seconds.buckets(SECONDS.to_vec()), &["provider", "verb"])?;
        registry.register(Box::new(seconds.clone()))?;
        Ok(Self {
            calls: counter(
                "chavion_providers_batch_calls_total",
                "Calls of batch APIs, by how they ended.",
                &["provider", "verb", "outcome"],
            )?,
            seconds,
            results: counter(
                "chavion_providers_batch_results_total",
                "Lines of batch results, by what they said.",
                &["provider", "outcome"],
            )?,
        })
    }

    pub(super) fn of(&self, provider: &str) -> BatchMeters {
        let verb = |verb: Verb| {
            let calls = |outcome| self.calls.with_label_values(&[provider, verb.as_str(), outcome]);
            VerbMeters {
                verb,
                done: calls("done"),
                missing: calls("missing"),
                retry: calls("retry"),
                fail_over: calls("fail_over"),
                hold: calls("hold"),
                fail: calls("fail"),
                seconds: self.seconds.with_label_values(&[provider, verb.as_str()]),
            }
        };
        let results = |outcome| self.results.with_label_values(&[provider, outcome]);
        BatchMeters {
            verbs: Verb::ALL.map(verb),
            results: ["succeeded", "failed", "expired", "cancelled", "unreadable"].map(results),
        }
    }
}

impl BatchMeters {
    /// Counts one call that has ended.
    pub(crate) fn called(&self, verb: Verb, error: Option<&Error>, took: Duration) {
        let Some(meters) = self.verbs.iter().find(|meters| meters.verb == verb) else { return };
        meters.seconds.observe(took.as_secs_f64());
        match error.map(|error| (error.status, error.class)) {
            None => meters.done.inc(),
            Some((Some(404), _)) => meters.missing.inc(),
            Some((_, Class::Retry { .. })) => meters.retry.inc(),
            Some((_, Class::FailOver)) => meters.fail_over.inc(),
            Some((_, Class::Hold)) => meters.hold.inc(),
            Some((_, Class::Fail)) => meters.fail.inc(),
        }
    }

    /// Counts one line of results.
    pub(crate) fn result(&self, outcome: Outcome) {
        let [succeeded, failed, expired, cancelled, unreadable] = &self.results;
        match outcome {
            Outcome::Succeeded => succeeded.inc(),
            Outcome::Failed => failed.inc(),
            Outcome::Expired => expired.inc(),
            Outcome::Cancelled => cancelled.inc(),
            Outcome::Unreadable => unreadable.inc(),
        }
    }
}
