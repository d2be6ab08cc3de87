//! Gemini's Developer API, and its batches. Refuses to keep what is asked.

pub(crate) mod batch;
mod models;
mod reply;
mod request;

pub(crate) use models::{model, models};
pub(crate) use reply::{error_event, events, plain};
pub(crate) use request::{count, is_well_formed, read};

use actix_web::http::header::HeaderMap;
use serde::Serialize;

use super::json;
use crate::problem::Problem;

/// Checks the key in the header or in the query.
pub(crate) fn admit(headers: &HeaderMap, query: &str) -> Result<(), Problem> {
    let header = headers.get("x-goog-api-key").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let query = query.split('&').find_map(|pair| pair.strip_prefix("key=")).unwrap_or_default();
    match if header.is_empty() { query } else { header } {
        "" => Err(Problem::new(401, "Emulated: an `x-goog-api-key` header is required.").code("CREDENTIALS_MISSING")),
        "invalid" => Err(Problem::new(401, "Emulated: this API key is not valid.").code("API_KEY_INVALID")),
        _ => Ok(()),
    }
}

#[derive(Serialize)]
struct Body<'a> {
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    code: u16,
    message: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<Detail<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "@type")]
enum Detail<'a> {
    #[serde(rename = "type.googleapis.com/google.rpc.RetryInfo", rename_all = "camelCase")]
    RetryInfo { retry_delay: String },
    #[serde(rename = "type.googleapis.com/google.rpc.QuotaFailure")]
    QuotaFailure { violations: [Violation<'a>; 1] },
    #[serde(rename = "type.googleapis.com/google.rpc.ErrorInfo")]
    ErrorInfo { reason: &'a str, domain: &'static str },
    #[serde(rename = "type.googleapis.com/google.rpc.BadRequest", rename_all = "camelCase")]
    BadRequest { field_violations: [FieldViolation<'a>; 1] },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Violation<'a> {
    quota_metric: &'static str,
    quota_id: &'a str,
}

#[derive(Serialize)]
struct FieldViolation<'a> {
    field: &'a str,
    description: &'a str,
}

/// The body of an error.
pub(crate) fn error_body(problem: &Problem) -> String {
    let mut details = Vec::new();
    if problem.status == 429 {
        let quota_id = problem.code.unwrap_or("GenerateRequestsPerMinutePerProjectPerModel");
        let quota_metric = "generativelanguage.googleapis.com/generate_content_requests";
        details.push(Detail::QuotaFailure { violations: [Violation { quota_metric, quota_id }] });
    } else if let Some(reason) = problem.code {
        details.push(Detail::ErrorInfo { reason, domain: "googleapis.com" });
    }
    if let Some(field) = &problem.param {
        details
            .push(Detail::BadRequest { field_violations: [FieldViolation { field, description: &problem.message }] });
    }
    if let Some(seconds) = &problem.retry_info {
        details.push(Detail::RetryInfo { retry_delay: format!("{seconds}s") });
    }
    json(&Body {
        error: Inner {
            code: problem.status,
            message: &problem.message,
            status: problem.kind.unwrap_or_else(|| status(problem.status)),
            details,
        },
    })
}

fn status(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        402 | 403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        408 | 504 => "DEADLINE_EXCEEDED",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        500 => "INTERNAL",
        status if status > 500 => "UNAVAILABLE",
        _ => "INVALID_ARGUMENT",
    }
}
