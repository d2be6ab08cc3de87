//! What Postgres and Redis say, for Prometheus: tasks, topics, blackouts, budgets, money. Only the orchestrator
//! publishes these. Refuses to read more often than a figure on a page is looked at.

use crate::{Parts, topics};
use std::{sync::Arc, time::Duration};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

/// How old a published fact may be.
const EVERY: Duration = Duration::from_secs(15);
/// Sums over a day of charges are read at every so many beats: half a minute.
const MONEY: u32 = 2;

/// Reads the facts every 15 s until the stop.
pub(crate) async fn run(parts: Arc<Parts>, stop: CancellationToken) {
    parts.bus.declare(&[topics::COMMAND, topics::BATCH]);
    let mut beat = tokio::time::interval(EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for number in 0_u32.. {
        tokio::select! {
            _ = beat.tick() => {}
            () = stop.cancelled() => return,
        }
        blackouts(&parts).await;
        let depths = parts.bus.depths().await;
        note(depths.map(|depths| parts.metrics.facts.topics(&depths)), "topics");
        if let Err(error) = rows(&parts, number.is_multiple_of(MONEY)).await {
            note::<store::Error>(Err(error), "rows");
        }
    }
}

async fn rows(parts: &Parts, with_money: bool) -> Result<(), store::Error> {
    let (store, facts) = (&parts.store, &parts.metrics.facts);
    facts.tasks(&store.counts().await?);
    facts.budgets(&store.budget_sums().await?);
    if with_money {
        facts.money(&store.money_total().await?, &store.spent_today().await?);
    }
    Ok(())
}

/// Publishes how every provider that is switched on stands.
async fn blackouts(parts: &Parts) {
    let blackouts = parts.blackouts.now(&parts.store).await;
    let now = OffsetDateTime::now_utc();
    for status in parts.providers.status().iter().filter(|status| status.on) {
        let since = blackouts.get(&status.provider);
        let since = since.map(|blackout| Duration::try_from(now - blackout.since).unwrap_or_default());
        parts.metrics.facts.blackout(&status.provider, since);
    }
}

/// What could not be read keeps its last figure; readiness and the store's errors say that something is wrong.
fn note<E: std::fmt::Display>(read: Result<(), E>, what: &'static str) {
    if let Err(error) = read {
        tracing::debug!(%error, what, "the facts could not be read");
    }
}
