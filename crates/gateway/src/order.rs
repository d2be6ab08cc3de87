//! Takes an order: checked by `domain`, kept in one round trip, answered, announced.
//! Refuses to wait for Redis: an order that was kept and not announced is found by the sweep.

use crate::{
    announcer::PLAN,
    body,
    error::{Code, Problem, ProblemBody, Wrong},
    gateway::Gateway,
    idempotency::{self, replayed, reused},
    keyring::Caller,
    request::Facts,
    shown::{NewOrderShown, TaskShown},
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header::LOCATION},
    web::{Data, Payload},
};
use domain::{
    order::{NewOrder, Order},
    task::{Kind, State},
};
use serde_json::Value;
use store::{Accepted, NewTask};
use time::OffsetDateTime;
use uuid::Uuid;

/// Gives an order. With a playbook it is worked on at once; without one it is an open task on the board.
///
/// The answer comes when the order is safely kept.
#[utoipa::path(post, path = "/api/tasks", tag = "tasks",
    request_body = NewOrderShown,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the call safe to repeat.")),
    responses(
        (status = 201, description = "The order is kept.", body = TaskShown, headers(("Location" = String, description = "Its address."))),
        (status = 400, description = "Not JSON, or a malformed header.", body = ProblemBody),
        (status = 401, description = "No known key.", body = ProblemBody),
        (status = 403, description = "Not a master's key.", body = ProblemBody),
        (status = 409, description = "The same Idempotency-Key is being answered.", body = ProblemBody),
        (status = 413, description = "The body is too large.", body = ProblemBody),
        (status = 415, description = "Not application/json.", body = ProblemBody),
        (status = 422, description = "Wrong fields, an unknown playbook, or a reused Idempotency-Key.", body = ProblemBody),
        (status = 503, description = "Postgres is away; nothing was kept, or the same key will tell.", body = ProblemBody),
    ))]
pub(crate) async fn create(
    request: HttpRequest,
    payload: Payload,
    caller: Caller,
    facts: Facts,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let (bytes, fields) = body::object(&request, payload).await?;
    let asked = idempotency::of(&request, &bytes)?;
    let now = OffsetDateTime::now_utc();
    let order = NewOrder(Value::Object(fields.into_map()))
        .check(now)
        .map_err(|errors| Problem::invalid(errors.into_iter().map(Wrong::from).collect()))?;
    let id = Uuid::now_v7();
    let kind = if order.playbook.is_some() { Kind::Plan } else { Kind::Open };
    let shown = TaskShown::of_order(id, (kind, first_state(kind)), &order, (&caller.name, now));
    let body = serde_json::to_value(&shown).map_err(|error| Problem::internal(error.into()))?;
    let task = NewTask {
        id,
        order,
        created_by: caller.name.to_string(),
        traceparent: Some(facts.traceparent.to_string()),
        idempotency: asked.map(|asked| asked.answered(&caller, StatusCode::CREATED, body.clone())),
    };
    match gateway.store.accept(&task).await? {
        Accepted::Created => {
            announce(&gateway, &task, kind, &facts);
            Ok(HttpResponse::Created().insert_header((LOCATION, format!("/api/tasks/{id}"))).json(body))
        }
        Accepted::Replayed { status, body, task_id } => {
            let mut response = replayed(status, &body)?;
            if let Some(place) = task_id.and_then(|id| format!("/api/tasks/{id}").parse().ok()) {
                response.headers_mut().insert(LOCATION, place);
            }
            Ok(response)
        }
        Accepted::KeyReused => Err(reused()),
        Accepted::UnknownPlaybook { known } => Err(unknown_playbook(&task.order, &known)),
    }
}

/// An order waits for its plan; an open task waits for whoever claims it.
const fn first_state(kind: Kind) -> State {
    if matches!(kind, Kind::Open) { State::Queued } else { State::Pending }
}

fn announce(gateway: &Gateway, task: &NewTask, kind: Kind, facts: &Facts) {
    let traceparent = Some(&*facts.traceparent);
    if kind == Kind::Plan {
        gateway.announcer.task(PLAN, task.order.priority, task.id, kind.as_str(), traceparent);
    }
    gateway.announcer.event(task.id, first_state(kind), traceparent);
}

fn unknown_playbook(order: &Order, known: &[String]) -> Problem {
    let name = order.playbook.as_deref().unwrap_or_default();
    let expected = if known.is_empty() {
        "none: there are no playbooks yet".to_owned()
    } else {
        format!("one of {}", known.join(", "))
    };
    Problem::new(Code::UnknownPlaybook, format!("There is no playbook {name:?}."))
        .with_error(Wrong::new("playbook", format!("{name:?} is unknown"), expected))
        .with_fact("known", known.to_vec())
}
