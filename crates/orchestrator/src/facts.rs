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
        let (depths, rows) = tokio::join!(parts.bus.depths(), rows(&parts, number.is_multiple_of(MONEY)));
        note(depths.map(|depths| parts.metrics.facts.topics(&depths)), "topics");
        note(rows, "rows");
    }
}

async fn rows(parts: &Parts, with_money: bool) -> Result<(), store::Error> {
    let (store, facts) = (&parts.store, &parts.metrics.facts);
    facts.tasks(&store.counts().await?);
    let on: Vec<String> = parts.providers.status().into_iter().filter(|one| one.on).map(|one| one.provider).collect();
    facts.blackouts(&on, &store.blackouts().await?, OffsetDateTime::now_utc());
    facts.budgets(&store.budget_sums().await?);
    if with_money {
        facts.money(&store.money_total().await?, &store.spent_today().await?);
    }
    Ok(())
}

/// What cannot be read is shown for a while and then no more; the moment of its last reading is always there.
fn note<E: std::fmt::Display>(read: Result<(), E>, what: &'static str) {
    if let Err(error) = read {
        tracing::debug!(%error, what, "the facts could not be read");
    }
}
