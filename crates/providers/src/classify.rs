//! The one classification of what a provider answers instead of an answer.
//!
//! | signal | class |
//! | --- | --- |
//! | 408, 409, 425, 429, 498, every 5xx (529 too), an error inside a stream of these kinds | retry |
//! | the same with `x-should-retry: false` | fail over |
//! | 429 for quota, spend limit or a day's allowance; 402; 401 and any wrong key; a redirect | hold |
//! | 403 and 404: this key or this provider does not serve this model; a prompt above its window | fail over |
//! | 400, 413, 422 and the other 4xx | fail |
//!
//! 401 holds rather than fails because the key is at fault, not the request: the next model stands
//! in while a person mends it. 403 fails over without holding because it is mostly about one model.

use crate::{
    delay,
    error::{Class, Error},
    redact,
};
use reqwest::header::HeaderMap;
use serde_json::Value;
use time::OffsetDateTime;

/// Codes that mean: money, quota or key. Compared in lower case, letter for letter.
const HOLD: &[&str] = &[
    "insufficient_quota",
    "enforced_spend_limit_reached",
    "billing_hard_limit_reached",
    "billing_not_active",
    "billing_error",
    "insufficient_balance",
    "insufficient_credits",
    "account_deactivated",
    "authentication_error",
    "invalid_api_key",
    "api_key_invalid",
    "api_key_expired",
    "unauthenticated",
];
/// Codes that mean: not with this model.
const FAIL_OVER: &[&str] = &[
    "model_not_found",
    "invalid_model",
    "model_not_available",
    "model_not_active",
    "model_decommissioned",
    "context_length_exceeded",
    "permission_denied",
    "unsupported_country_region_territory",
];
/// What providers write, without a code of its own, when a prompt is above the model's window.
const TOO_LONG: &[&str] =
    &["prompt is too long", "maximum context length", "exceeds the maximum number of tokens", "context size"];

/// What is known about one failed call.
pub(crate) struct Signal<'a> {
    /// The provider's name in the catalogue.
    pub(crate) provider: &'a str,
    /// The HTTP status; `None` for an error inside an answer that began well.
    pub(crate) status: Option<u16>,
    /// The response's headers.
    pub(crate) headers: &'a HeaderMap,
    /// The response's body, or the error that a stream carried.
    pub(crate) said: &'a [u8],
    /// The key in use, to be masked.
    pub(crate) key: Option<&'a str>,
    /// The request's body, not to be quoted.
    pub(crate) asked: &'a [u8],
}

/// Classifies a failed call.
pub(crate) fn classify(signal: &Signal<'_>) -> Error {
    let said = Said::parse(signal.said);
    let status = signal.status.or(said.status).unwrap_or_else(|| status_of(&said.words));
    let retryable = delay::should_retry(signal.headers);
    let class = match class_of(status, &said, retryable) {
        Class::Retry { .. } => {
            Class::Retry { after: delay::asked(signal.headers, said.details.as_ref(), OffsetDateTime::now_utc()) }
        }
        other => other,
    };
    let message = said.message.map(|message| redact::clean(&message, signal.key, signal.asked));
    Error {
        class,
        provider: signal.provider.to_owned(),
        status: signal.status,
        reason: sentence(signal.provider, status, signal.status.is_some(), message.as_deref()),
        billed: None,
    }
}

fn class_of(status: u16, said: &Said, retryable: Option<bool>) -> Class {
    let has = |list: &[&str]| said.words.iter().any(|word| list.contains(&word.as_str()));
    if has(HOLD) || said.exhausted || matches!(status, 300..=399 | 401 | 402) {
        return Class::Hold;
    }
    match (status, retryable) {
        (408 | 409 | 425 | 429 | 498 | 500..=599, Some(false)) => Class::FailOver,
        (408 | 409 | 425 | 429 | 498 | 500..=599, _) | (_, Some(true)) => Class::Retry { after: None },
        (403 | 404, _) => Class::FailOver,
        _ => {
            let message = said.message.as_deref().unwrap_or_default().to_lowercase();
            if message.contains("credit balance is too low") {
                Class::Hold
            } else if has(FAIL_OVER) || TOO_LONG.iter().any(|phrase| message.contains(phrase)) {
                Class::FailOver
            } else {
                Class::Fail
            }
        }
    }
}

