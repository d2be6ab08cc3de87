//! The board: agents claim open tasks, say how far they are, and end them, each under its own name.
//! Refuses whoever comes second, and says who was first.

use crate::{
    body,
    error::{Code, Problem, ProblemBody},
    fields::Fields,
    gateway::Gateway,
    idempotency::{self, Done, once},
    keyring::Caller,
    moves::{MAX_REASON, ended},
    request::Facts,
    shown::TaskShown,
    tasks::id_of,
};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};
use boot::trace::{self, Past, Traceparent};
use domain::task::{Kind, State};
use serde_json::{Value, json};
use store::{ClaimedOpen, MovedOpen, Task};
use tracing::Span;
use utoipa::ToSchema;
use uuid::Uuid;

/// The longest account of progress, in characters.
const MAX_PROGRESS: usize = 2000;

/// Who claims.
#[derive(Debug, ToSchema)]
#[schema(as = Claim)]
#[expect(dead_code, reason = "describes for OpenAPI what `Fields` reads")]
pub(crate) struct ClaimShown {
    /// The agent's name; an agent's key may leave it out.
    #[schema(example = "claude-desktop")]
    agent_name: Option<String>,
}

/// What an agent brings.
#[derive(Debug, ToSchema)]
#[schema(as = Complete)]
#[expect(dead_code, reason = "describes for OpenAPI what `Fields` reads")]
pub(crate) struct CompleteShown {
    /// The agent's name; an agent's key may leave it out.
    agent_name: Option<String>,
    /// A text, which becomes the report, or any JSON.
    #[schema(example = "조사를 마쳤습니다. 세 가지를 권합니다: …")]
    result: Value,
}

/// What an agent says about a task.
#[derive(Debug, ToSchema)]
#[schema(as = Report)]
#[expect(dead_code, reason = "describes for OpenAPI what `Fields` reads")]
pub(crate) struct ReportShown {
    /// The agent's name; an agent's key may leave it out.
    agent_name: Option<String>,
    /// How far it is, or why it cannot be done; `reason` and `progress` are read as well.
    #[schema(example = "절반쯤 했습니다")]
    result: String,
}

/// Claims an open task. One wins; the others get 409 and who has it.
#[utoipa::path(post, path = "/api/tasks/{id}/claim", tag = "board",
    request_body = ClaimShown,
    params(
        ("id" = Uuid, Path, description = "The open task."),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes the call safe to repeat."),
    ),
    responses(
        (status = 200, description = "It is the agent's.", body = TaskShown),
        (status = 401, description = "No known key.", body = ProblemBody),
        (status = 403, description = "Not this agent's key.", body = ProblemBody),
        (status = 404, description = "No such task.", body = ProblemBody),
        (status = 409, description = "Another agent has it (`by`), or it is not open.", body = ProblemBody),
        (status = 422, description = "Wrong fields.", body = ProblemBody),
    ))]
pub(crate) async fn claim(
    request: HttpRequest,
    payload: Payload,
    caller: Caller,
    facts: Facts,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let (bytes, mut fields) = body::object_or_nothing(&request, payload).await?;
    let agent = agent_of(&caller, &mut fields);
    fields.finish()?;
    caller.act_as(&agent)?;
    let asked = idempotency::of(&request, &bytes)?;
    let id = id_of(&request)?;
    once(&gateway, &caller, asked, async || match gateway.store.claim_open(id, &agent).await? {
        ClaimedOpen::Won(task) => {
            trace::link(&Span::current(), task.traceparent.as_deref());
            gateway.announcer.event(id, State::InProgress, Some(&*facts.traceparent));
            Ok(shown(task))
        }
        ClaimedOpen::Taken { by } => Err(taken(&by)),
        ClaimedOpen::NotOpen { state, kind } => Err(not_open(&gateway, id, kind, state).await),
        ClaimedOpen::Unknown => Err(Problem::unknown_task(id)),
    })
    .await
}

