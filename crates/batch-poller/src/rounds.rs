//! The rounds: one timer for everything that falls due. Each round gives up what would come too late, closes groups,
//! and takes batches in hand, several at once. Woken by collecting and by the clock; idle, it asks twice a minute.

use crate::{Parts, close, topics::News, work::work};
use std::{collections::HashMap, sync::Arc, time::Duration};
use store::BatchRow;
use tokio::task::{Id, JoinError, JoinSet};

/// From so many batches of one provider in hand on no more of its batches are taken: one that hangs holds up its own
/// batches and nobody else's.
const AT_ONCE: usize = 4;
/// How many batches are taken at a time.
const TAKE: i64 = 4;
/// The longest pause between two rounds: what another replica was told is seen after it at the latest.
const IDLE: Duration = Duration::from_secs(30);
/// How long a round waits for more of what woke it.
const GATHER: Duration = Duration::from_millis(20);
/// The pause after a round that found nothing although something was said to be due.
const IN_VAIN: Duration = Duration::from_millis(500);
/// How soon Postgres is asked again that failed.
const AGAIN: Duration = Duration::from_secs(1);
/// How long before the end of a drain the batches that are still in hand are let go.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How many items are given up at a time.
const GIVE_UP: usize = 500;

/// The batches in hand, by task, with the providers they are at.
#[derive(Default)]
struct InHand {
    running: JoinSet<()>,
    providers: HashMap<Id, String>,
}

impl InHand {
    fn take(&mut self, parts: &Arc<Parts>, row: BatchRow) {
        let provider = row.provider.clone();
        let task = self.running.spawn(work(Arc::clone(parts), row));
        self.providers.insert(task.id(), provider);
    }

    /// Waits for one to end. A panic in the work on one batch costs its lease, not the process.
    async fn ended(&mut self) -> Option<()> {
        let ended: Result<(Id, ()), JoinError> = self.running.join_next_with_id().await?;
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        self.providers.remove(&id);
        if let Err(error) = ended {
            tracing::error!(%error, "the work on a batch panicked; it is taken up again when its lease has run out");
        }
        Some(())
    }

    /// Returns the providers of which no more batches are taken.
    fn busy(&self) -> Vec<&str> {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for provider in self.providers.values() {
            *counts.entry(provider).or_default() += 1;
        }
        counts.into_iter().filter(|(_, count)| *count >= AT_ONCE).map(|(provider, _)| provider).collect()
    }
}

/// Makes rounds until the stop, then finishes what is in hand.
pub(crate) async fn run(parts: Arc<Parts>) {
    let mut hand = InHand::default();
    let mut pause = Duration::ZERO;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = parts.woken() => tokio::time::sleep(GATHER).await,
            Some(()) = hand.ended() => {}
            () = parts.stop.cancelled() => break,
        }
        pause = match round(&parts, &mut hand).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::warn!(%error, "a round failed; the next one comes soon");
                AGAIN
            }
        };
    }
    let drain = parts.config.common.drain;
    let all = async { while hand.ended().await.is_some() {} };
    if tokio::time::timeout(drain.saturating_sub(LAST_WORDS.min(drain / 2)), all).await.is_err() {
        // Their leases run out, and another replica goes on where they stand.
        tracing::warn!(batches = hand.running.len(), "the drain ends before the work on some batches does");
        parts.cut.cancel();
        while hand.ended().await.is_some() {}
    }
}

/// Does what is due, and returns how long to wait for the next round.
async fn round(parts: &Arc<Parts>, hand: &mut InHand) -> Result<Duration, store::Error> {
    let mut found = give_up(parts).await?;
    found |= close::step(parts).await?;
    loop {
        let (worker, lease) = (&parts.config.common.replica, parts.config.lease);
        let rows = parts.store.batch_take_but(worker, lease, TAKE, &hand.busy()).await?;
        if rows.is_empty() {
            break;
        }
        found = true;
        rows.into_iter().for_each(|row| hand.take(parts, row));
    }
    let due = parts.store.batch_next_due(parts.config.window).await?.unwrap_or(IDLE);
    // Of a provider that is busy the next that ends starts the next round.
    let least = if found && hand.busy().is_empty() { Duration::from_millis(5) } else { IN_VAIN };
    Ok(if due.is_zero() { least } else { due }.min(IDLE))
}

/// Has the items asked at once that would come too late.
async fn give_up(parts: &Parts) -> Result<bool, store::Error> {
    let mut found = false;
    loop {
        let reason = "batch: it would have missed the deadline, so it is asked at now";
        let given_up = parts.store.batch_give_up(reason, i64::try_from(GIVE_UP).unwrap_or(i64::MAX)).await?;
        if given_up.items == 0 {
            return Ok(found);
        }
        found = true;
        tracing::info!(items = given_up.items, "items were given up: they would have missed their deadlines");
        parts.metrics.abandoned.inc_by(u64::try_from(given_up.asks.len()).unwrap_or(0));
        let mut news = News::default();
        given_up.asks.iter().for_each(|name| news.queued(name));
        news.tell(&parts.bus).await;
        if given_up.items < GIVE_UP {
            return Ok(found);
        }
    }
}
