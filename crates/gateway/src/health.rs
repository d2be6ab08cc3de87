//! Liveness: this process answers. Refuses to ask Postgres or Redis, whose absence no restart cures.

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

/// That the process lives.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always `ok`.
    status: &'static str,
    /// The version of the program.
    version: &'static str,
}

/// Tells that the process lives. No key is needed.
#[utoipa::path(get, path = "/health", tag = "service", security(()),
    responses((status = 200, description = "It lives.", body = Health)))]
pub(crate) async fn show() -> HttpResponse {
    HttpResponse::Ok().json(Health { status: "ok", version: env!("CARGO_PKG_VERSION") })
}
