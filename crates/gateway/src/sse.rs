//! Events as a stream of server-sent events. Refuses to buffer: what a client has not read stays in the feed.

use crate::{
    error::{Problem, ProblemBody},
    feed::{Asked, Feed, Told},
    gateway::Gateway,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::Method,
    web::{Bytes, Data},
};
use futures_util::stream;
use serde_json::json;
use std::convert::Infallible;

const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";

/// Streams what happens, from now on or from the event after `Last-Event-ID`.
///
/// Each message has the event's id, what happened (`task.completed`, `task.progress`, …) as its event, and the facts
/// of the task's row, as it is when the event is passed on, as JSON. What happens to a batch (`batch.running`,
/// `batch.settled`, …) and to a provider (`blackout.begun`, `blackout.ended`) belongs to no order. `ready` comes first: nothing after it is missed.
/// `reset` says that events were lost and what is shown must be read
/// again; `too_slow`, `away` and `stopping` come last, before the stream ends. A comment comes every 15 seconds.
#[utoipa::path(get, path = "/api/events", tag = "events",
    params(
        ("root" = Option<uuid::Uuid>, Query, description = "Only this order and its parts."),
        ("roots" = Option<bool>, Query, description = "Only orders, not their parts."),
        ("after" = Option<String>, Query, description = "The id of the last event seen; the header goes first."),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event seen."),
    ),
    responses(
        (status = 200, description = "The stream.", body = String, content_type = "text/event-stream"),
        (status = 401, description = "No known key.", body = ProblemBody),
        (status = 422, description = "Wrong parameters.", body = ProblemBody),
        (status = 429, description = "Too many streams are open.", body = ProblemBody),
        (status = 503, description = "Redis is away.", body = ProblemBody),
    ))]
pub(crate) async fn events(request: HttpRequest, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    let asked = Asked::of(&request)?;
    if request.method() == Method::HEAD {
        return Ok(HttpResponse::Ok().content_type(EVENT_STREAM).finish());
    }
    let feed = Feed::open(gateway, asked, "sse").await?;
    let stream = stream::unfold(Some(feed), |feed| async {
        let mut feed = feed?;
        let told = feed.next().await;
        let ends = matches!(told, Told::TooSlow | Told::Away | Told::Stopping);
        if matches!(told, Told::TooSlow) {
            feed.dropped();
        }
        Some((Ok::<_, Infallible>(Bytes::from(text(&told))), (!ends).then_some(feed)))
    });
    // Buffering proxies are told not to: a message is of use at once or never.
    Ok(HttpResponse::Ok().content_type(EVENT_STREAM).insert_header(("X-Accel-Buffering", "no")).streaming(stream))
}

fn text(told: &Told) -> String {
    match told {
        Told::Ready => "retry: 2000\nevent: ready\ndata: {}\n\n".to_owned(),
        Told::Event(event) => format!("id: {}\nevent: {}\ndata: {}\n\n", event.id, event.kind, event.data),
        Told::Reset => without_id("reset", "events were lost; read again what you show"),
        Told::KeepAlive => ": still here\n\n".to_owned(),
        Told::TooSlow => without_id("too_slow", "you read too slowly; come back with the id of the last event you saw"),
        Told::Away => without_id("away", "events cannot be read now; come back with the id of the last event you saw"),
        Told::Stopping => without_id("stopping", "this server stops; come back with the id of the last event you saw"),
    }
}

/// A message about the stream has no id: a browser comes back with the one before.
fn without_id(event: &str, reason: &str) -> String {
    format!("event: {event}\ndata: {}\n\n", json!({"reason": reason}))
}
