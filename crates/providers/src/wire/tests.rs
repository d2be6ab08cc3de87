//! Bodies as they are sent, and answers as they arrive, for all four wires.

use super::*;
use crate::chat::Message;
use serde_json::json;
use std::time::Duration;

fn dialect(toml: &str) -> Dialect {
    toml::from_str(toml).unwrap()
}

fn request(schema: Option<Value>) -> Request {
    let message = |role, text: &str| Message { role, text: text.to_owned() };
    Request {
        model: "acme/model-1".to_owned(),
        system: Some("당신은 애견호텔의 영업 전문가입니다.".to_owned()),
        messages: vec![
            message(Role::User, "겨울 예약을 늘릴 방법은?"),
            message(Role::Assistant, "\"패키지\"를 파세요."),
            message(Role::User, "두 가지만\n더."),
        ],
        schema,
        max_tokens: 1000,
        flex: true,
        timeout: Duration::from_secs(1),
        request_id: "id".to_owned(),
        traceparent: None,
    }
}

fn strict_schema() -> Value {
    json!({"type": "object", "properties": {
        "제목": {"type": "string"}, "점수": {"type": "integer", "minimum": 0}
    }, "required": ["제목", "점수"]})
}

fn body(wire: &str, switches: &str, request: &Request, stream: bool, flex: bool) -> String {
    let dialect = dialect(&format!("wire = \"{wire}\"\n{switches}"));
    let mut prompt = Prompt::new(request, dialect.wire, &dialect, "model-1");
    prompt.stream = stream;
    prompt.flex = flex;
    let body: Value = serde_json::from_slice(&prompt.body(dialect.wire).unwrap()).unwrap();
    serde_json::to_string_pretty(&body).unwrap()
}

#[test]
fn bodies() {
    let plain = Request { system: None, messages: request(None).messages.split_off(2), ..request(None) };
    for wire in ["messages", "chat_completions", "responses", "generate_content"] {
        insta::assert_snapshot!(format!("{wire}_plain"), body(wire, "", &plain, false, false));
        insta::assert_snapshot!(format!("{wire}_korean_stream"), body(wire, "", &request(None), true, false));
        insta::assert_snapshot!(
            format!("{wire}_schema_flex"),
            body(wire, "", &request(Some(strict_schema())), false, true)
        );
    }
    let loose = json!({"type": "object", "properties": {"메모": {"type": "string", "minLength": 2}}});
    let list = json!({"type": "array", "items": {"type": "string"}});
    let chat =
        |switches, schema: &Value| body("chat_completions", switches, &request(Some(schema.clone())), true, false);
    insta::assert_snapshot!("chat_loose_schema", chat("", &loose));
    insta::assert_snapshot!("chat_list_schema", chat("", &list));
    insta::assert_snapshot!("chat_json_object", chat("schema = \"json_object\"\nusage_in_stream = false", &loose));
    insta::assert_snapshot!("chat_new_limit_field", chat("max_tokens = \"max_completion_tokens\"", &strict_schema()));
    insta::assert_snapshot!("messages_list_schema", body("messages", "", &request(Some(list)), false, false));
}

#[test]
fn neighbours_of_one_role_are_joined_where_they_must_take_turns() {
    let mut request = request(None);
    request.messages.remove(1);
    let dialect = dialect("wire = \"chat_completions\"\nalternate = true");
    let prompt = Prompt::new(&request, dialect.wire, &dialect, "m");
    let texts: Vec<&str> = prompt.turns.iter().map(|turn| turn.text.as_ref()).collect();
    assert_eq!(texts, ["겨울 예약을 늘릴 방법은?\n\n두 가지만\n더."]);
}

const fn usage(input: i64, cache_read: i64, cache_write: i64, cache_write_hour: i64, output: i64) -> Usage {
    Usage { input, cache_read, cache_write, cache_write_hour, output }
}

fn check(wire: Wire, reply: &Value, text: &str, stop: Stop, usage: Usage) {
    let draft = answer(wire, reply.to_string().as_bytes()).unwrap();
    assert_eq!((draft.text.as_str(), draft.stop, draft.usage), (text, Some(stop), usage), "{reply}");
}

