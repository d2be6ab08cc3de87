//! The emulator's own endpoints: health, faults, ledger. Refuses keys: it listens for tests and demos.

use actix_web::web::{self, Bytes, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
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
        .route("/emulator/ledger", web::get().to(ledger))
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

/// The ledger; `?limit=N` lists the newest N asks only.
async fn ledger(state: Data<State>, request: HttpRequest) -> HttpResponse {
    let limit = request.query_string().split('&').find_map(|pair| pair.strip_prefix("limit="));
    match limit.map(str::parse).transpose() {
        Ok(limit) => HttpResponse::Ok().json(state.ledger.copy(limit.unwrap_or(usize::MAX))),
        Err(_) => HttpResponse::BadRequest().json(json!({"error": "limit must be a whole number"})),
    }
}

async fn clear_ledger(state: Data<State>) -> HttpResponse {
    state.ledger.clear();
    HttpResponse::NoContent().finish()
}
