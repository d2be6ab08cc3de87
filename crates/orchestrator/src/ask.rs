//! Asks models: claims a slice of asks, calls the providers, and hands what they answered to the lanes.
//! An ask may run twice (a death between the answer and the commit); it is booked once.

use crate::{
    AGAIN, Parts,
    advance::{Advancer, Job},
    answer::{self, Spent},
    routes::provider,
    spend, topics, traced,
};
use boot::{Tasks, trace};
use bus::Delivery;
use domain::{
    advance::{Work, looped},
    pace::Pace,
    task::{Cause, Failure, Kind, State},
};
use std::{collections::HashMap, sync::Arc};
use store::{Charge, Claimed, End, Outcome};
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use uuid::Uuid;

/// Claims a slice in one statement and asks each on its own.
pub(crate) async fn handle(parts: Arc<Parts>, advancer: Advancer, tasks: Tasks, slice: Vec<Delivery>) {
    let Some(mut claimed) = claim(&parts, Kind::Ask, &slice).await else {
        slice.into_iter().for_each(|delivery| delivery.fail("the claim failed"));
        return;
    };
    spend::admit(&parts, &mut claimed).await;
    for delivery in slice {
        // Taken out: a name that comes twice in a slice is performed once.
        let Some(task) = claimed.remove(&delivery.entry.id) else {
            // Someone was faster, the task was cancelled, or there is no money for it.
            delivery.ack();
            continue;
        };
        let (parts, advancer) = (Arc::clone(&parts), advancer.clone());
        tasks.spawn("ask", async move {
            let (lost, cut) = (parts.leases.hold(task.id, task.attempt), parts.leases.end());
            let span = tracing::info_span!(
                "ask",
                otel.kind = "consumer",
                otel.status_code = Empty,
                task = %task.id,
                agent = task.agent.as_deref(),
                step = task.step.as_deref(),
                attempt = task.attempt,
                outcome = Empty,
                cause = Empty,
            );
            let outcome = tokio::select! {
                outcome = trace::scope(span, task.traceparent.as_deref(), ask(&parts, &task, &lost)) => outcome,
                // The drain ends: whoever comes next asks again at once instead of waiting for the lease.
                () = cut.cancelled() => again(&task),
            };
            let held = Some((task.id, task.attempt));
            advancer.submit(Job { root: task.root_id, outcome: Some(outcome), delivery, held }).await;
        });
    }
}

fn again(task: &Claimed) -> Outcome {
    let end = End::Again { not_before_ms: 0, reason: "its orchestrator stopped under it".to_owned() };
    Outcome::plain(task.id, task.root_id, Some(task.attempt), end)
}

/// Claims the tasks of a slice; `None` when Postgres refuses for good.
pub(crate) async fn claim(parts: &Parts, kind: Kind, slice: &[Delivery]) -> Option<HashMap<Uuid, Claimed>> {
    let ids: Vec<Uuid> = slice.iter().map(|delivery| delivery.entry.id).collect();
    loop {
        match parts.store.claim(&ids, kind, &parts.config.common.replica, parts.config.lease, false).await {
            Ok(claimed) => {
                let events: Vec<_> = claimed
                    .iter()
                    .map(|task| topics::event(task.id, State::InProgress, task.traceparent.as_deref()))
                    .collect();
                topics::tell(&parts.bus, &[], &events).await;
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

async fn ask(parts: &Parts, task: &Claimed, lost: &CancellationToken) -> Outcome {
    let mut spent = Spent::default();
    let end = match &task.work {
        _ if let Some(failure) = looped(task.asked) => {
            tracing::warn!(task = %task.id, root = %task.root_id, asked = task.asked, "a run loop is stopped");
            End::Failed(failure)
        }
        Work::Ask(work) => match answer::answer(parts, task, work, (&mut spent, lost)).await {
            Ok(answer) => End::Completed { result: serde_json::json!({ "text": answer.text, "data": answer.data }) },
            Err(end) => end,
        },
        Work::Command(_) | Work::Deliver(_) => {
            End::Failed(Failure::new(Cause::Internal, "the row's work does not belong to an ask"))
        }
    };
    parts.metrics.asked(&end);
    traced::ended(&end);
    let charge = spent.model.as_deref().map(|model| Charge {
        agent: task.agent.clone(),
        provider: provider(model).to_owned(),
        model: model.to_owned(),
        pace: if task.pace == Pace::Flex { Pace::Flex } else { Pace::Now },
        usage: spent.usage,
        nanos: spent.nanos,
        list_nanos: spent.list_nanos,
        emulated: spent.emulated,
    });
    Outcome {
        id: task.id,
        root_id: task.root_id,
        attempt: Some(task.attempt),
        end,
        model: spent.model,
        emulated: spent.emulated,
        charge,
    }
}
