//! Events over WebSocket: the same messages as `sse`, as JSON texts. Refuses to take orders from its clients.

use crate::{
    error::{Code, Problem, ProblemBody},
    feed::{Asked, Feed, KEEP_ALIVE, Told},
    gateway::Gateway,
};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};
use actix_ws::{CloseCode, CloseReason, Message, MessageStream, Session};
use serde_json::json;
use std::time::{Duration, Instant};

/// How long a client may take to read the messages that were sent before.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a client that reads nothing gets to read why it is dropped.
const LAST_PATIENCE: Duration = Duration::from_secs(20);
/// The largest frame that is read from a client, in bytes.
const MAX_FRAME: usize = 4096;

/// Opens a WebSocket with the messages of `GET /api/events`: `{"id", "event", "data"}`.
///
/// The close code 1013 says: come back, with the id of the last event as `after`.
#[utoipa::path(get, path = "/ws", tag = "events",
    params(
        ("root" = Option<uuid::Uuid>, Query, description = "Only this order and its parts."),
        ("roots" = Option<bool>, Query, description = "Only orders, not their parts."),
        ("after" = Option<String>, Query, description = "The id of the last event seen."),
    ),
    responses(
        (status = 101, description = "The socket is open."),
        (status = 400, description = "Not a WebSocket handshake.", body = ProblemBody),
        (status = 401, description = "No known key.", body = ProblemBody),
        (status = 422, description = "Wrong parameters.", body = ProblemBody),
        (status = 429, description = "Too many streams are open.", body = ProblemBody),
        (status = 503, description = "Redis is away.", body = ProblemBody),
    ))]
pub(crate) async fn connect(
    request: HttpRequest,
    payload: Payload,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let asked = Asked::of(&request)?;
    let feed = Feed::open(gateway.clone(), asked, "websocket").await?;
    let (response, session, messages) = actix_ws::handle(&request, payload)
        .map_err(|error| Problem::new(Code::BadRequest, format!("Not a WebSocket handshake: {error}.")))?;
    gateway.sockets.spawn_local(talk(feed, session, messages.max_frame_size(MAX_FRAME)));
    Ok(response)
}

async fn talk(mut feed: Feed, mut session: Session, mut messages: MessageStream) {
    let mut heard = Instant::now();
    let reason = loop {
        let told = tokio::select! {
            told = feed.next() => told,
            message = messages.recv() => match message {
                Some(Ok(Message::Ping(bytes))) => {
                    heard = Instant::now();
                    if session.pong(&bytes).await.is_err() {
                        return;
                    }
                    continue;
                }
                Some(Ok(Message::Close(_))) | None => break None,
                Some(Ok(_)) => {
                    heard = Instant::now();
                    continue;
                }
                Some(Err(_)) => break Some((CloseCode::Protocol, "that is no WebSocket frame of at most 4096 bytes")),
            },
        };
        let sent = match &told {
            Told::TooSlow => break Some((CloseCode::Again, "too slow: come back with ?after=<the last id you saw>")),
            Told::Away => break Some((CloseCode::Again, "events cannot be read now: come back with ?after=")),
            Told::Stopping => break Some((CloseCode::Restart, "this server stops: come back with ?after=")),
            Told::KeepAlive if heard.elapsed() > KEEP_ALIVE * 3 => {
                break Some((CloseCode::Policy, "no pong for 45 seconds"));
            }
            Told::KeepAlive => tokio::time::timeout(PATIENCE, session.ping(b"")).await,
            told => tokio::time::timeout(PATIENCE, session.text(text(told))).await,
        };
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => break Some((CloseCode::Again, "too slow: come back with ?after=<the last id you saw>")),
        }
    };
    if let Some((CloseCode::Again, _)) = reason {
        feed.dropped();
    }
    drop(feed);
    let reason = reason.map(|(code, text)| CloseReason { code, description: Some(text.to_owned()) });
    // Who still does not read is let go without a word.
    let _ = tokio::time::timeout(LAST_PATIENCE, session.close(reason)).await;
}

fn text(told: &Told) -> String {
    match told {
        Told::Event(event) => format!(r#"{{"id":"{}","event":"{}","data":{}}}"#, event.id, event.kind, event.data),
        Told::Reset => {
            json!({"event": "reset", "data": {"reason": "events were lost; read again what you show"}}).to_string()
        }
        Told::Ready => json!({"event": "ready", "data": {}}).to_string(),
        Told::KeepAlive | Told::TooSlow | Told::Away | Told::Stopping => String::new(),
    }
}
