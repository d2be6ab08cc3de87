//! Asks models: claims a slice of asks, calls the providers, and hands what they answered to the lanes.
//! An ask may run twice (a death between the answer and the commit); it is booked once.

use crate::{
    AGAIN, Parts,
    advance::{Advancer, Job},
    topics,
};
use boot::{Tasks, trace};
use bus::Delivery;
use domain::{
    advance::{AskWork, Work},
    money::{Nanos, Usage},
    pace::Pace,
    schema,
    task::{Cause, Failure, Kind, State},
};
use providers::{Answer, Class, Message, Request, Role};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use store::{Charge, Claimed, End, Outcome};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Claims a slice in one statement and asks each on its own.
pub(crate) async fn handle(parts: Arc<Parts>, advancer: Advancer, tasks: Tasks, slice: Vec<Delivery>) {
    let Some(mut claimed) = claim(&parts, Kind::Ask, &slice).await else {
        slice.into_iter().for_each(|delivery| delivery.fail("the claim failed"));
        return;
    };
    for delivery in slice {
        // Taken out: a name that comes twice in a slice is performed once.
        let Some(task) = claimed.remove(&delivery.entry.id) else {
            // Someone was faster, or the task was cancelled.
            delivery.ack();
            continue;
        };
        let (parts, advancer) = (Arc::clone(&parts), advancer.clone());
        tasks.spawn("ask", async move {
            let (lost, cut) = (parts.leases.hold(task.id, task.attempt), parts.leases.end());
            let span = tracing::info_span!("ask", task = %task.id, agent = task.agent.as_deref());
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

/// What the tries of one ask have cost so far.
#[derive(Default)]
struct Spent {
    usage: Usage,
    nanos: Nanos,
    model: Option<String>,
    emulated: bool,
}

impl Spent {
    /// Adds what was billed for an answer, used or not.
    fn add(&mut self, answer: Option<&Answer>) {
        if let Some(answer) = answer {
            self.usage += answer.usage;
            self.nanos += answer.nanos;
            self.model = Some(answer.model.clone());
            self.emulated |= answer.emulated;
        }
    }
}

async fn ask(parts: &Parts, task: &Claimed, lost: &CancellationToken) -> Outcome {
    let mut spent = Spent::default();
    let end = match &task.work {
        Work::Ask(work) => match answer(parts, task, work, (&mut spent, lost)).await {
            Ok(answer) => End::Completed { result: serde_json::json!({ "text": answer.text, "data": answer.data }) },
            Err(failure) => End::Failed(failure),
        },
        Work::Command(_) | Work::Deliver(_) => {
            End::Failed(Failure::new(Cause::Internal, "the row's work does not belong to an ask"))
        }
    };
    parts.metrics.asked(&end);
    let charge = spent.model.as_deref().map(|model| {
        let provider = model.split_once('/').map_or(model, |(provider, _)| provider);
        Charge {
            agent: task.agent.clone(),
            provider: provider.to_owned(),
            model: model.to_owned(),
            pace: if task.pace == Pace::Flex { Pace::Flex } else { Pace::Now },
            usage: spent.usage,
            nanos: spent.nanos,
            emulated: spent.emulated,
        }
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

/// Asks along the agent's models until one answers; a misfit is asked again with what was wrong.
///
/// A call that is under way is not broken off when the task is lost or cancelled: its provider bills it, and only its
/// answer says how much. It is not followed by another.
async fn answer(
    parts: &Parts,
    task: &Claimed,
    work: &AskWork,
    (spent, lost): (&mut Spent, &CancellationToken),
) -> Result<Answer, Failure> {
    let deadline = Instant::now() + Duration::from_millis(work.timeout_ms);
    let models: Vec<&String> = work.models.iter().filter(|model| parts.providers.serves(model)).collect();
    if models.is_empty() {
        return Err(Failure::new(Cause::Unavailable, unavailable(work)));
    }
    let mut last = Failure::new(Cause::Exhausted, "no model answered");
    for model in models {
        let mut request = request(task, work, model);
        for round in 0..=work.retry {
            if lost.is_cancelled() {
                return Err(Failure::new(Cause::Cancelled, "it was cancelled or taken over while it ran"));
            }
            request.timeout = deadline.saturating_duration_since(Instant::now());
            if request.timeout.is_zero() {
                return Err(Failure::new(Cause::TimedOut, format!("no answer within {} s", work.timeout_ms / 1000)));
            }
            let got = match parts.providers.ask(&request).await {
                Ok(got) => got,
                Err(error) => {
                    spent.add(error.billed.as_deref());
                    last = failure(&error);
                    if matches!(error.class, Class::Fail) {
                        return Err(last);
                    }
                    // Retries are used up, or the provider cannot serve now: the next model stands in.
                    break;
                }
            };
            spent.add(Some(&got));
            match fits(work, &got) {
                Ok(data) => return Ok(Answer { data, ..got }),
                Err(misfit) => {
                    last = Failure::new(Cause::Misfit, format!("{model} was asked {} times: {misfit}", round + 1));
                    request.messages.push(Message { role: Role::Assistant, text: got.text });
                    request.messages.push(Message { role: Role::User, text: correction(&misfit) });
                }
            }
        }
        if last.cause == Cause::Misfit {
            return Err(last);
        }
    }
    Err(last)
}

/// Checks an answer against the step's schema and returns its data.
fn fits(work: &AskWork, answer: &Answer) -> Result<Option<serde_json::Value>, String> {
    let Some(wanted) = &work.schema else {
        if answer.text.trim().is_empty() {
            return Err("the answer is empty".to_owned());
        }
        return Ok(answer.data.clone());
    };
    let data = answer.data.clone().or_else(|| schema::extract_json(&answer.text));
    let Some(data) = data else {
        return Err("the answer is not JSON".to_owned());
    };
    schema::check(wanted, &data)?;
    Ok(Some(data))
}

fn request(task: &Claimed, work: &AskWork, model: &str) -> Request {
    Request {
        model: model.to_owned(),
        system: Some(work.system.clone()).filter(|system| !system.is_empty()),
        messages: vec![Message { role: Role::User, text: work.prompt.clone() }],
        schema: work.schema.clone(),
        max_tokens: work.max_tokens,
        flex: task.pace == Pace::Flex,
        timeout: Duration::from_millis(work.timeout_ms),
        request_id: format!("{}-{}", task.id, task.attempt),
        traceparent: Some(trace::current().to_string()),
    }
}

fn correction(misfit: &str) -> String {
    format!("Your answer could not be used: {misfit}. Answer again with JSON alone that satisfies the schema.")
}

fn failure(error: &providers::Error) -> Failure {
    let cause = match error.class {
        Class::Fail => Cause::Refused,
        Class::Hold | Class::FailOver => Cause::Unavailable,
        Class::Retry { .. } => Cause::Exhausted,
    };
    Failure::new(cause, error.to_string())
}

fn unavailable(work: &AskWork) -> String {
    format!(
        "none of the agent's models ({}) belongs to a provider that is switched on; set its key",
        work.models.join(", ")
    )
}
