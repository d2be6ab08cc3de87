//! Requests that may be sent again: the first answer is kept in the store and given again.
//! Refuses to keep answers that changed nothing: those may be worked out again.

use crate::{
    error::{Code, Problem, Wrong},
    gateway::Gateway,
    keyring::Caller,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header::HeaderName},
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use store::{Idempotency, Replay};
use uuid::Uuid;

static HEADER: &str = "idempotency-key";
static REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// The longest key, in bytes.
const MAX_KEY: usize = 255;
/// How often, and how long apart, an answer that another replica is about to keep is looked for.
const LOOKS: [Duration; 4] =
    [Duration::from_millis(20), Duration::from_millis(50), Duration::from_millis(100), Duration::from_millis(200)];

/// Reads the header.
///
/// # Errors
/// 400 when it is not 1 to 255 visible ASCII characters.
pub(crate) fn of(request: &HttpRequest, body: &[u8]) -> Result<Option<Asked>, Problem> {
    let Some(value) = request.headers().get(HEADER) else { return Ok(None) };
    let key = value.as_bytes();
    if key.is_empty() || key.len() > MAX_KEY || !key.iter().all(u8::is_ascii_graphic) {
        let expected = "1 to 255 visible ASCII characters, such as a UUID";
        return Err(Problem::new(Code::InvalidHeader, "Idempotency-Key is malformed.").with_error(Wrong::new(
            "Idempotency-Key",
            "is malformed",
            expected,
        )));
    }
    let mut hash = Sha256::new();
    for part in [request.method().as_str().as_bytes(), request.path().as_bytes(), request.query_string().as_bytes()] {
        hash.update(part);
        hash.update([0]);
    }
    hash.update(body);
    let key = String::from_utf8_lossy(key).into_owned();
    Ok(Some(Asked { key, request_hash: hash.finalize().to_vec() }))
}

/// A key and what stands for the request that it came with.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The key.
    pub(crate) key: String,
    /// SHA-256 of method, address and body.
    pub(crate) request_hash: Vec<u8>,
}

impl Asked {
    /// Returns what the store keeps with an answer.
    pub(crate) fn answered(self, caller: &Caller, status: StatusCode, body: Value) -> Idempotency {
        let Self { key, request_hash } = self;
        Idempotency { key_id: caller.key_id, key, request_hash, status: status.as_u16(), body }
    }
}

/// What a handler did, to be answered and perhaps kept.
#[derive(Debug)]
pub(crate) struct Done {
    /// The status of the answer.
    pub(crate) status: StatusCode,
    /// The body of the answer.
    pub(crate) body: Value,
    /// What is kept instead of the body, when the body has a secret.
    pub(crate) kept: Option<Value>,
    /// The task it concerns.
    pub(crate) task_id: Option<Uuid>,
}

impl Done {
    /// An answer of 200.
    pub(crate) const fn ok(body: Value, task_id: Option<Uuid>) -> Self {
        Self { status: StatusCode::OK, body, kept: None, task_id }
    }
}

/// Does something once: with a key that was seen before, the kept answer is given again.
///
/// # Errors
/// What `act` refuses; 409 while the same key is in flight; 422 when it belongs to another request.
pub(crate) async fn once<F>(
    gateway: &Gateway,
    caller: &Caller,
    asked: Option<Asked>,
    act: F,
) -> Result<HttpResponse, Problem>
where
    F: AsyncFnOnce() -> Result<Done, Problem>,
{
    let Some(asked) = asked else {
        let done = act().await?;
        return Ok(HttpResponse::build(done.status).json(done.body));
    };
    let _guard = gateway.in_flight.enter(caller.key_id, &asked.key)?;
    if let Some(replayed) = find(gateway, caller, &asked).await? {
        return Ok(replayed);
    }
    let done = match act().await {
        Ok(done) => done,
        // Another replica may have done the same for the same key a moment ago.
        Err(problem) if problem.code().status() == StatusCode::CONFLICT => {
            for pause in LOOKS {
                tokio::time::sleep(pause).await;
                if let Some(replayed) = find(gateway, caller, &asked).await? {
                    return Ok(replayed);
                }
            }
            return Err(problem);
        }
        Err(problem) => return Err(problem),
    };
    let kept = done.kept.unwrap_or_else(|| done.body.clone());
    let answer = asked.answered(caller, done.status, kept);
    if let Err(error) = gateway.store.remember(&answer, done.task_id).await {
        // It is done; an error now would have it done again.
        tracing::warn!(%error, "an answer could not be kept for its idempotency key");
    }
    Ok(HttpResponse::build(done.status).json(done.body))
}

async fn find(gateway: &Gateway, caller: &Caller, asked: &Asked) -> Result<Option<HttpResponse>, Problem> {
    match gateway.store.replay(caller.key_id, &asked.key, &asked.request_hash).await? {
        Replay::Unknown => Ok(None),
        Replay::Stored { status, body, .. } => Ok(Some(replayed(status, &body)?)),
        Replay::KeyReused => Err(reused()),
    }
}

/// Answers again what was answered before.
///
/// # Errors
/// When what was kept has no valid status: a defect.
pub(crate) fn replayed(status: u16, body: &Value) -> Result<HttpResponse, Problem> {
    let status =
        StatusCode::from_u16(status).map_err(|_| Problem::internal(anyhow::anyhow!("kept status {status}")))?;
    Ok(HttpResponse::build(status).insert_header((REPLAYED.clone(), "true")).json(body))
}

/// Refuses a key that belongs to another request.
pub(crate) fn reused() -> Problem {
    Problem::new(Code::KeyReused, "This Idempotency-Key was sent before with another body or to another address.")
        .with_error(Wrong::new("Idempotency-Key", "belongs to another request", "a new key for a new request"))
}

/// The keys whose requests are being answered by this process.
#[derive(Debug, Clone, Default)]
pub(crate) struct InFlight(Arc<Mutex<HashSet<(Uuid, String)>>>);

impl InFlight {
    /// Enters a key until the guard is dropped.
    ///
    /// # Errors
    /// 409 when it has been entered already.
    fn enter(&self, key_id: Uuid, key: &str) -> Result<Guard, Problem> {
        let entry = (key_id, key.to_owned());
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(entry.clone()) {
            return Ok(Guard { all: self.clone(), entry });
        }
        Err(Problem::new(
            Code::InFlight,
            "A request with this Idempotency-Key is being answered; ask again in a moment.",
        )
        .with_retry_after(1))
    }
}

#[derive(Debug)]
struct Guard {
    all: InFlight,
    entry: (Uuid, String),
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.entry);
    }
}
