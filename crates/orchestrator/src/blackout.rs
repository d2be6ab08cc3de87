//! Providers that cannot serve: who finds out says so, who may tries again, who has an answer ends it.

use crate::{Parts, topics};
use bus::{EVENTS, Entry};
use std::time::Duration;
use time::OffsetDateTime;
use uuid::Uuid;

/// How long an ask is held when Postgres could not say.
const UNKNOWN: Duration = Duration::from_secs(30);

/// Notes that a provider cannot serve until a person acts, or that a try to ask it again has failed; returns how long
/// to wait for the next try.
pub(crate) async fn begin(parts: &Parts, error: &providers::Error) -> Duration {
    let put = match parts.store.blackout_put(&error.provider, cause(error), &error.reason).await {
        Ok(put) => put,
        Err(failed) => {
            tracing::warn!(error = %failed, provider = error.provider, "a blackout could not be kept");
            return UNKNOWN;
        }
    };
    parts.blackouts.forget();
    if put.new {
        tracing::warn!(
            provider = error.provider,
            reason = error.reason,
            "a provider cannot serve: its asks go elsewhere or wait"
        );
        parts.metrics.blackout(&error.provider, "begun");
        tell(parts, "blackout.begun").await;
    }
    Duration::try_from(put.probe_at - OffsetDateTime::now_utc()).unwrap_or_default().max(Duration::from_secs(1))
}

/// Ends a blackout: the provider has answered. What was held for it is queued and announced.
pub(crate) async fn end(parts: &Parts, provider: &str) {
    let names = match parts.store.blackout_end(provider).await {
        Ok(Some(names)) => names,
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(%error, provider, "a blackout could not be ended; the next answer does");
            return;
        }
    };
    parts.blackouts.forget();
    tracing::info!(provider, tasks = names.len(), "a provider serves again");
    parts.metrics.blackout(provider, "ended");
    topics::queue(parts, &names).await;
    tell(parts, "blackout.ended").await;
}

async fn tell(parts: &Parts, kind: &str) {
    if let Err(error) = parts.bus.publish(&EVENTS, &[Entry::new(Uuid::nil(), kind, None)]).await {
        tracing::debug!(%error, "an event was lost");
    }
}

/// Names what is wrong in one word.
fn cause(error: &providers::Error) -> &'static str {
    match error.status {
        Some(401) => "key",
        Some(402) => "billing",
        Some(403) => "permission",
        Some(429) => "quota",
        _ => "unusable",
    }
}
