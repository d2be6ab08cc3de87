//! The table of providers.md, row by row.

use super::*;
use serde_json::json;
use std::time::Duration;

type Case = (&'static str, Option<u16>, &'static [(&'static str, &'static str)], Value, Class);

const RETRY: Class = Class::Retry { after: None };

const fn after(millis: u64) -> Class {
    Class::Retry { after: Some(Duration::from_millis(millis)) }
}

fn error(status: Option<u16>, headers: &[(&'static str, &'static str)], body: &[u8]) -> Error {
    let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    classify(&Signal { provider: "acme", status, headers: &headers, said: body, key: Some("a-secret-key"), asked: b"" })
}

fn check(cases: &[Case]) {
    for (name, status, headers, body, class) in cases {
        let error = error(*status, headers, body.to_string().as_bytes());
        assert_eq!((error.class, error.status), (*class, *status), "{name}: {error}");
        assert!(error.reason.starts_with("acme "), "{error}");
    }
}

/// Anthropic's shape of an error.
fn anthropic(kind: &str, message: &str) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"})
}

/// OpenAI's shape.
fn openai(kind: &str, code: &Value, message: &str) -> Value {
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}

/// Gemini's shape.
fn gemini(code: u16, status: &str, details: &Value) -> Value {
    json!({"error": {"code": code, "message": "quota", "status": status, "details": details}})
}

fn quota(id: &str, value: &str) -> Value {
    json!([
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": id, "quotaValue": value}]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "46s"}
    ])
}

#[test]
fn anthropic_errors() {
    check(&[
        ("invalid", Some(400), &[], anthropic("invalid_request_error", "messages: required"), Class::Fail),
        (
            "too long",
            Some(400),
            &[],
            anthropic("invalid_request_error", "prompt is too long: 210000 tokens"),
            Class::FailOver,
        ),
        (
            "old credit error",
            Some(400),
            &[],
            anthropic("invalid_request_error", "Your credit balance is too low"),
            Class::Hold,
        ),
        ("key", Some(401), &[], anthropic("authentication_error", "invalid x-api-key"), Class::Hold),
        ("billing", Some(402), &[], anthropic("billing_error", "pay"), Class::Hold),
        ("permission", Some(403), &[], anthropic("permission_error", "no"), Class::FailOver),
        ("model", Some(404), &[], anthropic("not_found_error", "model: claude-x"), Class::FailOver),
        ("conflict", Some(409), &[], anthropic("conflict_error", "busy"), RETRY),
        ("large", Some(413), &[], anthropic("request_too_large", "32 MB"), Class::Fail),
        ("rate", Some(429), &[("retry-after", "7")], anthropic("rate_limit_error", "slow down"), after(7000)),
        (
            "rate ms",
            Some(429),
            &[("retry-after-ms", "250"), ("retry-after", "1")],
            anthropic("rate_limit_error", "x"),
            after(250),
        ),
        (
            "spend cap",
            Some(429),
            &[],
            json!({"type": "error", "error": {"type": "rate_limit_error", "message": "cap", "details": {"error_code": "enforced_spend_limit_reached"}}}),
            Class::Hold,
        ),
        ("ours", Some(500), &[], anthropic("api_error", "x"), RETRY),
        ("not again", Some(500), &[("x-should-retry", "false")], anthropic("api_error", "x"), Class::FailOver),
        ("again", Some(400), &[("x-should-retry", "true")], anthropic("invalid_request_error", "x"), RETRY),
        ("timeout", Some(504), &[], anthropic("timeout_error", "x"), RETRY),
        ("overloaded", Some(529), &[], anthropic("overloaded_error", "Overloaded"), RETRY),
        ("overloaded in a stream", None, &[], anthropic("overloaded_error", "Overloaded"), RETRY),
        ("invalid in a stream", None, &[], anthropic("invalid_request_error", "x"), Class::Fail),
    ]);
}

#[test]
fn openai_errors() {
    check(&[
        ("invalid", Some(400), &[], openai("invalid_request_error", &json!("unsupported_parameter"), "x"), Class::Fail),
        (
            "too long",
            Some(400),
            &[],
            openai("invalid_request_error", &json!("context_length_exceeded"), "x"),
            Class::FailOver,
        ),
        ("key", Some(401), &[], openai("invalid_request_error", &json!("invalid_api_key"), "x"), Class::Hold),
        (
            "region",
            Some(403),
            &[],
            openai("request_forbidden", &json!("unsupported_country_region_territory"), "x"),
            Class::FailOver,
        ),
        ("model", Some(404), &[], openai("invalid_request_error", &json!("model_not_found"), "x"), Class::FailOver),
        ("unprocessable", Some(422), &[], openai("invalid_request_error", &Value::Null, "x"), Class::Fail),
        ("rate", Some(429), &[("retry-after", "1")], openai("tokens", &json!("rate_limit_exceeded"), "x"), after(1000)),
        (
            "quota",
            Some(429),
            &[("retry-after", "1")],
            openai("insufficient_quota", &json!("insufficient_quota"), "x"),
            Class::Hold,
        ),
        ("down", Some(503), &[], Value::Null, RETRY),
        ("in a stream", None, &[], openai("server_error", &Value::Null, "x"), RETRY),
        ("flat in a stream", None, &[], json!({"type": "error", "code": "rate_limit_exceeded", "message": "x"}), RETRY),
        ("failed response", None, &[], json!({"error": {"code": "invalid_prompt", "message": "x"}}), Class::Fail),
    ]);
}

