//! What the database says, for Prometheus: tasks by state and kind, the age of the oldest live one. Only the
//! orchestrator publishes these.

use crate::Parts;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// How old a published fact may be.
const EVERY: Duration = Duration::from_secs(15);

/// Reads the facts every 15 s until the stop.
pub(crate) async fn run(parts: Arc<Parts>, stop: CancellationToken) {
    let mut beat = tokio::time::interval(EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = beat.tick() => {}
            () = stop.cancelled() => return,
        }
        match parts.store.counts().await {
            Ok(counts) => parts.metrics.facts(&counts),
            Err(error) => tracing::debug!(%error, "the facts could not be read"),
        }
    }
}
