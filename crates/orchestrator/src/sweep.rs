//! The sweep announces again what sat too long, and ends what its performer left behind. It is why a lost
//! announcement costs delay and never a task.

use crate::{Parts, topics};
use bus::{Entry, Lane, Topic};
use domain::task::{Kind, State};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use store::{Name, Release, Swept};
use tokio_util::sync::CancellationToken;

/// How often money is looked for that is set aside for nobody.
const MEND: Duration = Duration::from_mins(1);
/// How many tasks one sweep takes up at most; a full sweep is followed by another at once.
const LIMIT: i64 = 5_000;

/// Sweeps every few seconds, when a delayed task falls due, and at once when Redis was found empty.
pub(crate) async fn run(parts: Arc<Parts>, stop: CancellationToken) {
    let mut emptied = parts.bus.emptied();
    // A start may be one after Redis was lost with all that was announced: nothing is waited for.
    let mut stale = Duration::ZERO;
    let mut pause = Duration::ZERO;
    // Whoever holds a lease could not renew it while Postgres was away, and must have the time to do so first.
    let mut judge_from = Instant::now();
    let mut mended = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            changed = emptied.changed() => {
                if changed.is_err() {
                    return;
                }
                // Nothing that was announced can be trusted to be there any more.
                stale = Duration::ZERO;
            }
            () = stop.cancelled() => return,
        }
        pause = match parts.store.sweep(stale, LIMIT, Instant::now() >= judge_from).await {
            Ok(swept) => {
                stale = parts.config.stale;
                let found = announce(&parts, &swept).await;
                if swept.held_for_budget > 0 {
                    release(&parts).await;
                }
                if mended.elapsed() >= MEND {
                    mended = Instant::now();
                    mend(&parts).await;
                }
                let due = swept.next_not_before.unwrap_or(parts.config.sweep).max(Duration::from_millis(20));
                if found >= LIMIT { Duration::ZERO } else { due.min(parts.config.sweep) }
            }
            Err(error) => {
                tracing::warn!(%error, "the sweep failed; it is tried again");
                judge_from = Instant::now() + parts.config.lease;
                parts.config.sweep.min(Duration::from_secs(1))
            }
        };
    }
}

/// Queues what is held for money and fits by now: asks cost less than was reckoned, or a budget was raised.
async fn release(parts: &Parts) {
    match parts.store.unhold(&Release::Budgets).await {
        Ok(names) if names.is_empty() => {}
        Ok(names) => {
            tracing::info!(tasks = names.len(), "there is money again for asks that were held");
            topics::queue(parts, &names).await;
        }
        Err(error) => tracing::warn!(%error, "held asks could not be queued; it is tried again"),
    }
}

async fn mend(parts: &Parts) {
    if let Err(error) = parts.store.budget_mend().await {
        tracing::warn!(%error, "money that is set aside for nobody was not looked for");
    }
}

/// Announces what was found and returns how much that was.
async fn announce(parts: &Parts, swept: &Swept) -> i64 {
    let mut names: Vec<(Topic, Lane, Entry)> = Vec::new();
    let mut add = |topic: Topic, found: &[Name]| {
        for name in found {
            let entry = topics::entry(name.id, name.kind, name.traceparent.as_deref());
            names.push((topic, topics::lane(name.priority), entry));
        }
    };
    add(topics::PLAN, &swept.plan);
    add(topics::ASK, &swept.ask);
    add(topics::BATCH, &swept.batch);
    add(topics::COMMAND, &swept.command);
    add(topics::DELIVER, &swept.deliver);
    add(topics::SETTLED, &swept.settled);
    add(topics::SETTLED, &swept.lost);
    let events: Vec<Entry> =
        swept.lost.iter().map(|name| topics::event(name.id, State::Failed, name.traceparent.as_deref())).collect();
    if names.is_empty() {
        return 0;
    }
    parts.metrics.swept(names.len());
    tracing::info!(tasks = names.len(), lost = swept.lost.len(), "the sweep announced again what sat too long");
    topics::tell(&parts.bus, &names, &events).await;
    for name in swept.lost.iter().filter(|name| name.kind == Kind::Command) {
        tracing::warn!(task = %name.id, "a command was lost with its executor and is not run again");
    }
    i64::try_from(names.len()).unwrap_or(i64::MAX)
}