/// Ends a claimed task well.
#[utoipa::path(post, path = "/api/tasks/{id}/complete", tag = "board",
    request_body = CompleteShown,
    params(
        ("id" = Uuid, Path, description = "The claimed task."),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes the call safe to repeat."),
    ),
    responses(
        (status = 200, description = "It is completed.", body = TaskShown),
        (status = 401, description = "No known key.", body = ProblemBody),
        (status = 403, description = "Not this agent's key.", body = ProblemBody),
        (status = 404, description = "No such task.", body = ProblemBody),
        (status = 409, description = "Another agent has it, it is not claimed, or it has ended: who, when and how.", body = ProblemBody),
        (status = 422, description = "Wrong fields.", body = ProblemBody),
    ))]
pub(crate) async fn complete(
    request: HttpRequest,
    payload: Payload,
    caller: Caller,
    facts: Facts,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let (bytes, mut fields) = body::object(&request, payload).await?;
    let agent = agent_of(&caller, &mut fields);
    let result = fields.any("result");
    if result.is_none() {
        fields.say("result", "is missing", "a text or any JSON");
    }
    fields.finish()?;
    caller.act_as(&agent)?;
    let asked = idempotency::of(&request, &bytes)?;
    let id = id_of(&request)?;
    let result = with_text(result.unwrap_or_default());
    once(&gateway, &caller, asked, async || {
        let moved = gateway.store.complete_open(id, &agent, &result).await?;
        let done = spoken(&gateway, id, moved).await?;
        gateway.announcer.event(id, State::Completed, Some(&*facts.traceparent));
        Ok(done)
    })
    .await
}

/// Ends a claimed task badly.
#[utoipa::path(post, path = "/api/tasks/{id}/fail", tag = "board",
    request_body = ReportShown,
    params(
        ("id" = Uuid, Path, description = "The claimed task."),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes the call safe to repeat."),
    ),
    responses(
        (status = 200, description = "It is failed.", body = TaskShown),
        (status = 401, description = "No known key.", body = ProblemBody),
        (status = 403, description = "Not this agent's key.", body = ProblemBody),
        (status = 404, description = "No such task.", body = ProblemBody),
        (status = 409, description = "Another agent has it, it is not claimed, or it has ended: who, when and how.", body = ProblemBody),
        (status = 422, description = "Wrong fields.", body = ProblemBody),
    ))]
pub(crate) async fn fail(
    request: HttpRequest,
    payload: Payload,
    caller: Caller,
    facts: Facts,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let (bytes, mut fields) = body::object(&request, payload).await?;
    let agent = agent_of(&caller, &mut fields);
    let reason = said(&mut fields, "reason", MAX_REASON);
    fields.finish()?;
    caller.act_as(&agent)?;
    let asked = idempotency::of(&request, &bytes)?;
    let id = id_of(&request)?;
    once(&gateway, &caller, asked, async || {
        let moved = gateway.store.fail_open(id, &agent, &reason).await?;
        let done = spoken(&gateway, id, moved).await?;
        gateway.announcer.event(id, State::Failed, Some(&*facts.traceparent));
        Ok(done)
    })
    .await
}

/// Says how far a claimed task is.
#[utoipa::path(post, path = "/api/tasks/{id}/report", tag = "board",
    request_body = ReportShown,
    params(
        ("id" = Uuid, Path, description = "The claimed task."),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes the call safe to repeat."),
    ),
    responses(
        (status = 200, description = "It is noted.", body = TaskShown),
        (status = 401, description = "No known key.", body = ProblemBody),
        (status = 403, description = "Not this agent's key.", body = ProblemBody),
        (status = 404, description = "No such task.", body = ProblemBody),
        (status = 409, description = "Another agent has it, it is not claimed, or it has ended: who, when and how.", body = ProblemBody),
        (status = 422, description = "Wrong fields.", body = ProblemBody),
    ))]
