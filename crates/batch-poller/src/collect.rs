//! Collect: takes asks off their stream and lays each down as an item that waits for a batch, its budget reserved.
//! A death in between costs a lease's time: the sweep queues the task again. Refuses to make batches.

use crate::{AGAIN, Parts, money::wait_for, route::Facts, route::Way, topics::News};
use boot::trace;
use bus::Delivery;
use domain::task::{Kind, State};
use std::{collections::HashSet, sync::Arc};
use store::{Claimed, Declined, Held, Name, NewItem, Outcome, Refusal, Wanted};
use time::OffsetDateTime;
use uuid::Uuid;

/// Handles one slice. What Postgres could not take is delivered again.
pub(crate) async fn handle(parts: Arc<Parts>, slice: Vec<Delivery>) {
    let asks = |delivery: &&Delivery| delivery.entry.kind == Kind::Ask.as_str();
    let ids: Vec<Uuid> = slice.iter().filter(asks).map(|delivery| delivery.entry.id).collect();
    // Names of other kinds only wake the rounds.
    parts.wake(ids.len() < slice.len());
    let mut pause = AGAIN;
    loop {
        match collect(&parts, &ids).await {
            Ok(()) => break slice.into_iter().for_each(Delivery::ack),
            Err(error) if error.is_transient() => {
                // What was claimed is ours for a lease only; it comes again when it is queued again.
                tracing::warn!(%error, "Postgres could not take a slice of asks; it is tried again");
                tokio::select! {
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(AGAIN * 20),
                    () = parts.stop.cancelled() => return,
                }
            }
            Err(error) => {
                tracing::error!(%error, "a slice of asks could not be collected");
                break slice.into_iter().for_each(|delivery| delivery.fail("Postgres refused the statement"));
            }
        }
    }
}

/// What a slice comes to.
#[derive(Default)]
struct Ways {
    items: Vec<NewItem>,
    declined: Vec<Declined>,
    held: Vec<Held>,
    ended: Vec<Outcome>,
}

/// Collects a slice in portions, so that long questions do not fill the memory.
async fn collect(parts: &Parts, ids: &[Uuid]) -> Result<(), store::Error> {
    let mut rest = ids;
    while !rest.is_empty() {
        let _room = parts.portions.room().await;
        let (some, later) = rest.split_at(rest.len().min(parts.portions.asks()));
        portion(parts, some).await?;
        rest = later;
    }
    Ok(())
}

async fn portion(parts: &Parts, ids: &[Uuid]) -> Result<(), store::Error> {
    let worker = &parts.config.common.replica;
    let claimed = parts.store.claim(ids, Kind::Ask, worker, parts.config.lease, false).await?;
    parts.metrics.passed_over(ids.len().saturating_sub(claimed.len()));
    parts.portions.seen(&claimed);
    if claimed.is_empty() {
        return Ok(());
    }
    let span = tracing::info_span!("collect", otel.kind = "consumer", asks = claimed.len());
    if parts.traces.are_on() {
        trace::link_all(&span, &trace::distinct(claimed.iter().map(|task| task.traceparent.as_deref())));
    }
    tracing::Instrument::instrument(lay_down(parts, &claimed), span).await
}

async fn lay_down(parts: &Parts, claimed: &[Claimed]) -> Result<(), store::Error> {
    let mut ways = sort(parts, claimed).await;
    if claimed.iter().any(|task| task.budgeted) {
        reserve(parts, claimed, &mut ways).await?;
    }
    let mut news = News::default();
    let worker = &parts.config.common.replica;
    if !ways.items.is_empty() {
        let taken: HashSet<Uuid> = parts.store.batch_collect(worker, &ways.items).await?.into_iter().collect();
        let (kept, lost): (Vec<&NewItem>, Vec<&NewItem>) =
            ways.items.iter().partition(|item| taken.contains(&item.task.0));
        for task in claimed.iter().filter(|task| taken.contains(&task.id)) {
            news.event(task.id, State::InProgress, task.traceparent.as_deref());
        }
        parts.metrics.collected(kept.iter().map(|item| item.provider.as_str()));
        if !lost.is_empty() {
            let lost: Vec<(Uuid, i32)> = lost.iter().map(|item| item.task).collect();
            parts.store.budget_release(&lost).await?;
        }
        parts.wake(true);
    }
    for name in decline(parts, &ways.declined).await? {
        news.queued(&name);
    }
    for moved in parts.store.hold(&ways.held).await? {
        news.event(moved.id, State::Held, traceparent(claimed, moved.id));
    }
    for ended in parts.store.finish(&ways.ended).await? {
        if let Some(task) = claimed.iter().find(|task| task.id == ended.id) {
            match ended.state {
                State::Queued => news.queued(&name(task)),
                state => news.ended(&name(task), state),
            }
        }
    }
    news.tell(&parts.bus).await;
    Ok(())
}

/// Finds the way of each ask. Writing a body is work for a processor: others get their turn in between.
async fn sort(parts: &Parts, claimed: &[Claimed]) -> Ways {
    const AT_A_TIME: usize = 32;
    let blackouts = match claimed.iter().any(|task| task.blackouts) {
        true => parts.blackouts.now(&parts.store).await,
        false => Arc::default(),
    };
    let facts = Facts { parts, blackouts: &blackouts, now: OffsetDateTime::now_utc() };
    let mut ways = Ways::default();
    for some in claimed.chunks(AT_A_TIME) {
        for task in some {
            match facts.way(task) {
                Way::Item(item) => ways.items.push(item),
                Way::Decline(declined) => ways.declined.push(declined),
                Way::Hold(held) => ways.held.push(held),
                Way::End(outcome) => ways.ended.push(outcome),
            }
        }
        tokio::task::yield_now().await;
    }
    ways
}

/// Sets money aside for the items; those for which there is none are held until their master raises the budget.
async fn reserve(parts: &Parts, claimed: &[Claimed], ways: &mut Ways) -> Result<(), store::Error> {
    let budgeted: HashSet<Uuid> = claimed.iter().filter(|task| task.budgeted).map(|task| task.id).collect();
    let wanted: Vec<Wanted> = ways.items.iter().filter(|item| budgeted.contains(&item.task.0)).map(wanted).collect();
    let refused = parts.store.budget_reserve(&wanted).await?;
    let provider =
        |refusal: &Refusal| wanted.iter().find(|one| one.task == refusal.task).map(|one| one.provider.clone());
    ways.held
        .extend(refused.iter().map(|refusal| Held { task: refusal.task, hold: wait_for(refusal, provider(refusal)) }));
    ways.items.retain(|item| refused.iter().all(|refusal| refusal.task != item.task));
    Ok(())
}

fn wanted(item: &NewItem) -> Wanted {
    Wanted {
        task: item.task,
        root_id: item.root_id,
        agent: item.agent.clone(),
        provider: item.provider.clone(),
        nanos: item.estimate,
    }
}

async fn decline(parts: &Parts, declined: &[Declined]) -> Result<Vec<Name>, store::Error> {
    if declined.is_empty() {
        return Ok(Vec::new());
    }
    parts.metrics.declined.inc_by(u64::try_from(declined.len()).unwrap_or(0));
    parts.store.batch_decline(declined).await
}

fn name(task: &Claimed) -> Name {
    Name {
        id: task.id,
        root_id: task.root_id,
        kind: Kind::Ask,
        pace: task.pace,
        traceparent: task.traceparent.clone(),
        priority: task.priority,
    }
}

fn traceparent(claimed: &[Claimed], id: Uuid) -> Option<&str> {
    claimed.iter().find(|task| task.id == id).and_then(|task| task.traceparent.as_deref())
}