#[test]
fn answers_of_messages() {
    let reply = |content: Value, reason: &str, usage: Value| json!({"id": "msg_1", "type": "message", "model": "claude", "content": content, "stop_reason": reason, "usage": usage});
    let text = json!([{"type": "thinking", "thinking": "…", "signature": "s"}, {"type": "text", "text": "안녕"}, {"type": "new"}, {"type": "text", "text": "하세요"}]);
    let tokens = json!({"input_tokens": 10, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 30, "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10}, "output_tokens": 7});
    let (complete, cut) = (Stop::Complete, Stop::MaxTokens);
    check(Wire::Messages, &reply(text.clone(), "end_turn", tokens), "안녕하세요", complete, usage(10, 4, 20, 10, 7));
    let old = json!({"input_tokens": 10, "cache_read_input_tokens": null, "cache_creation_input_tokens": 30, "output_tokens": 7});
    check(Wire::Messages, &reply(text.clone(), "max_tokens", old), "안녕하세요", cut.clone(), usage(10, 0, 30, 0, 7));
    check(
        Wire::Messages,
        &reply(text, "model_context_window_exceeded", json!({})),
        "안녕하세요",
        cut,
        usage(0, 0, 0, 0, 0),
    );
    check(Wire::Messages, &reply(json!([]), "refusal", json!({})), "", Stop::Refused, Usage::default());
    check(Wire::Messages, &reply(json!([]), "later", json!({})), "", Stop::Other("later".to_owned()), Usage::default());
}

#[test]
fn answers_of_chat_completions() {
    let reply = |message: Value, reason: Value, usage: Value| json!({"object": "chat.completion", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": reason}], "usage": usage});
    let chat = Wire::ChatCompletions;
    let tokens = json!({"prompt_tokens": 100, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30}});
    check(chat, &reply(json!({"content": "네"}), json!("stop"), tokens), "네", Stop::Complete, usage(10, 60, 30, 0, 9));
    let deepseek = json!({"prompt_tokens": 100, "completion_tokens": 9, "prompt_cache_hit_tokens": 40});
    let thinking = json!({"content": "네", "reasoning_content": "음…"});
    check(chat, &reply(thinking, json!("length"), deepseek), "네", Stop::MaxTokens, usage(60, 40, 0, 0, 9));
    let parts = json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "음"}]}, {"type": "text", "text": "네"}]});
    check(chat, &reply(parts, Value::Null, Value::Null), "네", Stop::Complete, Usage::default());
    check(
        chat,
        &reply(json!({"content": null, "refusal": "아니요"}), json!("stop"), json!({})),
        "아니요",
        Stop::Refused,
        Usage::default(),
    );
    check(
        chat,
        &reply(json!({"content": null}), json!("content_filter"), json!({})),
        "",
        Stop::Filtered,
        Usage::default(),
    );
    check(
        chat,
        &reply(json!({"content": "x"}), json!("tool_calls"), json!({})),
        "x",
        Stop::Other("tool_calls".to_owned()),
        Usage::default(),
    );
    let absurd = json!({"prompt_tokens": 10, "completion_tokens": -5, "prompt_tokens_details": {"cached_tokens": 60}});
    check(chat, &reply(json!({"content": "x"}), json!("stop"), absurd), "x", Stop::Complete, usage(0, 10, 0, 0, 0));
}

#[test]
fn answers_of_responses() {
    let reply = |status: &str, details: Value, output: Value| {
        json!({"object": "response", "status": status, "model": "m", "output": output, "incomplete_details": details, "error": null,
        "usage": {"input_tokens": 50, "input_tokens_details": {"cached_tokens": 20}, "output_tokens": 8, "output_tokens_details": {"reasoning_tokens": 5}}})
    };
    let message = json!([{"type": "reasoning", "summary": []}, {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "안", "annotations": []}, {"type": "output_text", "text": "녕"}]}]);
    let tokens = usage(30, 20, 0, 0, 8);
    let wire = Wire::Responses;
    check(wire, &reply("completed", Value::Null, message.clone()), "안녕", Stop::Complete, tokens);
    check(
        wire,
        &reply("incomplete", json!({"reason": "max_output_tokens"}), message.clone()),
        "안녕",
        Stop::MaxTokens,
        tokens,
    );
    check(wire, &reply("incomplete", json!({"reason": "content_filter"}), json!([])), "", Stop::Filtered, tokens);
    check(wire, &reply("cancelled", Value::Null, message), "안녕", Stop::Other("cancelled".to_owned()), tokens);
    let refusal = json!([{"type": "message", "content": [{"type": "refusal", "refusal": "아니요"}]}]);
    check(wire, &reply("completed", Value::Null, refusal), "아니요", Stop::Refused, tokens);
}

