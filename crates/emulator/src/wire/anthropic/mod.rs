//! Anthropic's Messages API, and its batches. Refuses to keep what is asked.

pub(crate) mod batch;
mod models;
mod reply;
mod request;

pub(crate) use models::{model, models};
pub(crate) use reply::{error_event, events, plain};
pub(crate) use request::{count, read, read_item};

use actix_web::http::header::HeaderMap;
use serde::Serialize;

use crate::problem::Problem;
use crate::wire::json;

/// The API versions that are served.
pub(crate) const VERSIONS: [&str; 2] = ["2023-06-01", "2026-10-21"];

/// Checks the key and the version header; returns whether the newer version was asked for.
pub(crate) fn admit(headers: &HeaderMap) -> Result<bool, Problem> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let bearer = text("authorization").strip_prefix("Bearer ").unwrap_or_default();
    let key = if text("x-api-key").is_empty() { bearer } else { text("x-api-key") };
    match key.trim() {
        "" => return Err(Problem::new(401, "Emulated: an `x-api-key` or `Authorization: Bearer` header is required.")),
        "invalid" => return Err(Problem::new(401, "Emulated: this API key is not valid.")),
        _ => {}
    }
    match text("anthropic-version") {
        "" => Err(Problem::new(400, "anthropic-version: header is required")),
        version if VERSIONS.contains(&version) => Ok(version != VERSIONS[0]),
        version => Err(Problem::new(400, format!("anthropic-version: \"{version}\" is not a valid version"))),
    }
}

/// The body of an error.
pub(crate) fn error_body(problem: &Problem, id: &str) -> String {
    #[derive(Serialize)]
    struct Body<'a> {
        r#type: &'static str,
        error: Inner<'a>,
        request_id: &'a str,
    }
    #[derive(Serialize)]
    struct Inner<'a> {
        r#type: &'static str,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        details: Option<Details>,
    }
    #[derive(Serialize)]
    struct Details {
        error_code: &'static str,
    }
    json(&Body {
        r#type: "error",
        error: Inner {
            r#type: problem.kind.unwrap_or_else(|| kind(problem.status)),
            message: &problem.message,
            details: problem.code.map(|error_code| Details { error_code }),
        },
        request_id: id,
    })
}

fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        status if status >= 500 => "api_error",
        _ => "invalid_request_error",
    }
}
