//! Commits a slice of ended items in one statement, and tells whom it concerns.

use crate::{Parts, money, topics::News, traced};
use domain::task::State;
use store::{BatchRow, ItemEnd, ItemThen, Settled};
use tracing::Instrument as _;

/// Commits ends; false when another replica has the batch. An end that was committed before changes nothing.
pub(crate) async fn commit(parts: &Parts, row: &BatchRow, ends: &[ItemEnd]) -> Result<bool, store::Error> {
    if ends.is_empty() {
        return Ok(true);
    }
    let span = traced::slice(ends);
    let settled = parts.store.batch_settle(row.id, row.hold, ends).instrument(span.clone()).await?;
    if settled.is_empty() {
        // All of them had ended, or the batch is not ours any more: a renewal tells which.
        let held = [(row.id, row.hold)];
        let ours = parts.store.batch_keep(&parts.config.common.replica, &held, parts.config.lease).await?;
        return Ok(!ours.is_empty());
    }
    let mut news = News::default();
    let mut again = false;
    for item in &settled {
        match item.then {
            Settled::Completed => news.ended(&item.name, State::Completed),
            Settled::Failed => news.ended(&item.name, State::Failed),
            Settled::Cancelled => news.ended(&item.name, State::Cancelled),
            Settled::Now | Settled::Back => news.queued(&item.name),
            Settled::Again => again = true,
            Settled::Late => {}
        }
    }
    parts.metrics.settled(&row.provider, ends, &settled);
    traced::settled(parts, row, (ends, &settled), &span);
    drop(span);
    if ends.iter().any(|end| matches!(end.then, ItemThen::Correct { .. })) {
        money::recheck(parts, ends, &settled).await;
    }
    // What waits for another batch has a window of its own.
    parts.wake(again);
    news.tell(&parts.bus).await;
    Ok(true)
}
