//! What the database says of batches, for Prometheus: how many there are, how many items wait, how old they are.

use crate::Parts;
use std::{sync::Arc, time::Duration};

/// How old a published fact may be.
const EVERY: Duration = Duration::from_secs(15);

/// Reads the facts every 15 s until the stop.
pub(crate) async fn run(parts: Arc<Parts>) {
    let mut beat = tokio::time::interval(EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = beat.tick() => {}
            () = parts.stop.cancelled() => return,
        }
        match parts.store.batch_counts().await {
            Ok(counts) => parts.metrics.facts.show(&counts),
            Err(error) => tracing::debug!(%error, "the facts could not be read"),
        }
    }
}