pub(crate) async fn report(
    request: HttpRequest,
    payload: Payload,
    caller: Caller,
    facts: Facts,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let (bytes, mut fields) = body::object(&request, payload).await?;
    let agent = agent_of(&caller, &mut fields);
    let progress = said(&mut fields, "progress", MAX_PROGRESS);
    fields.finish()?;
    caller.act_as(&agent)?;
    let asked = idempotency::of(&request, &bytes)?;
    let id = id_of(&request)?;
    once(&gateway, &caller, asked, async || {
        let moved = gateway.store.report_open(id, &agent, &progress).await?;
        let done = spoken(&gateway, id, moved).await?;
        gateway.announcer.progress(id, Some(&*facts.traceparent));
        Ok(done)
    })
    .await
}

/// Takes the agent's name; who has an agent's key need not say it.
fn agent_of(caller: &Caller, fields: &mut Fields) -> String {
    match (fields.given("agent_name"), &caller.agent) {
        (false, Some(own)) => own.to_string(),
        _ => fields.needed_name("agent_name"),
    }
}

/// Takes what is said under `result`, the fixed name, or under the name that fits better.
fn said(fields: &mut Fields, better: &'static str, max: usize) -> String {
    let name = if fields.given(better) { better } else { "result" };
    fields.needed_text(name, max)
}

/// Every result has a text: for JSON it is the JSON, to be read as Markdown.
fn with_text(result: Value) -> Value {
    match result {
        Value::String(text) => json!({"text": text}),
        Value::Object(members) if members.get("text").is_some_and(Value::is_string) => Value::Object(members),
        data => json!({"text": format!("```json\n{data:#}\n```"), "data": data}),
    }
}

async fn spoken(gateway: &Gateway, id: Uuid, moved: MovedOpen) -> Result<Done, Problem> {
    match moved {
        MovedOpen::Done(task) => {
            if task.state.is_terminal() && task.parent_id.is_none() {
                gateway.metrics.ended(task.state);
            }
            show(gateway, &task);
            Ok(shown(task))
        }
        MovedOpen::Taken { by } => Err(taken(&by)),
        MovedOpen::NotOpen { state, kind } => Err(not_open(gateway, id, kind, state).await),
        MovedOpen::Unknown => Err(Problem::unknown_task(id)),
    }
}

/// Links the agent's request with the trace of the order; that one gets a span for the agent's work, when it is over.
fn show(gateway: &Gateway, task: &Task) {
    trace::link(&Span::current(), task.traceparent.as_deref());
    let order = task.traceparent.as_deref().and_then(|text| text.parse::<Traceparent>().ok());
    if let Some(order) = order.filter(|_| gateway.traces.are_on() && task.state.is_terminal()) {
        let work = Past::below(&order, "open task", task.started_at.unwrap_or(task.created_at).into())
            .with("task", task.id.to_string())
            .with("agent", task.agent.clone().unwrap_or_default())
            .with("outcome", task.state.as_str())
            .linked([trace::current()])
            .failed(task.state == State::Failed);
        gateway.traces.tell(work);
    }
}

fn shown(task: Box<Task>) -> Done {
    let id = task.id;
    Done::ok(json!(TaskShown::from(*task)), Some(id))
}

fn taken(by: &str) -> Problem {
    Problem::new(Code::AlreadyClaimed, format!("{by} has this task."))
        .with_fact("by", by)
        .with_fact("state", State::InProgress.as_str())
}

async fn not_open(gateway: &Gateway, id: Uuid, kind: Kind, state: State) -> Problem {
    if kind != Kind::Open {
        let detail = format!("This task is of kind {kind}; only open ones are claimed and ended by agents.");
        return Problem::new(Code::NotOpen, detail).with_fact("kind", kind.as_str()).with_fact("state", state.as_str());
    }
    if state.is_terminal() {
        return ended(gateway, id).await;
    }
    let detail = format!("The task is {state}: claim it first.");
    Problem::new(Code::NotClaimed, detail).with_fact("state", state.as_str())
}
