//! Wire shapes as snapshots, and what each provider refuses, in its own words and statuses.

use emulator::{Emulator, Options, Running};
use serde_json::{Value, json};

use crate::client::{APIS, Api, ORDER, Reply, ask, send};

async fn started() -> Running {
    Emulator::start(Options { brief: true, ..Options::default() }).await.unwrap()
}

/// Instants differ from run to run.
fn timeless(mut value: Value) -> Value {
    for name in ["created", "created_at"] {
        if value.get(name).is_some() {
            value[name] = json!(0);
        }
    }
    if value.get("response").is_some() {
        value["response"] = timeless(value["response"].take());
    }
    value
}

fn headers(reply: &Reply) -> Value {
    let kept = |name: &str| name.contains("request-id") || name.contains("ratelimit") || name.starts_with("x-chavion");
    let changing = |name: &str| name.starts_with("anthropic") && name.ends_with("-reset");
    let kept = reply.headers.iter().filter(|(name, _)| kept(name) && !changing(name));
    kept.map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect::<serde_json::Map<_, _>>().into()
}

#[tokio::test]
async fn plain_answers() {
    for api in APIS {
        let emulator = started().await;
        let reply = ask(emulator.addr, api, ORDER, false).await.unwrap();
        assert_eq!(reply.status, 200);
        let name = format!("plain_{api:?}").to_lowercase();
        insta::assert_json_snapshot!(name, json!({"headers": headers(&reply), "body": timeless(reply.json())}));
        emulator.stop().await;
    }
}

#[tokio::test]
async fn streamed_answers() {
    for api in APIS {
        let emulator = started().await;
        let reply = ask(emulator.addr, api, ORDER, true).await.unwrap();
        let names: Vec<String> =
            reply.text().lines().filter_map(|line| line.strip_prefix("event: ")).map(str::to_owned).collect();
        let events: Vec<Value> = reply.events().into_iter().map(timeless).collect();
        let name = format!("stream_{api:?}").to_lowercase();
        insta::assert_json_snapshot!(name, json!({"event_names": names, "data": events}));
        emulator.stop().await;
    }
}

#[tokio::test]
async fn tool_calls() {
    let schema = json!({"type": "object", "properties": {"title": {"type": "string"}, "days": {"type": "integer",
        "minimum": 2, "maximum": 2}}, "required": ["title", "days"], "additionalProperties": false});
    for api in APIS {
        let emulator = started().await;
        let mut body = api.body(ORDER, false, None);
        let flat = json!({"type": "function", "name": "plan", "parameters": schema});
        let named = json!({"name": "plan", "parametersJsonSchema": schema});
        match api {
            Api::Messages => {
                body["tools"] = json!([{"name": "plan", "input_schema": schema}]);
                body["tool_choice"] = json!({"type": "any"});
            }
            Api::Chat => {
                body["model"] = json!("some-local-model");
                body["tools"] = json!([{"type": "function", "function": {"name": "plan", "parameters": schema}}]);
                body["tool_choice"] = json!("required");
            }
            Api::Responses => {
                body["tools"] = json!([flat]);
                body["tool_choice"] = json!({"type": "function", "name": "plan"});
            }
            Api::Generate => {
                body["tools"] = json!([{"function_declarations": [named]}]);
                body["tool_config"] = json!({"function_calling_config": {"mode": "ANY"}});
            }
        }
        let reply = send(emulator.addr, "POST", api.path(false), &api.headers(), &body.to_string()).await.unwrap();
        let name = format!("tool_{api:?}").to_lowercase();
        insta::assert_json_snapshot!(name, timeless(reply.json()));
        emulator.stop().await;
    }
}

