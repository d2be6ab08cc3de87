//! The table of everything served: method, address, who may call it, how long it may take, its handler.
//! The server, the 405 answers and the test that compares it with OpenAPI are all made from it.

use crate::{
    agents, batches, blackouts, board, budgets, docs,
    error::{Code, Problem},
    health, help,
    keyring::Need::{self, Agent, Master, Nobody, Viewer},
    keys, moves, order, playbooks,
    request::{Endpoint, around},
    sse, status, tasks, wait, ws,
};
use actix_web::{
    HttpRequest, HttpResponse, Route, guard,
    middleware::from_fn,
    web::{self, ServiceConfig},
};
use std::{
    future::{Ready, ready},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(30);
const LONG_PATIENCE: Duration = Duration::from_secs(90);
/// What metrics call an address that is not in the table.
pub(crate) const UNKNOWN: &str = "unknown";
/// What metrics call a method that an address does not take.
pub(crate) const OTHER: &str = "other";

/// Returns method and address of everything served, for tests and documents.
#[must_use]
pub fn served() -> Vec<(&'static str, &'static str)> {
    table().into_iter().map(|(endpoint, _)| (endpoint.method, endpoint.path)).collect()
}

/// Returns method, address and needed role of everything served.
#[must_use]
pub fn needs() -> Vec<(&'static str, &'static str, &'static str)> {
    table().into_iter().map(|(endpoint, _)| (endpoint.method, endpoint.path, endpoint.need.as_str())).collect()
}

fn table() -> Vec<(Endpoint, Route)> {
    vec![
        get("/api/tasks", Viewer, web::to(tasks::list)),
        post("/api/tasks", Master, web::to(order::create)),
        get("/api/tasks/{id}", Viewer, web::to(tasks::show)),
        slow("/api/tasks/{id}/status", Viewer, web::to(wait::status)),
        get("/api/tasks/{id}/results", Viewer, web::to(tasks::results)),
        get("/api/tasks/{id}/tree", Viewer, web::to(tasks::tree)),
        post("/api/tasks/{id}/cancel", Master, web::to(moves::cancel)),
        post("/api/tasks/{id}/retry", Master, web::to(moves::retry)),
        post("/api/tasks/{id}/claim", Agent, web::to(board::claim)),
        post("/api/tasks/{id}/complete", Agent, web::to(board::complete)),
        post("/api/tasks/{id}/fail", Agent, web::to(board::fail)),
        post("/api/tasks/{id}/report", Agent, web::to(board::report)),
        get("/api/batches", Viewer, web::to(batches::list)),
        post("/api/batches/flush", Master, web::to(batches::flush)),
        get("/api/batches/{id}", Viewer, web::to(batches::show)),
        post("/api/batches/{id}/cancel", Master, web::to(batches::cancel)),
        get("/api/budgets", Viewer, web::to(budgets::list)),
        post("/api/budgets", Master, web::to(budgets::put)),
        get("/api/budgets/{scope}/{name}/{period}", Viewer, web::to(budgets::show)),
        row("DELETE", "/api/budgets/{scope}/{name}/{period}", Master, PATIENCE, web::to(budgets::delete)),
        get("/api/blackouts", Viewer, web::to(blackouts::list)),
        post("/api/blackouts/{provider}/end", Master, web::to(blackouts::end)),
        get("/api/agents", Viewer, web::to(agents::list)),
        get("/api/playbooks", Viewer, web::to(playbooks::list)),
        post("/api/playbooks", Master, web::to(playbooks::put)),
        get("/api/status", Viewer, web::to(status::show)),
        get("/api/keys", Master, web::to(keys::list)),
        post("/api/keys", Master, web::to(keys::create)),
        row("DELETE", "/api/keys/{id}", Master, PATIENCE, web::to(keys::revoke)),
        get("/api/events", Viewer, web::to(sse::events)),
        get("/ws", Viewer, web::to(ws::connect)),
        get("/health", Nobody, web::to(health::show)),
        get("/help", Nobody, web::to(help::show)),
        get("/api/openapi.json", Nobody, web::to(docs::openapi)),
        get("/api/docs", Nobody, web::to(docs::entrance)),
        get("/api/docs/{file}", Nobody, web::to(docs::file)),
    ]
}

fn get(path: &'static str, need: Need, route: Route) -> (Endpoint, Route) {
    row("GET", path, need, PATIENCE, route)
}

fn slow(path: &'static str, need: Need, route: Route) -> (Endpoint, Route) {
    row("GET", path, need, LONG_PATIENCE, route)
}

fn post(path: &'static str, need: Need, route: Route) -> (Endpoint, Route) {
    row("POST", path, need, PATIENCE, route)
}

fn row(method: &'static str, path: &'static str, need: Need, patience: Duration, route: Route) -> (Endpoint, Route) {
    (Endpoint { method, path, need, patience }, route)
}

/// Adds everything served to an actix application.
pub(crate) fn register(config: &mut ServiceConfig) {
    let mut addresses: Vec<(&'static str, Vec<(Endpoint, Route)>)> = Vec::new();
    for (endpoint, route) in table() {
        match addresses.iter_mut().find(|(path, _)| *path == endpoint.path) {
            Some((_, methods)) => methods.push((endpoint, route)),
            None => addresses.push((endpoint.path, vec![(endpoint, route)])),
        }
    }
    for (path, methods) in addresses {
        let mut resource = web::resource(path);
        let allow =
            methods.iter().flat_map(|(endpoint, _)| taken(endpoint.method)).copied().collect::<Vec<_>>().join(", ");
        for (endpoint, route) in methods {
            resource = resource.route(wrapped(endpoint, guarded(endpoint.method, route)));
        }
        let refuse = web::to(move |request: HttpRequest| method_not_allowed(&request, allow.clone()));
        config.service(resource.default_service(wrapped(anything(path), refuse)));
    }
    config.default_service(wrapped(anything(UNKNOWN), web::to(unknown_route)));
}

/// What is answered where a GET is: HEAD too, whose body the server leaves out.
fn taken(method: &str) -> &'static [&'static str] {
    match method {
        "GET" => &["GET", "HEAD"],
        "POST" => &["POST"],
        _ => &["DELETE"],
    }
}

fn guarded(method: &str, route: Route) -> Route {
    match method {
        "GET" => route.guard(guard::Any(guard::Get()).or(guard::Head())),
        "POST" => route.guard(guard::Post()),
        _ => route.guard(guard::Delete()),
    }
}

fn anything(path: &'static str) -> Endpoint {
    Endpoint { method: OTHER, path, need: Need::Nobody, patience: PATIENCE }
}

fn wrapped(endpoint: Endpoint, route: Route) -> Route {
    route.wrap(from_fn(move |request, next| around(endpoint, request, next)))
}

fn method_not_allowed(request: &HttpRequest, allow: String) -> Ready<Result<HttpResponse, Problem>> {
    let detail = format!("{} is not taken here; {allow} is.", short(request.method().as_str()));
    ready(Err(Problem::new(Code::MethodNotAllowed, detail).with_allow(allow)))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of a handler")]
fn unknown_route(request: HttpRequest) -> Ready<Result<HttpResponse, Problem>> {
    let detail = format!("There is nothing at {}. GET /help lists what there is.", short(request.path()));
    ready(Err(Problem::new(Code::UnknownRoute, detail)))
}

/// Keeps what a stranger chose short enough to be repeated to them.
fn short(text: &str) -> String {
    text.chars().take(120).collect()
}
