//! Shows tasks: the board, one, its tree, what it brought. Refuses to change any.

use crate::{
    batches,
    error::{Code, Problem, ProblemBody},
    fields::Fields,
    gateway::Gateway,
    page::{of_page, read_limit},
    shown::{PageShown, ResultsShown, TaskShown, TreeShown},
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{ACCEPT, HeaderName, VARY},
    web::Data,
};
use domain::{
    pace::Pace,
    task::{Kind, State},
};
use store::Filter;
use uuid::Uuid;

/// Says that an answer of the emulator, not of a model, went into a report.
static EMULATED: HeaderName = HeaderName::from_static("x-chavion-emulated");

/// Reads the id of the address.
///
/// # Errors
/// 404 when it is no id: nothing can be there.
pub(crate) fn id_of(request: &HttpRequest) -> Result<Uuid, Problem> {
    let text = request.match_info().query("id");
    text.parse().map_err(|_| Problem::new(Code::NotFound, "What the address has for an id is none."))
}

/// Lists tasks, newest first.
///
/// Only orders and open tasks, unless `agent`, a kind that only parts of orders have, or `roots=false` is asked for.
#[utoipa::path(get, path = "/api/tasks", tag = "tasks",
    params(
        ("state" = Option<String>, Query, description = "Where they stand."),
        ("kind" = Option<String>, Query, description = "Who performs them."),
        ("agent" = Option<String>, Query, description = "The agent that performs them."),
        ("q" = Option<String>, Query, description = "A text that title or description holds, in any case."),
        ("roots" = Option<bool>, Query, description = "Whether the parts of orders are left out."),
        ("limit" = Option<u16>, Query, description = "How many, 1 to 200; 50 when not given.", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "The `next` of the page before."),
    ),
    responses(
        (status = 200, description = "A page.", body = PageShown),
        (status = 401, description = "No known key.", body = ProblemBody),
        (status = 422, description = "Wrong parameters.", body = ProblemBody),
    ))]
pub(crate) async fn list(request: HttpRequest, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::of_query(request.query_string());
    let state = fields.parsed::<State>("state", &words(State::ALL, State::as_str));
    let kind = fields.parsed::<Kind>("kind", &words(Kind::ALL, Kind::as_str));
    let agent = fields.text("agent", 64);
    let search = fields.text("q", 200);
    let roots = fields.parsed::<bool>("roots", "true or false");
    let limit = read_limit(&mut fields);
    let of_parts = matches!(kind, Some(Kind::Ask | Kind::Command | Kind::Deliver | Kind::Approval));
    let roots_only = roots.unwrap_or(agent.is_none() && !of_parts);
    let filter = Filter { state, kind, agent, roots_only, search };
    let mark = format!("{filter:?}");
    let after = of_page(&mut fields, &mark);
    fields.finish()?;
    let page = gateway.store.list(&filter, after, limit).await?;
    Ok(HttpResponse::Ok().json(PageShown::of(page, &mark)))
}

/// Names the words of a closed list.
pub(crate) fn words<T: Copy>(all: &[T], word: fn(T) -> &'static str) -> String {
    let words: Vec<_> = all.iter().map(|one| word(*one)).collect();
    format!("one of {}", words.join(", "))
}

/// Shows one task.
#[utoipa::path(get, path = "/api/tasks/{id}", tag = "tasks",
    params(("id" = Uuid, Path, description = "The task.")),
    responses(
        (status = 200, description = "The task.", body = TaskShown),
        (status = 401, description = "No known key.", body = ProblemBody),
        (status = 404, description = "No such task.", body = ProblemBody),
    ))]
pub(crate) async fn show(request: HttpRequest, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    Fields::of_query(request.query_string()).finish()?;
    let id = id_of(&request)?;
    let task = gateway.store.task(id).await?.ok_or_else(|| Problem::unknown_task(id))?;
    let is_root = task.parent_id.is_none();
    let waits = !task.state.is_terminal() && (is_root || task.pace == Pace::Batch);
    let mut shown = TaskShown::from(task);
    if waits {
        let part = (!is_root).then_some(id);
        for wait in batches::waits(&gateway, shown.root_id, part).await?.into_values() {
            if !shown.batches.iter().any(|known| known.is_with(&wait)) {
                shown.batches.push(wait);
            }
        }
    }
    Ok(HttpResponse::Ok().json(shown))
}

/// Shows a task and the tasks below it, each with its time, tokens and cost.
#[utoipa::path(get, path = "/api/tasks/{id}/tree", tag = "tasks",
    params(("id" = Uuid, Path, description = "The task.")),
    responses(
        (status = 200, description = "The tree.", body = TreeShown),
        (status = 401, description = "No known key.", body = ProblemBody),
        (status = 404, description = "No such task.", body = ProblemBody),
    ))]
pub(crate) async fn tree(request: HttpRequest, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    Fields::of_query(request.query_string()).finish()?;
    let id = id_of(&request)?;
    let mut tasks = gateway.store.tree(id).await?;
    if tasks.is_empty() {
        // Not a root: its order's tree holds it.
        let status = gateway.store.status(id).await?.ok_or_else(|| Problem::unknown_task(id))?;
        tasks = gateway.store.tree(status.root_id).await?;
    }
    let waits = tasks.iter().any(|task| task.pace == Pace::Batch && task.state == State::InProgress);
    let root = tasks.first().map(|task| task.root_id);
    let mut tree = TreeShown::of(id, tasks).ok_or_else(|| Problem::unknown_task(id))?;
    if let Some(root) = root.filter(|_| waits) {
        tree.waiting(&batches::waits(&gateway, root, None).await?);
    }
    Ok(HttpResponse::Ok().json(tree))
}

/// Shows what a task brought: as JSON with all its parts, or the report alone to whoever accepts `text/markdown`.
///
/// This is the address where a report can be read again.
#[utoipa::path(get, path = "/api/tasks/{id}/results", tag = "tasks",
    params(("id" = Uuid, Path, description = "The task.")),
    responses(
        (status = 200, description = "What it brought so far, or its report.",
            content((ResultsShown = "application/json"), (String = "text/markdown"))),
        (status = 401, description = "No known key.", body = ProblemBody),
        (status = 404, description = "No such task, or no report yet.", body = ProblemBody),
    ))]
pub(crate) async fn results(request: HttpRequest, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    Fields::of_query(request.query_string()).finish()?;
    let id = id_of(&request)?;
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let markdown = accept.contains("text/markdown");
    if markdown && let Some(report) = gateway.store.report(id).await? {
        return Ok(as_markdown(report.markdown, report.emulated));
    }
    let results = ResultsShown::of(gateway.store.results(id).await?).ok_or_else(|| Problem::unknown_task(id))?;
    if !markdown {
        return Ok(HttpResponse::Ok().insert_header((VARY, "Accept")).json(results));
    }
    let task = results.task();
    match task.text() {
        Some(text) => Ok(as_markdown(text.to_owned(), task.emulated)),
        None => Err(Problem::new(Code::NotFound, format!("There is no report: the task is {}.", task.state))
            .with_fact("state", task.state)),
    }
}

fn as_markdown(text: String, emulated: bool) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((VARY, "Accept"));
    if emulated {
        response.insert_header((EMULATED.clone(), "1"));
    }
    response.content_type("text/markdown; charset=utf-8").body(text)
}