#[test]
fn answers_of_generate_content() {
    let wire = Wire::GenerateContent;
    let tokens = json!({"promptTokenCount": 100, "cachedContentTokenCount": 60, "candidatesTokenCount": 5, "thoughtsTokenCount": 40, "totalTokenCount": 145});
    let reply = |parts: Value, reason: &str| json!({"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": reason, "index": 0}], "usageMetadata": tokens, "modelVersion": "g"});
    let counted = usage(40, 60, 0, 0, 45);
    let parts = json!([{"text": "생각", "thought": true}, {"text": "안"}, {"inlineData": {}}, {"text": "녕", "thoughtSignature": "s"}]);
    check(wire, &reply(parts, "STOP"), "안녕", Stop::Complete, counted);
    check(wire, &reply(json!([]), "MAX_TOKENS"), "", Stop::MaxTokens, counted);
    check(
        wire,
        &json!({"candidates": [{"finishReason": "MAX_TOKENS"}], "usageMetadata": tokens}),
        "",
        Stop::MaxTokens,
        counted,
    );
    for reason in ["SAFETY", "RECITATION", "PROHIBITED_CONTENT", "SPII", "BLOCKLIST", "LANGUAGE"] {
        check(wire, &reply(json!([]), reason), "", Stop::Filtered, counted);
    }
    check(wire, &reply(json!([]), "MALFORMED_RESPONSE"), "", Stop::Other("MALFORMED_RESPONSE".to_owned()), counted);
    let blocked =
        json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 3}});
    check(wire, &blocked, "", Stop::Refused, usage(3, 0, 0, 0, 0));
}

