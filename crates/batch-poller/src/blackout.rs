//! Providers that cannot serve: nothing is sent to them, but for one try now and then whether that is over.

use crate::{Parts, topics::News};
use providers::Error;
use std::time::Duration;
use time::OffsetDateTime;

/// Whether something may be sent to a provider.
pub(crate) enum Gate {
    /// It may.
    Open,
    /// It may, to try whether a blackout is over.
    Probe,
    /// It may not, and why.
    Shut(String),
}

/// Asks whether something may be sent to a provider.
pub(crate) async fn gate(parts: &Parts, provider: &str) -> Result<Gate, store::Error> {
    let now = OffsetDateTime::now_utc();
    let known = parts.blackouts.now(&parts.store).await;
    let Some(blackout) = known.get(provider) else { return Ok(Gate::Open) };
    if blackout.may_be_probed(now) && parts.store.blackout_probe(provider).await? {
        return Ok(Gate::Probe);
    }
    Ok(Gate::Shut(format!("{provider} cannot serve at the moment: {}", blackout.reason)))
}

/// Notes that a provider cannot serve, and returns how long it is left alone.
pub(crate) async fn put(parts: &Parts, error: &Error) -> Result<Duration, store::Error> {
    let put = parts.store.blackout_put(&error.provider, cause(error), &error.reason).await?;
    parts.blackouts.forget();
    if put.new {
        tracing::warn!(provider = error.provider, reason = error.reason, "the provider cannot serve");
        let mut news = News::default();
        news.blackout("begun");
        news.tell(&parts.bus).await;
    }
    let wait = Duration::try_from(put.probe_at - OffsetDateTime::now_utc()).unwrap_or_default();
    Ok(wait.clamp(Duration::from_millis(10), parts.config.poll))
}

/// Ends a provider's blackout and sends on what was held for it.
pub(crate) async fn end(parts: &Parts, provider: &str) -> Result<(), store::Error> {
    let Some(names) = parts.store.blackout_end(provider).await? else { return Ok(()) };
    parts.blackouts.forget();
    tracing::info!(provider, asks = names.len(), "the provider serves again");
    let mut news = News::default();
    news.blackout("ended");
    names.iter().for_each(|name| news.queued(name));
    news.tell(&parts.bus).await;
    Ok(())
}

/// Returns the one word for what is wrong.
const fn cause(error: &Error) -> &'static str {
    match error.status {
        Some(401) => "key",
        Some(402) => "billing",
        Some(403) => "permission",
        _ => "quota",
    }
}