#[test]
fn gemini_errors() {
    check(&[
        ("invalid", Some(400), &[], gemini(400, "INVALID_ARGUMENT", &json!([])), Class::Fail),
        (
            "key",
            Some(400),
            &[],
            gemini(400, "INVALID_ARGUMENT", &json!([{"@type": "x.ErrorInfo", "reason": "API_KEY_INVALID"}])),
            Class::Hold,
        ),
        ("permission", Some(403), &[], gemini(403, "PERMISSION_DENIED", &Value::Null), Class::FailOver),
        (
            "per minute",
            Some(429),
            &[],
            gemini(429, "RESOURCE_EXHAUSTED", &quota("GenerateRequestsPerMinutePerProjectPerModel", "15")),
            after(46_000),
        ),
        (
            "per day",
            Some(429),
            &[],
            gemini(429, "RESOURCE_EXHAUSTED", &quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "50")),
            Class::Hold,
        ),
        (
            "limit of nothing",
            Some(429),
            &[],
            gemini(429, "RESOURCE_EXHAUSTED", &quota("GenerateContentInputTokensPerModelPerMinute-FreeTier", "0")),
            Class::Hold,
        ),
        ("spend cap", Some(429), &[], gemini(429, "RESOURCE_EXHAUSTED", &quota("ProjectSpendCap", "10")), Class::Hold),
        ("in a list", Some(503), &[], json!([gemini(503, "UNAVAILABLE", &Value::Null)]), RETRY),
        ("in a stream", None, &[], gemini(503, "UNAVAILABLE", &Value::Null), RETRY),
        ("in a stream, for good", None, &[], json!([gemini(400, "INVALID_ARGUMENT", &Value::Null)]), Class::Fail),
        ("word alone", None, &[], json!({"error": {"status": "RESOURCE_EXHAUSTED", "message": "x"}}), RETRY),
    ]);
}

#[test]
fn errors_of_the_others() {
    check(&[
        ("groq flex", Some(498), &[], openai("flex", &json!("capacity_exceeded"), "x"), RETRY),
        (
            "deepseek balance",
            Some(402),
            &[],
            openai("unknown_error", &json!("invalid_request_error"), "Insufficient Balance"),
            Class::Hold,
        ),
        (
            "llama.cpp loading",
            Some(503),
            &[],
            json!({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}),
            RETRY,
        ),
        (
            "mistral validation",
            Some(422),
            &[],
            json!({"object": "error", "message": "bad", "type": "invalid_request_error", "code": null}),
            Class::Fail,
        ),
        (
            "mistral model",
            Some(400),
            &[],
            json!({"object": "error", "message": "Invalid model", "type": "invalid_model", "code": "1500"}),
            Class::FailOver,
        ),
        ("openrouter in a 200", None, &[], json!({"error": {"code": 502, "message": "upstream"}}), RETRY),
        ("openrouter credits in a 200", None, &[], json!({"error": {"code": 402, "message": "credits"}}), Class::Hold),
        ("ollama", Some(404), &[], json!({"error": "model 'x' not found"}), Class::FailOver),
        ("redirect", Some(307), &[], Value::Null, Class::Hold),
        ("timeout", Some(408), &[], Value::Null, RETRY),
        ("too early", Some(425), &[], Value::Null, RETRY),
        ("teapot", Some(418), &[], Value::Null, Class::Fail),
    ]);
}

#[test]
fn the_reason_is_one_clean_sentence() {
    let said = openai(
        "invalid_request_error",
        &Value::Null,
        "Incorrect key\n a-secret-key at https://x.example/y?key=a-secret-key",
    );
    let error = error(Some(401), &[], said.to_string().as_bytes());
    assert_eq!(error.to_string(), "acme did not accept the key (401): Incorrect key [key] at https://x.example/y?…");
    let validation = json!({"detail": [{"loc": ["body", "messages"], "msg": "Field required", "input": "the prompt"}]});
    let reason = self::error(Some(422), &[], validation.to_string().as_bytes()).reason;
    assert_eq!(reason, "acme refused the request (422): Field required");
    let html = self::error(Some(502), &[], b"<html><h1>502 Bad Gateway</h1></html>").reason;
    assert_eq!(html, "acme failed (502)");
}