fn sentence(provider: &str, status: u16, from_http: bool, message: Option<&str>) -> String {
    let what = match status {
        300..=399 => "answered with a redirect, which is refused",
        401 => "did not accept the key",
        402 => "asks for payment",
        403 => "does not permit this",
        404 => "does not have this model or address",
        408 | 504 => "took too long",
        413 => "found the request too large",
        429 => "is at its limit",
        498 | 529 => "is overloaded",
        400..=499 => "refused the request",
        _ => "failed",
    };
    let status = if from_http { format!(" ({status})") } else { String::new() };
    match message {
        Some(message) if !message.is_empty() => format!("{provider} {what}{status}: {message}"),
        _ => format!("{provider} {what}{status}"),
    }
}

/// An error's body, whatever its shape.
#[derive(Default)]
struct Said {
    words: Vec<String>,
    message: Option<String>,
    details: Option<Value>,
    status: Option<u16>,
    exhausted: bool,
}

impl Said {
    fn parse(body: &[u8]) -> Self {
        let Ok(mut body) = serde_json::from_slice::<Value>(body) else {
            // A proxy's HTML page says nothing that a person would want to read here.
            return Self::default();
        };
        if let Some(first) = body.as_array_mut().and_then(|items| items.first_mut()) {
            body = first.take();
        }
        let error = match body.get("error") {
            Some(error) if error.is_object() => error,
            Some(Value::String(message)) => {
                return Self { message: Some(message.clone()), ..Self::default() };
            }
            _ => &body,
        };
        let details = error.get("details").filter(|details| !details.is_null());
        let mut words: Vec<String> = [error.get("type"), error.get("code"), error.get("status")]
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_lowercase)
            .collect();
        words.extend(details.into_iter().flat_map(codes));
        Self {
            words,
            message: message(error),
            details: details.cloned(),
            status: ["code", "status"]
                .iter()
                .find_map(|field| error.get(field)?.as_u64())
                .and_then(|status| u16::try_from(status).ok())
                .filter(|status| (300..600).contains(status)),
            exhausted: details.is_some_and(day_is_used_up),
        }
    }
}

fn message(error: &Value) -> Option<String> {
    let text = ["message", "detail", "title"].iter().find_map(|field| error.get(field)?.as_str());
    text.map(str::to_owned).or_else(|| {
        // The validation errors of FastAPI servers: a list of {loc, msg, input}; `input` is the prompt.
        let first = error.get("detail")?.as_array()?.first()?;
        Some(first.get("msg")?.as_str()?.to_owned())
    })
}

/// Collects the codes in `details`: Anthropic's `error_code`, Gemini's `reason`.
fn codes(details: &Value) -> Vec<String> {
    let items = details.as_array().map_or(std::slice::from_ref(details), Vec::as_slice);
    let code = |item: &Value| {
        ["error_code", "reason"].iter().find_map(|field| item.get(field)?.as_str().map(str::to_lowercase))
    };
    items.iter().filter_map(code).collect()
}

/// Tells whether Gemini's `QuotaFailure` is one that waiting a minute does not mend: a day's
/// allowance, a spend cap, or an allowance of nothing.
fn day_is_used_up(details: &Value) -> bool {
    let violations = details.as_array().into_iter().flatten().filter_map(|detail| detail.get("violations")?.as_array());
    violations.flatten().any(|violation| {
        let quota = violation.get("quotaId").and_then(Value::as_str).unwrap_or_default().to_lowercase();
        let nothing =
            violation.get("quotaValue").is_some_and(|value| value.as_str() == Some("0") || value.as_i64() == Some(0));
        nothing || ["perday", "spend", "billing"].iter().any(|word| quota.contains(word))
    })
}

/// The status that an error without one stands for, by its type.
fn status_of(words: &[String]) -> u16 {
    let by_word = |word: &String| match word.as_str() {
        "invalid_request_error" | "invalid_argument" | "invalid_prompt" | "failed_precondition" => Some(400),
        "authentication_error" | "unauthenticated" => Some(401),
        "billing_error" => Some(402),
        "permission_error" | "permission_denied" => Some(403),
        "not_found_error" | "not_found" => Some(404),
        "request_too_large" => Some(413),
        "rate_limit_error" | "rate_limit_exceeded" | "resource_exhausted" => Some(429),
        "unavailable" => Some(503),
        "timeout_error" | "deadline_exceeded" => Some(504),
        "overloaded_error" => Some(529),
        _ => None,
    };
    words.iter().find_map(by_word).unwrap_or(500)
}

#[cfg(test)]
mod tests;
