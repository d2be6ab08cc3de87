//! OpenAI's Chat Completions and Responses APIs, and their batches. Refuses to keep what is asked.

pub(crate) mod batch;
mod chat;
mod chat_reply;
mod models;
mod responses;
mod responses_reply;

pub(crate) use chat::read as read_chat;
pub(crate) use chat_reply::{error_event as chat_error_event, events as chat_events, plain as chat_plain};
pub(crate) use models::{model, models};
pub(crate) use responses::read as read_responses;
pub(crate) use responses_reply::{
    error_event as responses_error_event, events as responses_events, plain as responses_plain,
};

use actix_web::http::header::HeaderMap;
use serde::Serialize;
use serde_json::Value;

use super::content::Text;
use super::json;
use super::mistake::{self, Mistake};
use crate::problem::Problem;
use crate::shape;

/// Checks the key.
pub(crate) fn admit(headers: &HeaderMap) -> Result<(), Problem> {
    let value = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    match value.strip_prefix("Bearer ").unwrap_or_default().trim() {
        "" => Err(Problem::new(401, "Emulated: an `Authorization: Bearer` header with a key is required.")),
        "invalid" => Err(Problem::new(401, "Emulated: this API key is not valid.").code("invalid_api_key")),
        _ => Ok(()),
    }
}

/// The body of an error.
pub(crate) fn error_body(problem: &Problem) -> String {
    #[derive(Serialize)]
    struct Body<'a> {
        error: Inner<'a>,
    }
    #[derive(Serialize)]
    struct Inner<'a> {
        message: &'a str,
        r#type: &'a str,
        param: Option<&'a str>,
        code: Option<&'a str>,
    }
    json(&Body {
        error: Inner {
            message: &problem.message,
            r#type: problem.kind.unwrap_or_else(|| kind(problem.status)),
            param: problem.param.as_deref(),
            code: problem.code.or((problem.status == 429).then_some("rate_limit_exceeded")),
        },
    })
}

fn kind(status: u16) -> &'static str {
    match status {
        429 => "requests",
        503 => "service_unavailable_error",
        status if status >= 500 => "server_error",
        _ => "invalid_request_error",
    }
}

/// Words a body that could not be read.
fn refuse(body: &[u8], fields: &[(&str, &'static str)], error: &serde_json::Error) -> Problem {
    match mistake::find(body, fields, error) {
        Mistake::NotJson(words) => Problem::new(400, format!("The body is not valid JSON: {words}")),
        Mistake::Type { field, expected, found } => {
            Problem::field(&field, format!("Invalid type for '{field}': expected {expected}, but got {found}."))
                .code("invalid_type")
        }
        Mistake::Other(words) => Problem::new(400, format!("Invalid body: {words}.")).code("invalid_value"),
    }
}

fn missing(field: &str) -> Problem {
    Problem::field(field, format!("Missing required parameter: '{field}'.")).code("missing_required_parameter")
}

/// Checks the model's name.
fn check_model(model: &Text<'_>) -> Result<(), Problem> {
    match model.0.as_ref() {
        "" => Err(missing("model")),
        "missing-model" => Err(Problem {
            param: Some("model".into()),
            ..Problem::new(404, "The model `missing-model` does not exist.").code("model_not_found")
        }),
        _ => Ok(()),
    }
}

/// Checks a schema that was given as strict: every object closed and every property required.
fn check_strict(schema: &Value, field: &str) -> Result<(), Problem> {
    match shape::loose_end(schema) {
        None => Ok(()),
        Some(words) => {
            Err(Problem::field(field, format!("Invalid schema for '{field}': {words}.")).code("invalid_json_schema"))
        }
    }
}

/// Whether the model is of a generation that takes no sampling parameters and no `max_tokens`.
fn is_new(model: &str) -> bool {
    let Some(rest) = model.strip_prefix("gpt-") else { return false };
    let number = rest.split('-').next().unwrap_or_default();
    let (major, minor) = number.split_once('.').unwrap_or((number, "0"));
    match (major.parse::<u32>(), minor.parse::<u32>()) {
        (Ok(major), Ok(minor)) => (major, minor) >= (5, 4),
        _ => false,
    }
}

/// The tier that an answer names: `flex` when asked for, else `default`.
fn tier(asked: Option<&str>) -> &'static str {
    match asked {
        Some("flex") => "flex",
        Some("priority") => "priority",
        _ => "default",
    }
}
