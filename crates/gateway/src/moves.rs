//! Ends an order early, or begins a failed one again. Refuses to do either to what has gone on without it.

use crate::{
    announcer::{PLAN, SETTLED},
    body,
    error::{Code, Problem, ProblemBody},
    gateway::Gateway,
    idempotency::{self, Done, once},
    keyring::Caller,
    request::Facts,
    tasks::id_of,
};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};
use boot::trace::{self, Past, Traceparent};
use domain::task::{Kind, Priority, State};
use serde::Serialize;
use serde_json::{Value, json};
use store::{Cancelled, Retry};
use tracing::Span;
use utoipa::ToSchema;
use uuid::Uuid;

/// The longest reason, in characters.
pub(crate) const MAX_REASON: usize = 2000;

/// Why a task is cancelled. The body may be left out.
#[derive(Debug, ToSchema)]
#[schema(as = Cancel)]
#[expect(dead_code, reason = "describes for OpenAPI what `Fields` reads")]
pub(crate) struct CancelShown {
    /// A sentence for those who look at it later.
    #[schema(example = "더 이상 필요 없음")]
    reason: Option<String>,
}

/// What was cancelled.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Cancelled)]
pub(crate) struct CancelledShown {
    /// The task.
    id: Uuid,
    /// Its order.
    root_id: Uuid,
    /// `cancelled`.
    state: &'static str,
    /// Everything that was cancelled with it.
    cancelled: Vec<Uuid>,
}

/// An order that begins again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Retried)]
pub(crate) struct RetriedShown {
    /// The order.
    id: Uuid,
    /// Where it stands now.
    state: &'static str,
}

/// Cancels a task with whatever is alive below it. Answers that still come in for it are booked and ignored.
#[utoipa::path(post, path = "/api/tasks/{id}/cancel", tag = "tasks",
    request_body = Option<CancelShown>,
    params(
        ("id" = Uuid, Path, description = "The task."),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes the call safe to repeat."),
    ),
    responses(
        (status = 200, description = "It is cancelled.", body = CancelledShown),
        (status = 401, description = "No known key.", body = ProblemBody),
        (status = 403, description = "Not a master's key.", body = ProblemBody),
        (status = 404, description = "No such task.", body = ProblemBody),
        (status = 409, description = "It has already ended.", body = ProblemBody),
    ))]
pub(crate) async fn cancel(
    request: HttpRequest,
    payload: Payload,
    caller: Caller,
    facts: Facts,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let (bytes, mut fields) = body::object_or_nothing(&request, payload).await?;
    let reason = fields.text("reason", MAX_REASON);
    fields.finish()?;
    let asked = idempotency::of(&request, &bytes)?;
    let id = id_of(&request)?;
    let reason = reason.unwrap_or_else(|| format!("cancelled by {}", caller.name));
    once(&gateway, &caller, asked, async || {
        let (root_id, ids) = match gateway.store.cancel(id, &reason).await? {
            Cancelled::Done { root_id, ids } => (root_id, ids),
            Cancelled::AlreadyEnded { .. } => return Err(ended(&gateway, id).await),
            Cancelled::Unknown => return Err(Problem::unknown_task(id)),
        };
        if gateway.traces.are_on() {
            show(&gateway, root_id, ids.contains(&root_id)).await;
        }
        let traceparent = Some(&*facts.traceparent);
        for cancelled in &ids {
            gateway.announcer.event(*cancelled, State::Cancelled, traceparent);
        }
        if ids.contains(&root_id) {
            gateway.metrics.ended(State::Cancelled);
        } else {
            // The order goes on without this part: it is to be decided how.
            gateway.announcer.task(SETTLED, Priority::Normal, id, Kind::Plan.as_str(), traceparent);
        }
        let shown = CancelledShown { id, root_id, state: State::Cancelled.as_str(), cancelled: ids };
        Ok(Done::ok(json!(shown), Some(root_id)))
    })
    .await
}

/// Links the request with the order's trace, in which the order ends when nothing of it is left.
async fn show(gateway: &Gateway, root_id: Uuid, over: bool) {
    let Ok(Some(root)) = gateway.store.task(root_id).await else { return };
    trace::link(&Span::current(), root.traceparent.as_deref());
    let order = root.traceparent.as_deref().and_then(|text| text.parse::<Traceparent>().ok());
    if let Some(order) = order.filter(|_| over) {
        let whole = Past::below(&order, "order", root.created_at.into())
            .with("task", root_id.to_string())
            .with("playbook", root.playbook.unwrap_or_default())
            .with("outcome", State::Cancelled.as_str())
            .linked([trace::current()]);
        gateway.traces.tell(whole);
    }
}

/// Begins a failed or cancelled order again, from what failed: what was completed is not paid for twice.
#[utoipa::path(post, path = "/api/tasks/{id}/retry", tag = "tasks",
    params(
        ("id" = Uuid, Path, description = "The order."),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes the call safe to repeat."),
    ),
    responses(
        (status = 200, description = "It begins again.", body = RetriedShown),
        (status = 401, description = "No known key.", body = ProblemBody),
        (status = 403, description = "Not a master's key.", body = ProblemBody),
        (status = 404, description = "No such task.", body = ProblemBody),
        (status = 409, description = "It has not failed and was not cancelled, or it is a part of an order.", body = ProblemBody),
    ))]
pub(crate) async fn retry(
    request: HttpRequest,
    payload: Payload,
    caller: Caller,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let (bytes, fields) = body::object_or_nothing(&request, payload).await?;
    fields.finish()?;
    let asked = idempotency::of(&request, &bytes)?;
    let id = id_of(&request)?;
    once(&gateway, &caller, asked, async || {
        let retried = match gateway.store.retry(id).await? {
            Retry::Retried(retried) => retried,
            Retry::NotEnded { state } => {
                let detail = format!("The order is {state}.");
                return Err(Problem::new(Code::NotEnded, detail).with_fact("state", state.as_str()));
            }
            Retry::NotRoot { root_id } => {
                let detail = "This is a part of an order; retry the order.";
                return Err(Problem::new(Code::NotEnded, detail).with_fact("root_id", root_id.to_string()));
            }
            Retry::Unknown => return Err(Problem::unknown_task(id)),
        };
        let traceparent = retried.traceparent.as_deref();
        trace::link(&Span::current(), traceparent);
        if retried.kind == Kind::Plan {
            gateway.announcer.task(PLAN, retried.priority, id, retried.kind.as_str(), traceparent);
        }
        gateway.announcer.event(id, retried.state, traceparent);
        Ok(Done::ok(json!(RetriedShown { id, state: retried.state.as_str() }), Some(id)))
    })
    .await
}

/// Refuses because a task has ended; says who ended it, when and how.
pub(crate) async fn ended(gateway: &Gateway, id: Uuid) -> Problem {
    let status = match gateway.store.status(id).await {
        Ok(Some(status)) => status,
        Ok(None) => return Problem::unknown_task(id),
        Err(error) => return error.into(),
    };
    let when = status.ended_at.and_then(|when| when.format(&time::format_description::well_known::Rfc3339).ok());
    let by = status.agent.as_deref().map(|agent| format!(" by {agent}")).unwrap_or_default();
    let at = when.as_deref().map(|when| format!(" at {when}")).unwrap_or_default();
    Problem::new(Code::AlreadyEnded, format!("The task is {}{by}{at}.", status.state))
        .with_fact("state", status.state.as_str())
        .with_fact("by", status.agent.map_or(Value::Null, Value::from))
        .with_fact("ended_at", when.map_or(Value::Null, Value::from))
}