#[test]
fn what_is_no_answer() {
    let all = [Wire::Messages, Wire::ChatCompletions, Wire::Responses, Wire::GenerateContent];
    for wire in all {
        for body in ["", "<html>", "[]", "{}", "null", "{\"choices\":[]}", "{\"candidates\":[]}", "{\"content\":7}"] {
            assert_eq!(answer(wire, body.as_bytes()), Err(Fault::Malformed), "{wire:?} {body}");
        }
        let error = answer(wire, br#"{"error":{"code":502,"message":"upstream"}}"#);
        assert_eq!(error, Err(Fault::Said(br#"{"error":{"code":502,"message":"upstream"}}"#.to_vec())), "{wire:?}");
    }
    let choice = br#"{"choices":[{"error":{"code":429,"message":"x"},"message":{"content":""}}]}"#;
    assert!(matches!(answer(Wire::ChatCompletions, choice), Err(Fault::Said(_))));
    let failed = br#"{"status":"failed","output":[],"error":{"code":"server_error","message":"x"}}"#;
    assert!(matches!(answer(Wire::Responses, failed), Err(Fault::Said(_))));
}

/// Folds a stream; gives the texts handed on and what it ended with.
fn folded(wire: Wire, events: &[(&str, Value)]) -> (Vec<String>, Result<Draft, Fault>) {
    let mut fold = fold(wire);
    let mut texts = Vec::new();
    for (name, data) in events {
        let data = data.as_str().map_or_else(|| data.to_string(), str::to_owned);
        match fold.event(&Event { name: (*name).to_owned(), data }) {
            Ok(Step::Text(text)) => texts.push(text),
            Ok(Step::Nothing) => {}
            Ok(Step::Done) => break,
            Err(fault) => return (texts, Err(fault)),
        }
    }
    (texts, fold.end())
}

/// Checks a whole stream, and that it counts as truncated when it is cut before its `least` last events.
fn check_stream(wire: Wire, events: &[(&str, Value)], least: usize, usage: Usage) {
    let (texts, draft) = folded(wire, events);
    let draft = draft.unwrap();
    assert_eq!(texts, ["안녕", "하세요"]);
    assert_eq!((draft.text.as_str(), draft.stop, draft.usage), ("안녕하세요", Some(Stop::Complete), usage));
    for kept in 0..events.len() - least {
        assert_eq!(folded(wire, &events[..kept]).1, Err(Fault::Truncated), "{wire:?} after {kept} events");
    }
}

#[test]
fn streams() {
    let delta = |text: &str| {
        (
            "content_block_delta",
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
        )
    };
    let messages = [
        (
            "message_start",
            json!({"type": "message_start", "message": {"model": "claude", "content": [], "usage": {"input_tokens": 10, "cache_read_input_tokens": 4, "output_tokens": 1}}}),
        ),
        (
            "content_block_start",
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        ),
        ("ping", json!({"type": "ping"})),
        delta("안녕"),
        (
            "content_block_delta",
            json!({"type": "content_block_delta", "index": 1, "delta": {"type": "thinking_delta", "thinking": "음"}}),
        ),
        ("something_new", json!({"type": "something_new", "delta": 5})),
        delta("하세요"),
        ("content_block_stop", json!({"type": "content_block_stop", "index": 0})),
        (
            "message_delta",
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}),
        ),
        ("message_stop", json!({"type": "message_stop"})),
    ];
    // An event of next year whose `delta` has another shape must not break the stream.
    check_stream(Wire::Messages, &messages, 0, usage(10, 4, 0, 0, 9));

    let chunk = |delta: Value, reason: Value| {
        (
            "",
            json!({"object": "chat.completion.chunk", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}),
        )
    };
    let chat = [
        chunk(json!({"role": "assistant", "content": ""}), Value::Null),
        chunk(json!({"content": "안녕"}), Value::Null),
        chunk(json!({"reasoning_content": "음"}), Value::Null),
        chunk(json!({"content": "하세요"}), Value::Null),
        chunk(json!({}), json!("stop")),
        ("", json!({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 3}})),
        ("", json!("[DONE]")),
    ];
    check_stream(Wire::ChatCompletions, &chat, 2, usage(10, 0, 0, 0, 3));

    let whole = json!({"status": "completed", "model": "m", "output": [{"type": "message", "content": [{"type": "output_text", "text": "안녕하세요"}]}], "usage": {"input_tokens": 10, "output_tokens": 3}});
    let responses = [
        ("response.created", json!({"type": "response.created", "response": {"status": "in_progress", "output": []}})),
        ("response.output_text.delta", json!({"type": "response.output_text.delta", "delta": "안녕"})),
        ("response.something_new", json!({"type": "response.something_new", "delta": {"a": 1}})),
        ("response.output_text.delta", json!({"type": "response.output_text.delta", "delta": "하세요"})),
        ("response.completed", json!({"type": "response.completed", "response": whole})),
    ];
    check_stream(Wire::Responses, &responses, 0, usage(10, 0, 0, 0, 3));

    let part =
        |text: &str| ("", json!({"candidates": [{"content": {"parts": [{"text": text}]}}], "modelVersion": "g"}));
    let gemini = [
        part("안녕"),
        ("", json!({"candidates": [{"content": {"parts": [{"text": "음", "thought": true}]}}]})),
        part("하세요"),
        (
            "",
            json!({"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 3}}),
        ),
    ];
    check_stream(Wire::GenerateContent, &gemini, 0, usage(10, 0, 0, 0, 3));
}

#[test]
fn errors_inside_streams() {
    let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": "x"}, "code": "server_error"});
    for wire in [Wire::Messages, Wire::ChatCompletions, Wire::Responses, Wire::GenerateContent] {
        let (_, result) = folded(wire, &[("error", error.clone())]);
        assert!(matches!(result, Err(Fault::Said(_))), "{wire:?} {result:?}");
        let (_, result) = folded(wire, &[("", json!("{\"half\":"))]);
        assert_eq!(result, Err(Fault::Malformed), "{wire:?}");
    }
    let (_, blocked) = folded(Wire::GenerateContent, &[("", json!({"promptFeedback": {"blockReason": "SAFETY"}}))]);
    assert_eq!(blocked.unwrap().stop, Some(Stop::Refused));
}