#[tokio::test]
async fn models_are_listed_to_each_client_in_its_shape() {
    let emulator = started().await;
    for (api, first) in [(Api::Messages, "/data/0/display_name"), (Api::Chat, "/data/0/owned_by")] {
        let reply = send(emulator.addr, "GET", "/v1/models", &api.headers(), "").await.unwrap();
        assert!(reply.json().pointer(first).is_some(), "{:?}", reply.json());
    }
    for path in ["/v1/models", "/v1beta/models"] {
        let reply = send(emulator.addr, "GET", path, &Api::Generate.headers(), "").await.unwrap();
        assert!(reply.json()["models"][0]["inputTokenLimit"].is_u64());
    }
    for api in [Api::Messages, Api::Chat, Api::Generate] {
        let known = send(emulator.addr, "GET", "/v1/models/any-name", &api.headers(), "").await.unwrap();
        assert_eq!(known.status, 200);
        let missing = send(emulator.addr, "GET", "/v1/models/missing-model", &api.headers(), "").await.unwrap();
        assert_eq!(missing.status, 404);
    }
    emulator.stop().await;
}

#[tokio::test]
async fn keys_are_required_and_one_is_wrong() {
    let emulator = started().await;
    let mut seen = Vec::new();
    for api in APIS {
        let body = api.body(ORDER, false, None).to_string();
        for key in ["", "invalid"] {
            let headers: Vec<(&str, String)> = api
                .headers()
                .into_iter()
                .map(|(name, value)| match name {
                    "authorization" => (name, format!("Bearer {key}")),
                    "anthropic-version" => (name, value.to_owned()),
                    _ => (name, key.to_owned()),
                })
                .collect();
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let reply = send(emulator.addr, "POST", api.path(false), &headers, &body).await.unwrap();
            assert_eq!(reply.status, 401, "{api:?}");
            assert_eq!(reply.header("x-chavion-emulated"), "1");
            let mut body = reply.json();
            if body.get("request_id").is_some() {
                body["request_id"] = json!("req");
            }
            seen.push(json!({"api": format!("{api:?}"), "key": key, "body": body}));
        }
    }
    let bearer = [("authorization", "Bearer k"), ("anthropic-version", "2026-10-21")];
    let body = Api::Messages.body(ORDER, false, None).to_string();
    assert_eq!(send(emulator.addr, "POST", "/v1/messages", &bearer, &body).await.unwrap().status, 200);
    insta::assert_json_snapshot!("wrong_keys", seen);
    emulator.stop().await;
}

