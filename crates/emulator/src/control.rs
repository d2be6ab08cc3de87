//! The emulator's own endpoints: health, faults, settings, ledger. Refuses keys: it listens for tests and demos.

use actix_web::web::{self, Bytes, Data, ServiceConfig};
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;

use crate::fault::Rule;
use crate::state::State;

/// Routes under `/emulator` and `/health`.
pub(crate) fn routes(config: &mut ServiceConfig) {
    config
        .route("/health", web::get().to(health))
        .route("/emulator/faults", web::post().to(add_fault))
        .route("/emulator/faults", web::get().to(faults))
        .route("/emulator/faults", web::delete().to(clear_faults))
        .route("/emulator/settings", web::get().to(settings))
        .route("/emulator/settings", web::post().to(set))
        .route("/emulator/ledger", web::get().to(ledger))
        .route("/emulator/ledger/requests", web::get().to(requests))
        .route("/emulator/ledger", web::delete().to(clear_ledger));
}

async fn health() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok", "emulated": true}))
}

async fn add_fault(state: Data<State>, body: Bytes) -> HttpResponse {
    let added = serde_json::from_slice::<Rule>(&body)
        .map_err(|error| error.to_string())
        .and_then(|rule| state.faults.add(&rule).map_err(|error| error.to_string()));
    match added {
        Ok(id) => HttpResponse::Created().json(json!({"id": id})),
        Err(error) => HttpResponse::BadRequest().json(json!({"error": error})),
    }
}

async fn faults(state: Data<State>) -> HttpResponse {
    let rules: Vec<_> =
        state.faults.played().into_iter().map(|(id, played)| json!({"id": id, "played": played})).collect();
    HttpResponse::Ok().json(json!({"rules": rules}))
}

async fn clear_faults(state: Data<State>) -> HttpResponse {
    state.faults.clear();
    HttpResponse::NoContent().finish()
}

/// What can be set while it runs; what is left out stays.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Milliseconds that a batch takes that is created from now on.
    batch_ms: Option<u64>,
    /// Milliseconds that its 24 hours are.
    batch_day_ms: Option<u64>,
}

async fn settings(state: Data<State>) -> HttpResponse {
    let (batch, day) = (state.clock.batch(), state.clock.day());
    HttpResponse::Ok().json(json!({
        "batch_ms": u64::try_from(batch.as_millis()).unwrap_or(u64::MAX),
        "batch_day_ms": u64::try_from(day.as_millis()).unwrap_or(u64::MAX),
    }))
}

async fn set(state: Data<State>, body: Bytes) -> HttpResponse {
    let wanted: Settings = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => return HttpResponse::BadRequest().json(json!({"error": error.to_string()})),
    };
    if let Some(ms) = wanted.batch_ms {
        state.clock.set_batch(Duration::from_millis(ms));
    }
    if let Some(ms) = wanted.batch_day_ms {
        state.clock.set_day(Duration::from_millis(ms));
    }
    settings(state).await
}

/// Bills what batches have done by now, slice by slice, so that others are served meanwhile.
async fn settle(state: &State) {
    for batch in state.batches.all() {
        while batch.settle(state, 256).unwrap_or(false) {
            tokio::task::yield_now().await;
        }
    }
}

/// The listed asks as lines of JSON, oldest first: `?from=N` skips N of them, `?limit=M` ends after M.
async fn requests(state: Data<State>, request: HttpRequest) -> HttpResponse {
    let number = |name: &str, default: usize| {
        let given = request.query_string().split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        given.map_or(Ok(default), str::parse)
    };
    let (Ok(from), Ok(limit)) = (number("from", 0), number("limit", usize::MAX)) else {
        return HttpResponse::BadRequest().json(json!({"error": "from and limit must be whole numbers"}));
    };
    settle(&state).await;
    let state = state.into_inner();
    let lines = stream::unfold((state, from, limit), |(state, from, limit)| async move {
        let entries = state.ledger.slice(from, limit.min(1_000));
        if entries.is_empty() {
            return None;
        }
        let lines: String = entries.iter().map(|entry| crate::wire::json(entry) + "\n").collect();
        tokio::task::yield_now().await;
        Some((Ok::<_, std::io::Error>(Bytes::from(lines)), (state, from + entries.len(), limit - entries.len())))
    });
    HttpResponse::Ok().content_type("application/x-ndjson").streaming(Box::pin(lines))
}

/// The ledger; `?limit=N` lists the newest N asks only.
async fn ledger(state: Data<State>, request: HttpRequest) -> HttpResponse {
    settle(&state).await;
    let limit = request.query_string().split('&').find_map(|pair| pair.strip_prefix("limit="));
    match limit.map(str::parse).transpose() {
        Ok(limit) => HttpResponse::Ok().json(state.ledger.copy(limit.unwrap_or(usize::MAX))),
        Err(_) => HttpResponse::BadRequest().json(json!({"error": "limit must be a whole number"})),
    }
}

async fn clear_ledger(state: Data<State>) -> HttpResponse {
    settle(&state).await;
    state.ledger.clear();
    HttpResponse::NoContent().finish()
}
