//! Runs commands: claims a slice, runs each in a fresh folder in the sandbox, writes its end, tells the
//! orchestrator. A command is started at most once: the claim is durable, and a claim that was made once is
//! never taken up again.

use crate::{
    AGAIN, Parts,
    folder::remove,
    outcome::{self, Run},
    topics::{self, EVENTS, SETTLED},
};
use boot::trace;
use bus::Delivery;
use domain::{
    advance::{CommandWork, Work},
    level::Level,
    task::{Cause, Failure, Kind, State},
};
use sandbox::{Ended, Error, Limits, Spec};
use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};
use store::{Claimed, End, Finished, Outcome};
use tokio_util::sync::CancellationToken;
use tracing::{Span, field::Empty};
use uuid::Uuid;

/// Claims a slice in one statement and runs each of its commands on its own.
pub(crate) async fn handle(parts: Arc<Parts>, slice: Vec<Delivery>) {
    let Some(mut claimed) = claim(&parts, &slice).await else {
        let cause = if parts.life.stop.is_cancelled() { "the executor stops" } else { "the claim failed" };
        slice.into_iter().for_each(|delivery| delivery.fail(cause));
        return;
    };
    for delivery in slice {
        let Some(task) = claimed.remove(&delivery.entry.id) else {
            // It runs already, or ran, or was cancelled: a second delivery does nothing.
            delivery.ack();
            continue;
        };
        let parts = Arc::clone(&parts);
        let kill = parts.leases.hold(task.id, task.attempt);
        parts.clone().life.tasks.spawn("command", async move {
            let span = tracing::info_span!(
                "command",
                otel.kind = "consumer",
                otel.status_code = Empty,
                task = %task.id,
                step = task.step.as_deref(),
                attempt = task.attempt,
                outcome = Empty,
            );
            trace::scope(span, task.traceparent.as_deref(), execute(&parts, &task, &kill)).await;
            parts.leases.release(task.id, task.attempt);
            delivery.ack();
        });
    }
}

/// Claims the tasks of a slice; `None` when it cannot be done, or when there is no time left to run them.
async fn claim(parts: &Parts, slice: &[Delivery]) -> Option<HashMap<Uuid, Claimed>> {
    let ids: Vec<Uuid> = slice.iter().map(|delivery| delivery.entry.id).collect();
    loop {
        if parts.life.stop.is_cancelled() {
            return None;
        }
        match parts.store.claim(&ids, Kind::Command, &parts.config.common.replica, parts.config.lease, true).await {
            Ok(claimed) => {
                let event = |task: &Claimed| topics::event(task.id, State::InProgress, task.traceparent.as_deref());
                let events: Vec<_> = claimed.iter().map(event).collect();
                if let Err(error) = parts.bus.publish(&EVENTS, &events).await {
                    tracing::debug!(%error, "events were lost");
                }
                return Some(claimed.into_iter().map(|task| (task.id, task)).collect());
            }
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "Postgres could not claim a slice; it is tried again");
                tokio::time::sleep(AGAIN).await;
            }
            Err(error) => {
                tracing::error!(%error, "a slice could not be claimed");
                return None;
            }
        }
    }
}

/// Runs one command to its end and writes that end.
async fn execute(parts: &Parts, task: &Claimed, kill: &CancellationToken) {
    let (level, end) = match &task.work {
        Work::Command(work) => (Level::of(work), run(parts, task, work, kill).await),
        Work::Ask(_) | Work::Deliver(_) => {
            let failure = Failure::new(Cause::Internal, "the row's work does not belong to a command");
            // Nothing was asked of us.
            (Level::Low, Some(End::Failed(failure)))
        }
    };
    let Some(end) = end else {
        tracing::info!("the task is no longer ours; its command was killed");
        parts.metrics.ended(level, None);
        return;
    };
    let outcome = Outcome {
        id: task.id,
        root_id: task.root_id,
        attempt: Some(task.attempt),
        end,
        model: None,
        emulated: false,
        charge: None,
    };
    let finished = finish(parts, &outcome).await;
    parts.metrics.ended(level, (!finished.is_empty()).then_some(&outcome.end));
    Span::current().record("outcome", outcome::word(&outcome.end));
    if matches!(outcome.end, End::Failed(_)) {
        Span::current().record("otel.status_code", "error");
    }
    tracing::info!(outcome = outcome::word(&outcome.end), moved = !finished.is_empty(), "command ended");
    tell(parts, task, &finished).await;
}

/// Runs a command in a fresh folder; `None` when the task was taken from us meanwhile.
async fn run(parts: &Parts, task: &Claimed, work: &CommandWork, kill: &CancellationToken) -> Option<End> {
    let mut limits = parts.config.limits.clone();
    limits.wall = limits.wall.min(Duration::from_millis(work.timeout_ms.max(1)));
    parts.metrics.started();
    let told = confined(parts, task, work, &limits, kill).await;
    parts.metrics.told(Level::of(work), &told);
    let run = Run { work, limits: &limits, attempt: task.attempt, cut: parts.leases.are_cut() };
    parts.leases.holds(task.id).then(|| outcome::of(&run, &told))
}

async fn confined(
    parts: &Parts,
    task: &Claimed,
    work: &CommandWork,
    limits: &Limits,
    kill: &CancellationToken,
) -> Result<Ended, Error> {
    let folder = parts.folders.fresh(task.id, task.attempt).map_err(Error::Launch)?;
    let spec = Spec {
        limits: limits.clone(),
        read: parts.config.read.clone(),
        require: parts.config.require.clone(),
        ..Spec::script(&folder, work.script.as_str())
    };
    let told = parts.sandbox.run(&spec, kill).await;
    clear(folder).await;
    told
}

/// Removes a command's folder. One that cannot be removed is tried again at the next start.
pub(crate) async fn clear(folder: PathBuf) {
    let shown = folder.display().to_string();
    match tokio::task::spawn_blocking(move || remove(&folder)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(folder = shown, %error, "a command's folder could not be removed"),
        Err(error) => tracing::error!(folder = shown, %error, "a command's folder was not removed"),
    }
}

/// Writes the end, however often it takes: a command that ran must not be forgotten.
async fn finish(parts: &Parts, outcome: &Outcome) -> Vec<Finished> {
    loop {
        match parts.store.finish(std::slice::from_ref(outcome)).await {
            Ok(finished) => return finished,
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "a command's end could not be written; it is tried again");
                tokio::time::sleep(AGAIN).await;
            }
            Err(error) => {
                tracing::error!(%error, "a command's end could not be written");
                return Vec::new();
            }
        }
    }
}

/// Tells the orchestrator and the watchers what has ended. What cannot be told is found by the sweep.
async fn tell(parts: &Parts, task: &Claimed, finished: &[Finished]) {
    let trace = trace::current().to_string();
    let lane = topics::lane(task.priority);
    let ended = finished.iter().filter(|task| task.state.is_terminal());
    let names: Vec<_> = ended.map(|task| (SETTLED, lane, topics::settled(task.id, &trace))).collect();
    let events: Vec<_> = finished.iter().map(|task| topics::event(task.id, task.state, Some(&trace))).collect();
    let (named, watched) = tokio::join!(parts.bus.announce(&names), parts.bus.publish(&EVENTS, &events));
    if let Err(error) = named {
        tracing::warn!(%error, "an announcement was lost; the sweep makes it again");
    }
    if let Err(error) = watched {
        tracing::debug!(%error, "events were lost");
    }
}