/// Status and message of an error, wherever the provider puts it.
async fn refused(emulator: &Running, api: Api, headers: &[(&str, &str)], body: &str) -> String {
    let reply = send(emulator.addr, "POST", api.path(false), headers, body).await.unwrap();
    let error = &reply.json()["error"];
    let kind = error.get("code").filter(|code| code.is_string()).unwrap_or(&error["type"]);
    let kind = error.get("status").unwrap_or(kind).as_str().unwrap_or_default().to_owned();
    format!("{} {kind}: {}", reply.status, error["message"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn bad_requests_are_refused_in_each_providers_shape() {
    let emulator = started().await;
    let changes: Vec<(&str, Api, Value)> = vec![
        ("no max_tokens", Api::Messages, json!({"max_tokens": null})),
        ("max_tokens is text", Api::Messages, json!({"max_tokens": "많이"})),
        ("no model", Api::Messages, json!({"model": null})),
        ("missing model", Api::Messages, json!({"model": "missing-model"})),
        ("no messages", Api::Messages, json!({"messages": null})),
        ("messages empty", Api::Messages, json!({"messages": []})),
        ("messages is text", Api::Messages, json!({"messages": "안녕"})),
        ("content is a number", Api::Messages, json!({"messages": [{"role": "user", "content": 5}]})),
        ("bad role", Api::Messages, json!({"messages": [{"role": "마법사", "content": "안녕"}]})),
        ("system role", Api::Messages, json!({"messages": [{"role": "system", "content": "안녕"}]})),
        ("empty content", Api::Messages, json!({"messages": [{"role": "user", "content": ""}]})),
        (
            "prefill",
            Api::Messages,
            json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}),
        ),
        ("thinking enabled", Api::Messages, json!({"thinking": {"type": "enabled", "budget_tokens": 1024}})),
        ("tool_choice alone", Api::Messages, json!({"tool_choice": {"type": "any"}})),
        ("format without schema", Api::Messages, json!({"output_config": {"format": {"type": "json_schema"}}})),
        ("no model", Api::Chat, json!({"model": null})),
        ("missing model", Api::Chat, json!({"model": "missing-model"})),
        ("no messages", Api::Chat, json!({"messages": null})),
        ("messages empty", Api::Chat, json!({"messages": []})),
        ("bad role", Api::Chat, json!({"messages": [{"role": "마법사", "content": "안녕"}]})),
        ("max_tokens", Api::Chat, json!({"max_tokens": 5})),
        ("temperature", Api::Chat, json!({"temperature": 0.2})),
        ("tools", Api::Chat, json!({"tools": [{"type": "function", "function": {"name": "f"}}]})),
        (
            "open schema",
            Api::Chat,
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "s",
            "strict": true, "schema": {"type": "object", "properties": {"a": {"type": "string"}}}}}}),
        ),
        ("stream is text", Api::Chat, json!({"stream": "네"})),
        ("no input", Api::Responses, json!({"input": null})),
        ("missing model", Api::Responses, json!({"model": "missing-model"})),
        ("bad role", Api::Responses, json!({"input": [{"role": "마법사", "content": "안녕"}]})),
        ("unknown conversation", Api::Responses, json!({"previous_response_id": "resp_1"})),
        ("no contents", Api::Generate, json!({"contents": []})),
        ("bad role", Api::Generate, json!({"contents": [{"role": "assistant", "parts": [{"text": "안녕"}]}]})),
        ("no parts", Api::Generate, json!({"contents": [{"role": "user"}]})),
        ("config is text", Api::Generate, json!({"generationConfig": "빠르게"})),
    ];
    let mut seen = Vec::new();
    for (name, api, change) in changes {
        let mut body = api.body(ORDER, false, None);
        for (field, value) in change.as_object().unwrap() {
            body[field] = value.clone();
        }
        seen.push(format!("{api:?}, {name}: {}", refused(&emulator, api, &api.headers(), &body.to_string()).await));
    }
    for api in APIS {
        seen.push(format!("{api:?}, no JSON: {}", refused(&emulator, api, &api.headers(), "{\"model\": ").await));
        seen.push(format!("{api:?}, a list: {}", refused(&emulator, api, &api.headers(), "[]").await));
        seen.push(format!("{api:?}, empty: {}", refused(&emulator, api, &api.headers(), "").await));
    }
    insta::assert_snapshot!("refusals", seen.join("\n"));
    emulator.stop().await;
}

#[tokio::test]
async fn the_anthropic_version_decides_what_is_allowed() {
    let emulator = started().await;
    let ask = |version: Option<&'static str>, change: Value| {
        let addr = emulator.addr;
        async move {
            let mut body = Api::Messages.body(ORDER, false, None);
            for (field, value) in change.as_object().unwrap() {
                body[field] = value.clone();
            }
            let mut headers = vec![("x-api-key", "k"), ("x-stainless-timeout", "NOT_GIVEN")];
            headers.extend(version.map(|version| ("anthropic-version", version)));
            send(addr, "POST", "/v1/messages", &headers, &body.to_string()).await.unwrap().status
        }
    };
    let document = json!({"messages": [{"role": "user", "content": "가"}, {"role": "assistant", "content":
        [{"type": "document", "source": {}}, {"type": "text", "text": "나"}]}, {"role": "user", "content": "다"}]});
    let citations = json!({"messages": [{"role": "user", "content":
        [{"type": "text", "text": "가", "citations": [{"type": "char_location"}]}]}]});
    for change in [json!({"temperature": 0.5}), json!({"top_p": 0.5}), json!({"top_k": 5}), document, citations] {
        assert_eq!(ask(Some("2023-06-01"), change.clone()).await, 200, "{change}");
        assert_eq!(ask(Some("2026-10-21"), change.clone()).await, 400, "{change}");
    }
    assert_eq!(ask(None, json!({})).await, 400);
    assert_eq!(ask(Some("2020-01-01"), json!({})).await, 400);
    emulator.stop().await;
}

