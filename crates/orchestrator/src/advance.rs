//! Carries orders forward: what ended is written, what follows is decided and queued, in one transaction
//! for a whole slice of orders. Refuses to decide: it asks `domain` and does as it is told.
//!
//! Each root belongs to one of a few lanes by its id, so that two slices of one process never wait for the
//! same row. A lane takes all that has gathered while it was busy: one order alone goes at once, a
//! thousand share a commit.

use crate::{
    AGAIN, Parts,
    next::{Next, Opened, age},
    topics, traced,
};
use boot::Tasks;
use bus::Delivery;
use domain::{
    advance as decision,
    pace::Facts,
    task::{Cause, State},
};
use serde_json::Value;
use std::{collections::HashMap, sync::Arc, time::SystemTime};
use store::{End, Finished, Outcome};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use uuid::Uuid;

/// How many slices one process may have open at once.
const LANES: u128 = 3;
/// How many orders share one transaction at most.
const SLICE: usize = 128;

/// A root to look at, and perhaps what became of one of its tasks.
pub(crate) struct Job {
    /// The order.
    pub(crate) root: Uuid,
    /// What ended, if anything.
    pub(crate) outcome: Option<Outcome>,
    /// Acknowledged after the commit.
    pub(crate) delivery: Delivery,
    /// The task and the attempt whose lease is kept until the commit.
    pub(crate) held: Option<(Uuid, i32)>,
}

/// The way into the lanes.
#[derive(Clone)]
pub(crate) struct Advancer {
    lanes: Arc<[mpsc::Sender<Job>]>,
}

impl Advancer {
    /// Starts the lanes; they end when the last clone is gone and all is written.
    pub(crate) fn start(parts: &Arc<Parts>, tasks: &Tasks) -> Self {
        let lanes = (0..LANES)
            .map(|_| {
                let (sender, receiver) = mpsc::channel(SLICE.saturating_mul(2));
                tasks.spawn("advance", run(Arc::clone(parts), receiver));
                sender
            })
            .collect();
        Self { lanes }
    }

    /// Hands a job to its root's lane; waits while the lane is full.
    pub(crate) async fn submit(&self, job: Job) {
        // The low bits of a version 7 id are random.
        let lane = usize::try_from(job.root.as_u128() % LANES).unwrap_or(0);
        if let Some(sender) = self.lanes.get(lane)
            && let Err(refused) = sender.send(job).await
        {
            refused.0.delivery.fail("the lane has ended");
        }
    }
}

async fn run(parts: Arc<Parts>, mut receiver: mpsc::Receiver<Job>) {
    let mut jobs = Vec::with_capacity(SLICE);
    while receiver.recv_many(&mut jobs, SLICE).await > 0 {
        slice(&parts, std::mem::take(&mut jobs)).await;
    }
}

/// Carries a slice forward; one bad order among many is found and set apart.
async fn slice(parts: &Parts, jobs: Vec<Job>) {
    match until_settled(parts, &jobs).await {
        Ok(()) => jobs.into_iter().for_each(|job| done(parts, job)),
        Err(error) if jobs.len() == 1 => {
            for job in jobs {
                give_up(parts, job, &error).await;
            }
        }
        Err(_) => {
            for job in jobs {
                match until_settled(parts, std::slice::from_ref(&job)).await {
                    Ok(()) => done(parts, job),
                    Err(error) => give_up(parts, job, &error).await,
                }
            }
        }
    }
}

fn done(parts: &Parts, job: Job) {
    if let Some((id, attempt)) = job.held {
        parts.leases.release(id, attempt);
    }
    job.delivery.ack();
}

/// Ends an order that cannot be carried forward: left alone, its asks would be asked and paid for again and again.
async fn give_up(parts: &Parts, job: Job, error: &store::Error) {
    tracing::error!(%error, root = %job.root, "an order cannot be carried forward and is ended");
    let reason = "This version of Chavion could not carry the order forward; the log of the orchestrator says why.";
    match parts.store.give_up(job.root, reason).await {
        Ok(ended) => {
            if ended {
                parts.metrics.ended(State::Failed, Some(Cause::Internal), age(job.root));
            }
            done(parts, job);
        }
        Err(also) => {
            tracing::error!(error = %also, root = %job.root, "nor can it be ended; it is tried again");
            if let Some((id, attempt)) = job.held {
                parts.leases.release(id, attempt);
            }
            job.delivery.fail(error.to_string());
        }
    }
}

/// Repeats a slice while Postgres fails for a passing reason.
async fn until_settled(parts: &Parts, jobs: &[Job]) -> Result<(), store::Error> {
    loop {
        match once(parts, jobs).await {
            Ok(()) => return Ok(()),
            Err(error) => {
                // A crash of Postgres may have undone what was committed last.
                parts.recent.forget();
                if !error.is_transient() {
                    return Err(error);
                }
                tracing::warn!(%error, orders = jobs.len(), "Postgres could not take a slice; it is tried again");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

async fn once(parts: &Parts, jobs: &[Job]) -> Result<(), store::Error> {
    let told = traced::Slice { began: SystemTime::now(), jobs };
    let mut roots: Vec<Uuid> = jobs.iter().map(|job| job.root).collect();
    roots.sort_unstable();
    roots.dedup();
    let outcomes: Vec<Outcome> = jobs.iter().filter_map(|job| job.outcome.clone()).collect();
    let transaction = parts.store.begin(&roots, &outcomes).await?;
    let mut next = Next::default();
    for done in &transaction.finished {
        let tree = transaction.trees.iter().find(|tree| tree.root.id == done.root_id);
        let trace = tree.and_then(|tree| tree.root.traceparent.as_deref());
        next.events.push(topics::event(done.id, done.state, trace));
    }
    let mut plans = Vec::new();
    let mut wanted = Vec::new();
    // What results are wanted does not depend on the facts.
    let mut facts = Facts::none(OffsetDateTime::now_utc());
    for tree in &transaction.trees {
        if let Some(opened) = next.open(parts, tree).await? {
            wanted.extend(decision::wants(&opened.plan(parts, &facts), &opened.children));
            plans.push(opened);
        }
    }
    if plans.iter().any(Opened::has_choice) {
        facts = parts.routes.facts(parts).await;
    }
    let brought = brought(&outcomes, &transaction.finished);
    let mut results: HashMap<Uuid, Value> = brought.iter().map(|(id, result)| (*id, (*result).clone())).collect();
    let missing = parts.recent.find(&wanted, &mut results);
    results.extend(transaction.results(&missing).await?);
    for opened in &plans {
        next.take(opened, decision::advance(&opened.plan(parts, &facts), &opened.children, &results));
    }
    drop(plans);
    let spans = told.spans(parts, &transaction, &next.writes);
    transaction.commit(&next.writes).await?;
    spans.into_iter().for_each(|span| parts.traces.tell(span));
    for (id, result) in brought {
        parts.recent.keep(id, result);
    }
    parts.recent.let_go(next.let_go.iter().copied());
    next.announce(parts).await;
    Ok(())
}

/// What the completed tasks among the outcomes brought, as far as Postgres took them.
fn brought<'a>(outcomes: &'a [Outcome], finished: &[Finished]) -> Vec<(Uuid, &'a Value)> {
    let taken = |id: Uuid| finished.iter().any(|done| done.id == id && done.state == State::Completed);
    let result = |outcome: &'a Outcome| match &outcome.end {
        End::Completed { result } => Some((outcome.id, result)),
        End::Failed(_) | End::Again { .. } | End::Held(_) => None,
    };
    outcomes.iter().filter_map(result).filter(|(id, _)| taken(*id)).collect()
}
