//! The numbers that the batch-poller alone owns.

use prometheus::{IntCounter, Registry};

/// What became of the asks of pace batch.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Asks that were failed because batch submission is not served.
    pub refused: IntCounter,
    /// Entries whose task had moved on before, or is none of ours.
    pub passed_over: IntCounter,
}

impl Metrics {
    /// Registers the numbers.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let refused = IntCounter::new(
            "chavion_batch_poller_refused_total",
            "Asks that were failed because batch submission is not served.",
        )?;
        let passed_over = IntCounter::new(
            "chavion_batch_poller_passed_over_total",
            "Entries whose task had moved on before, or is none of ours.",
        )?;
        registry.register(Box::new(refused.clone()))?;
        registry.register(Box::new(passed_over.clone()))?;
        Ok(Self { refused, passed_over })
    }
}