#[tokio::test]
async fn counted_tokens_are_billed_tokens() {
    let emulator = started().await;
    let body = Api::Messages.body(ORDER, false, None);
    let counted = send(emulator.addr, "POST", "/v1/messages/count_tokens", &Api::Messages.headers(), &body.to_string())
        .await
        .unwrap()
        .json();
    let asked = ask(emulator.addr, Api::Messages, ORDER, false).await.unwrap().json();
    assert_eq!(counted["input_tokens"], asked["usage"]["input_tokens"]);
    let body = Api::Generate.body(ORDER, false, None);
    let path = "/v1/models/gemini-3.8-flash:countTokens";
    let wrapped = json!({"generateContentRequest": body}).to_string();
    for body in [body.to_string(), wrapped] {
        let counted = send(emulator.addr, "POST", path, &Api::Generate.headers(), &body).await.unwrap().json();
        let asked = ask(emulator.addr, Api::Generate, ORDER, false).await.unwrap().json();
        assert_eq!(counted["totalTokens"], asked["usageMetadata"]["promptTokenCount"]);
    }
    emulator.stop().await;
}

#[tokio::test]
async fn gemini_takes_both_spellings_and_streams_a_list_without_sse() {
    let emulator = started().await;
    let text = json!([{"role": "user", "parts": [{"text": ORDER}]}]);
    let camel = json!({"contents": text, "systemInstruction": {"parts": [{"text": "가"}]},
        "generationConfig": {"maxOutputTokens": 8}});
    let snake = json!({"contents": text, "system_instruction": {"parts": [{"text": "가"}]},
        "generation_config": {"max_output_tokens": 8}});
    let mut answers = Vec::new();
    for (body, version) in [(camel, "v1"), (snake, "v1beta")] {
        let path = format!("/{version}/models/gemini-3.8-flash:generateContent?key=k");
        let reply = send(emulator.addr, "POST", &path, &[], &body.to_string()).await.unwrap().json();
        assert_eq!(reply["candidates"][0]["finishReason"], "MAX_TOKENS");
        answers.push(reply["candidates"].clone());
    }
    assert_eq!(answers[0], answers[1]);
    let path = "/v1beta/models/gemini-3.8-flash:streamGenerateContent";
    let body = Api::Generate.body(ORDER, true, None).to_string();
    let reply = send(emulator.addr, "POST", path, &Api::Generate.headers(), &body).await.unwrap();
    assert!(reply.json().as_array().unwrap().len() > 1);
    emulator.stop().await;
}

#[tokio::test]
async fn unknown_paths_get_the_clients_own_error() {
    let emulator = started().await;
    let reply = send(emulator.addr, "POST", "/v1/messages/wonders", &Api::Messages.headers(), "").await.unwrap();
    assert_eq!((reply.status, &reply.json()["error"]["type"]), (404, &json!("not_found_error")));
    let reply = send(emulator.addr, "DELETE", "/v1/wonders/x", &Api::Chat.headers(), "").await.unwrap();
    assert_eq!((reply.status, &reply.json()["error"]["type"]), (404, &json!("invalid_request_error")));
    let reply = send(emulator.addr, "GET", "/v1beta/wonders", &Api::Generate.headers(), "").await.unwrap();
    assert_eq!((reply.status, &reply.json()["error"]["status"]), (404, &json!("NOT_FOUND")));
    emulator.stop().await;
}
