//! Whole answers from a scripted server: what is sent, what is tried again, what is refused.

#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

#[expect(unreachable_pub, dead_code, reason = "each test binary uses its part of the server")]
mod server;

use providers::{Class, Stop};
use serde_json::json;
use server::{KEY, Server, Step, message, ok, request, whole};
use std::time::Duration;

const OPUS: &str = "anthropic/claude-opus-5-5";
const RETRY: Class = Class::Retry { after: None };

#[tokio::test]
async fn every_wire_is_asked_and_answers() {
    let chat = json!({"model": "qwen", "choices": [{"message": {"content": "네"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3, "completion_tokens": 1}});
    let gemini = json!({"candidates": [{"content": {"parts": [{"text": "네"}]}, "finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1}});
    let server = Server::start(vec![ok(&message("네")), ok(&chat), ok(&gemini)]).await;
    let providers = server.providers();
    for (model, answered) in
        [(OPUS, OPUS), ("openai/gpt-6.1-sol", "openai/qwen"), ("gemini/gemini-3.8-flash", "gemini/gemini-3.8-flash")]
    {
        assert!(providers.serves(model));
        let answer = providers.ask(&request(model)).await.unwrap();
        assert_eq!((answer.text.as_str(), answer.stop, answer.model.as_str()), ("네", Stop::Complete, answered));
        assert!(answer.nanos.0 > 0 && !answer.emulated, "{model}");
    }
    let seen = server.seen();
    for (request, line, key) in [
        (&seen[0], "POST /v1/messages HTTP/1.1", "x-api-key: "),
        (&seen[1], "POST /v1/chat/completions HTTP/1.1", "authorization: Bearer "),
        (&seen[2], "POST /v1beta/models/gemini-3.8-flash:generateContent HTTP/1.1", "x-goog-api-key: "),
    ] {
        assert!(request.head.starts_with(line), "{}", request.head);
        assert!(request.head.contains(&format!("{key}{KEY}")) && !line.contains(KEY), "{}", request.head);
        assert!(request.head.contains("x-client-request-id: 0198-1") && request.head.contains("traceparent: 00-0af7"));
        assert!(request.body.contains("겨울 예약을 늘릴 방법을 보고서로 써줘"));
    }
    assert!(seen[0].head.contains("anthropic-version: "));

    let whole = json!({"status": "completed", "output": [{"type": "message", "content": [{"type": "output_text", "text": "네"}]}]});
    let server = Server::start(vec![ok(&whole)]).await;
    let answer = server.responses().ask(&request("openai/gpt-6.1-sol")).await.unwrap();
    assert_eq!((answer.text.as_str(), answer.nanos.0), ("네", 0));
    assert!(server.seen()[0].head.starts_with("POST /v1/responses "));
}

#[tokio::test]
async fn headers_tell_of_the_emulator_and_the_request() {
    let headers = "x-chavion-emulated: 1\r\nrequest-id: req_7\r\n";
    let server = Server::start(vec![whole(200, headers, &message("네").to_string())]).await;
    let answer = server.providers().ask(&request(OPUS)).await.unwrap();
    assert_eq!((answer.emulated, answer.request_id.as_deref()), (true, Some("req_7")));
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let server = Server::start(vec![
        whole(529, "retry-after-ms: 1\r\n", r#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#),
        whole(429, "retry-after: 0\r\n", "{}"),
        whole(503, "retry-after: Fri, 20 Nov 2020 12:00:00 GMT\r\n", "<html>"),
        ok(&message("네 번째")),
    ])
    .await;
    let providers = server.providers();
    assert_eq!(providers.ask(&request(OPUS)).await.unwrap().text, "네 번째");
    let seen = server.seen();
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|again| again.body == seen[0].body));
    assert!(providers.status().iter().all(|status| status.trouble.is_none()), "the trouble is over");
}

#[tokio::test]
async fn four_tries_are_the_most() {
    let limit = || whole(429, "retry-after-ms: 1\r\n", r#"{"error":{"type":"rate_limit_error","message":"천천히"}}"#);
    let server = Server::start(vec![limit(), limit(), limit(), limit(), ok(&message("too late"))]).await;
    let providers = server.providers();
    let error = providers.ask(&request(OPUS)).await.unwrap_err();
    assert_eq!(error.class, Class::Retry { after: Some(Duration::from_millis(1)) });
    assert_eq!(error.to_string(), "anthropic is at its limit (429): 천천히");
    assert!(error.is_transient());
    assert_eq!(server.seen().len(), 4);
    let trouble = providers.status()[0].trouble.clone().unwrap();
    assert_eq!((trouble.status, trouble.class.as_str()), (Some(429), "retry"));
}

#[tokio::test]
async fn what_will_not_pass_is_asked_once() {
    let cases = [
        (400, "", r#"{"error":{"type":"invalid_request_error","message":"x"}}"#, Class::Fail),
        (401, "", r#"{"error":{"type":"authentication_error","message":"x"}}"#, Class::Hold),
        (402, "", "{}", Class::Hold),
        (404, "", r#"{"error":{"type":"not_found_error","message":"model"}}"#, Class::FailOver),
        (429, "retry-after-ms: 1\r\n", r#"{"error":{"type":"insufficient_quota","message":"x"}}"#, Class::Hold),
        (500, "x-should-retry: false\r\n", "{}", Class::FailOver),
        // Longer than anyone would wait here: the caller may come back.
        (429, "retry-after: 3600\r\n", "{}", Class::Retry { after: Some(Duration::from_secs(3600)) }),
        (307, "location: http://127.0.0.1:9/\r\n", "", Class::Hold),
    ];
    for (status, headers, body, class) in cases {
        let server = Server::start(vec![whole(status, headers, body), ok(&message("never"))]).await;
        let error = server.providers().ask(&request(OPUS)).await.unwrap_err();
        assert_eq!((error.class, error.status), (class, Some(status)), "{error}");
        assert_eq!(server.seen().len(), 1, "{error}");
    }
}

#[tokio::test]
async fn a_redirect_takes_no_key_to_another_host() {
    let other = Server::start(vec![ok(&message("stolen"))]).await;
    let location = format!("location: {}/v1/messages\r\n", other.base);
    let server = Server::start(vec![whole(308, &location, "")]).await;
    let error = server.providers().ask(&request(OPUS)).await.unwrap_err();
    assert_eq!(error.to_string(), "anthropic answered with a redirect, which is refused (308)");
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn broken_answers_are_asked_for_again() {
    let cut = |bytes: &str| vec![Step::Bytes(bytes.as_bytes().to_vec()), Step::Close];
    let server = Server::start(vec![
        vec![Step::Close],
        cut("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"content\":"),
        whole(200, "", "<html>a captive portal</html>"),
        ok(&message("드디어")),
    ])
    .await;
    assert_eq!(server.providers().ask(&request(OPUS)).await.unwrap().text, "드디어");
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn an_answer_that_never_ends_meets_the_timeout() {
    let slow = vec![Step::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_vec()), Step::Hang];
    let server = Server::start(vec![slow, ok(&message("never"))]).await;
    let mut request = request(OPUS);
    request.timeout = Duration::from_millis(500);
    let error = server.providers().ask(&request).await.unwrap_err();
    assert_eq!((error.class, error.to_string().as_str()), (RETRY, "anthropic did not answer within 500ms"));
    assert!(server.seen().len() <= 1, "the timeout bounds all tries together");
}

#[tokio::test]
async fn an_answer_that_never_stops_is_cut() {
    let announced = vec![Step::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n{".to_vec()), Step::Hang];
    let mebibyte = [b"100000\r\n".as_slice(), &vec![b' '; 1 << 20], b"\r\n"].concat();
    let mut chunked = vec![Step::Bytes(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec())];
    chunked.extend(std::iter::repeat_n(Step::Bytes(mebibyte), 70));
    chunked.push(Step::Hang);
    for script in [announced, chunked] {
        let server = Server::start(vec![script, ok(&message("never"))]).await;
        let error = server.providers().ask(&request(OPUS)).await.unwrap_err();
        assert_eq!(
            (error.class, error.to_string().as_str()),
            (Class::FailOver, "anthropic answered with more than 64 MiB")
        );
    }
}

#[tokio::test]
async fn nobody_there_is_worth_another_try() {
    let server = Server::start(Vec::new()).await;
    let providers = server.providers();
    drop(server);
    let error = providers.ask(&request(OPUS)).await.unwrap_err();
    assert_eq!(error.class, RETRY);
    assert!(error.to_string().starts_with("anthropic could not be reached at 127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn what_an_unusable_answer_cost_is_told() {
    // 10 × 4,000 + 5 × 20,000 = 140,000 nano-dollars each.
    let mut refusal = message("");
    refusal["stop_reason"] = json!("refusal");
    let server = Server::start(vec![ok(&refusal)]).await;
    let error = server.providers().ask(&request(OPUS)).await.unwrap_err();
    assert_eq!((error.class, error.billed.as_ref().unwrap().nanos.0), (Class::Fail, 140_000));
    assert_eq!(error.billed.unwrap().stop, Stop::Refused);

    // An empty answer is asked for again, and both are paid for.
    let server = Server::start(vec![ok(&message("")), ok(&message("네"))]).await;
    let answer = server.providers().ask(&request(OPUS)).await.unwrap();
    assert_eq!((answer.text.as_str(), answer.nanos.0, answer.usage.output), ("네", 280_000, 10));

    let empty = || ok(&message(""));
    let server = Server::start(vec![empty(), empty(), whole(400, "", "{}")]).await;
    let error = server.providers().ask(&request(OPUS)).await.unwrap_err();
    assert_eq!((error.class, error.billed.unwrap().nanos.0), (Class::Fail, 280_000));
}

#[tokio::test]
async fn requests_that_cannot_be_sent() {
    let server = Server::start(Vec::new()).await;
    let providers = server.providers();
    let mut cases = Vec::new();
    for model in ["claude", "", "nobody/claude", "ollama"] {
        cases.push((request(model), Class::FailOver));
    }
    for model in ["anthropic/", "anthropic/two words", "anthropic/a\nb"] {
        assert_eq!(providers.serves(model), model.len() > "anthropic/".len());
        cases.push((request(model), Class::Fail));
    }
    cases.push((providers::Request { messages: Vec::new(), ..request(OPUS) }, Class::Fail));
    cases.push((providers::Request { max_tokens: 0, ..request(OPUS) }, Class::Fail));
    for (request, class) in cases {
        let error = providers.ask(&request).await.unwrap_err();
        // A provider's name alone names a provider, but no model of it.
        let class = if request.model == "ollama" { Class::Fail } else { class };
        assert_eq!(error.class, class, "{error}");
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_server_of_ones_own_is_asked_for_its_own_model() {
    let missing = whole(404, "", r#"{"error":{"message":"model not found"}}"#);
    let server = Server::start(vec![missing]).await;
    let error = server.providers().ask(&request("openai/gpt-6.1-sol")).await.unwrap_err();
    assert!(error.to_string().ends_with("(set OPENAI_MODEL to a model that this server has)"), "{error}");

    let chat = json!({"choices": [{"message": {"content": "네"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 1}});
    let server = Server::start(vec![ok(&chat)]).await;
    let base = server.base.clone();
    let vars = move |name: &str| match name {
        "OPENAI_BASE_URL" => Some(base.as_str().into()),
        "OPENAI_MODEL" => Some("qwen3:8b".into()),
        _ => None,
    };
    let registry = prometheus::Registry::new();
    let providers = providers::Providers::new(providers::Catalogue::built_in().unwrap(), &vars, &registry).unwrap();
    let answer = providers.ask(&request("openai/gpt-6.1-sol")).await.unwrap();
    assert_eq!((answer.model.as_str(), answer.nanos.0), ("openai/qwen3:8b", 0));
    let sent: serde_json::Value = serde_json::from_str(&server.seen()[0].body).unwrap();
    assert_eq!((sent["model"].as_str(), sent["max_tokens"].as_i64()), (Some("qwen3:8b"), Some(1000)));
    assert!(!server.seen()[0].head.contains("authorization"));
    let unpriced = registry.gather().into_iter().find(|family| family.name() == "chavion_providers_unpriced_total");
    let metrics = unpriced.unwrap();
    let counted: f64 = metrics.get_metric().iter().map(|metric| metric.get_counter().get_value()).sum();
    assert!((counted - 1.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn schemas_come_back_as_data() {
    let server = Server::start(vec![ok(&message("{\"부서\":\"영업\"}")), ok(&message("영업입니다"))]).await;
    let providers = server.providers();
    let mut request = request(OPUS);
    request.schema = Some(json!({"type": "object", "properties": {"부서": {"type": "string"}}, "required": ["부서"]}));
    assert_eq!(providers.ask(&request).await.unwrap().data, Some(json!({"부서": "영업"})));
    assert_eq!(providers.ask(&request).await.unwrap().data, None);
    assert!(server.seen()[0].body.contains("output_config"));
}
