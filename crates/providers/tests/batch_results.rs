//! Results in every shape and order, whole and broken.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests stop at the first surprise")]

#[expect(unreachable_pub, dead_code, reason = "each test binary uses its part")]
mod batches;
#[expect(unreachable_pub, dead_code, reason = "each test binary uses its part of the server")]
mod server;

use batches::{TOKEN, by_id, job, read};
use providers::{BatchOutcome, BatchResult, Catalogue, Class, Providers, Stop};
use secrecy::SecretString;
use serde_json::{Value, json};
use server::{Server, Step, events, ok, whole};

const RETRY: Class = Class::Retry { after: None };

fn id(at: u32) -> String {
    format!("{TOKEN}-{at:06}")
}

fn file(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The class of a failed item, and what it was billed.
fn failed(outcome: &BatchOutcome) -> (Class, i64) {
    match outcome {
        BatchOutcome::Failed(error) => (error.class, error.billed.as_ref().map_or(0, |billed| billed.nanos.0)),
        other => panic!("{other:?}"),
    }
}

fn text(outcome: &BatchOutcome) -> &str {
    match outcome {
        BatchOutcome::Succeeded(answer) => &answer.text,
        other => panic!("{other:?}"),
    }
}

async fn of(provider: &str, script: Vec<Vec<Step>>, output: Option<&str>, error: Option<&str>) -> Vec<BatchResult> {
    let server = Server::start(script).await;
    let batches = server.providers().batches(provider).unwrap();
    let (results, error) = read(&batches, &job("batch_1", output, error)).await;
    assert_eq!(error, None);
    results
}

#[tokio::test]
async fn items_of_anthropic() {
    let line = |at: u32, result: Value| json!({"custom_id": id(at), "result": result});
    let errored =
        |kind: &str| json!({"type": "errored", "error": {"type": "error", "error": {"type": kind, "message": "x"}}});
    let message = |text: &str, reason: &str| {
        let mut message = server::message(text);
        message["stop_reason"] = json!(reason);
        json!({"type": "succeeded", "message": message})
    };
    let lines = [
        line(0, message("{\"부서\": \"영업\"}", "end_turn")),
        line(1, message("할 수 없습니다", "refusal")),
        line(2, message("", "max_tokens")),
        line(3, message("반쪽", "max_tokens")),
        line(4, message("", "end_turn")),
        line(5, errored("invalid_request_error")),
        line(6, errored("overloaded_error")),
        line(7, errored("api_error")),
        line(8, errored("billing_error")),
        line(9, errored("not_found_error")),
        line(10, json!({"type": "expired"})),
        line(11, json!({"type": "canceled"})),
        line(12, json!({"type": "something_new"})),
        line(13, json!({"type": "succeeded", "message": {"content": 7}})),
        line(14, errored("a_kind_of_next_year")),
    ];
    let script = vec![whole(200, "", &file(&lines).replace('\n', "\r\n\r\n"))];
    let got = by_id(of("anthropic", script, None, None).await);
    assert_eq!(got.len(), 15);
    let of = |at: u32| &got[&format!("{at:06}")];
    let BatchOutcome::Succeeded(answer) = of(0) else { panic!("{:?}", of(0)) };
    assert_eq!((answer.data.as_ref().unwrap(), answer.emulated), (&json!({"부서": "영업"}), false));
    // 10 × 4,000 + 5 × 20,000 = 140,000; half of it was billed, whatever it is worth.
    assert_eq!(failed(of(1)), (Class::Fail, 70_000));
    assert_eq!(failed(of(2)), (Class::FailOver, 70_000));
    assert_eq!(text(of(3)), "반쪽");
    assert_eq!(failed(of(4)), (RETRY, 70_000));
    for (at, class) in [
        (5, Class::Fail),
        (6, RETRY),
        (7, RETRY),
        (8, Class::Hold),
        (9, Class::FailOver),
        (12, RETRY),
        (13, RETRY),
        (14, RETRY),
    ] {
        assert_eq!(failed(of(at)), (class, 0), "{at}");
    }
    assert_eq!((of(10), of(11)), (&BatchOutcome::Expired, &BatchOutcome::Cancelled));
}

#[tokio::test]
async fn items_of_openai_in_two_files_and_two_wires() {
    let line = |at: u32, response: Value, error: Value| json!({"id": "batch_req_1", "custom_id": id(at), "response": response, "error": error});
    let answered = |status: u16, body: Value| json!({"status_code": status, "request_id": "req_1", "body": body});
    let error = |code: &str| json!({"error": {"message": "x", "type": code, "code": code}});
    let chat = |text: &str, reason: &str| json!({"model": "gpt-6.1-sol", "choices": [{"message": {"content": text}, "finish_reason": reason}], "usage": {"prompt_tokens": 10, "completion_tokens": 5}});
    let response = |text: &str| {
        json!({"object": "response", "status": "completed", "error": null, "model": "gpt-6.1-sol",
        "output": [{"type": "message", "content": [{"type": "output_text", "text": text}]}], "usage": {"input_tokens": 10, "output_tokens": 5}})
    };
    let refusal = json!({"model": "gpt-6.1-sol", "choices": [{"message": {"content": null, "refusal": "아니요"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 10, "completion_tokens": 5}});
    let output = [
        line(0, answered(200, chat("하나", "stop")), Value::Null),
        line(1, answered(200, response("둘")), Value::Null),
        line(2, answered(200, chat("셋", "stop")), Value::Null),
        line(3, answered(200, chat("반", "content_filter")), Value::Null),
        line(4, answered(200, refusal), Value::Null),
        line(5, answered(200, json!("<html>")), Value::Null),
        line(
            6,
            answered(200, json!({"status": "failed", "output": [], "error": {"code": "server_error", "message": "x"}})),
            Value::Null,
        ),
    ];
    let errors = [
        line(7, answered(400, error("invalid_request_error")), Value::Null),
        line(8, answered(429, error("insufficient_quota")), Value::Null),
        line(9, answered(500, json!("upstream connect error")), Value::Null),
        line(10, answered(404, error("model_not_found")), Value::Null),
        line(
            11,
            Value::Null,
            json!({"code": "batch_expired", "message": "This request could not be executed before the completion window expired."}),
        ),
        line(12, Value::Null, json!({"code": "batch_cancelled", "message": "x"})),
        line(13, Value::Null, json!({"code": "request_timeout", "message": "x"})),
        line(14, Value::Null, json!({"code": "a_code_of_next_year", "message": "x"})),
        line(15, Value::Null, Value::Null),
    ];
    let script = vec![whole(200, "", &file(&output)), whole(200, "", &file(&errors))];
    let got = by_id(of("openai", script, Some("file-1"), Some("file-2")).await);
    assert_eq!(got.len(), 16);
    let of_item = |at: u32| &got[&format!("{at:06}")];
    assert_eq!([0, 1, 2].map(|at| text(of_item(at))), ["하나", "둘", "셋"]);
    // 10 × 2,000 + 5 × 10,000 = 70,000, and half of it.
    assert_eq!(failed(of_item(3)), (Class::FailOver, 35_000));
    assert_eq!(failed(of_item(4)), (Class::Fail, 35_000));
    let cases = [
        (5, RETRY),
        (6, RETRY),
        (7, Class::Fail),
        (8, Class::Hold),
        (9, RETRY),
        (10, Class::FailOver),
        (13, RETRY),
        (14, RETRY),
        (15, RETRY),
    ];
    for (at, class) in cases {
        assert_eq!(failed(of_item(at)), (class, 0), "{at}");
    }
    assert_eq!((of_item(11), of_item(12)), (&BatchOutcome::Expired, &BatchOutcome::Cancelled));
    // Only an error file; "" is no file; no file is no result.
    let only = of("openai", vec![whole(200, "", &file(&errors[..1]))], Some(""), Some("file-2")).await;
    assert_eq!(only.len(), 1);
    assert!(of("openai", vec![], None, None).await.is_empty());
}

#[tokio::test]
async fn items_of_gemini_from_a_file_and_inline() {
    let answer = |text: &str, reason: &str| {
        json!({"candidates": [{"content": {"parts": [{"text": "음", "thought": true}, {"text": text}]}, "finishReason": reason}],
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 3, "thoughtsTokenCount": 2}, "modelVersion": "gemini-3.8-flash"})
    };
    let item = |at: u32, said: &Value, inline: bool| {
        let mut item = if inline { json!({"metadata": {"key": id(at)}}) } else { json!({"key": id(at)}) };
        item.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
        item
    };
    let said = [
        json!({"response": answer("겨울", "STOP")}),
        json!({"response": answer("", "SAFETY")}),
        json!({"response": {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}}),
        json!({"error": {"code": 3, "message": "x"}}),
        json!({"error": {"code": 400, "message": "x"}}),
        json!({"error": {"code": 8, "message": "x"}}),
        json!({"error": {"status": "UNAVAILABLE", "message": "x"}}),
        json!({"error": {"code": "13", "message": "x"}}),
        json!({"error": {"code": 7, "message": "x", "status": "PERMISSION_DENIED"}}),
        json!({"error": {"code": 1, "message": "x"}}),
        json!({"status": {"code": 503, "message": "x"}}),
        json!({}),
    ];
    let check = |results: Vec<BatchResult>| {
        assert_eq!(results.len(), 12);
        let got = by_id(results);
        let of = |at: u32| &got[&format!("{at:06}")];
        assert_eq!(text(of(0)), "겨울");
        // 10 × 750 + 5 × 3,750 = 26,250; half of it is 13,125.
        assert_eq!(failed(of(1)), (Class::FailOver, 13_125));
        assert_eq!(failed(of(2)), (Class::Fail, 0));
        let cases = [
            (3, Class::Fail),
            (4, Class::Fail),
            (5, RETRY),
            (6, RETRY),
            (7, RETRY),
            (8, Class::FailOver),
            (10, RETRY),
            (11, RETRY),
        ];
        for (at, class) in cases {
            assert_eq!(failed(of(at)), (class, 0), "{at}");
        }
        assert_eq!(of(9), &BatchOutcome::Cancelled);
    };
    let items = |inline| said.iter().zip(0..).map(|(said, at)| item(at, said, inline)).collect::<Vec<_>>();
    check(of("gemini", vec![whole(200, "", &file(&items(false)))], Some("files/out"), None).await);
    // A small batch that came as a file may answer inline; everything stands there twice.
    let output = json!({"inlinedResponses": {"inlinedResponses": items(true)}});
    let operation = json!({"name": "batches/batch_1", "metadata": {"state": "BATCH_STATE_SUCCEEDED", "output": output}, "done": true, "response": output});
    check(of("gemini", vec![ok(&operation), ok(&operation)], None, None).await);
    // A job from memory does not know its file.
    let operation = json!({"name": "batches/batch_1", "metadata": {"state": "JOB_STATE_SUCCEEDED", "output": {"responsesFile": "files/out"}}});
    check(of("gemini", vec![ok(&operation), whole(200, "", &file(&items(false)))], None, None).await);
}

#[tokio::test]
async fn lines_may_come_twice_or_be_of_nobody() {
    let good =
        json!({"custom_id": id(0), "result": {"type": "succeeded", "message": server::message("네")}}).to_string();
    let body =
        format!("{good}\n<html>\n{{\"custom_id\":\"{}\",\"result\":{{\"typ\n{{\"result\":{{}}}}\n7\n{good}", id(1));
    let results = of("anthropic", vec![whole(200, "", &body)], None, None).await;
    let ids: Vec<&str> = results.iter().map(|result| result.custom_id.as_str()).collect();
    assert_eq!(ids, [id(0), id(1), id(0)]);
    assert_eq!(failed(&results[1].outcome), (RETRY, 0));
    let BatchOutcome::Succeeded(answer) = &results[2].outcome else {
        panic!("the last line lacks its line feed alone")
    };
    assert_eq!(answer.stop, Stop::Complete);
}

#[tokio::test]
async fn an_item_above_32_mib_fails_alone() {
    let line = |at: u32| json!({"custom_id": id(at), "result": {"type": "expired"}}).to_string();
    let giant = format!(r#"{{"custom_id":"{}","result":{{"text":"{}"}}}}"#, id(1), "가".repeat(12 << 20));
    let body = format!("{}\n{giant}\n{}\n", line(0), line(2));
    let results = of("anthropic", vec![whole(200, "", &body)], None, None).await;
    assert_eq!(results.len(), 3);
    assert_eq!((results[1].custom_id.as_str(), failed(&results[1].outcome)), (id(1).as_str(), (Class::FailOver, 0)));
    assert!(
        matches!(&results[1].outcome, BatchOutcome::Failed(error) if error.reason == "anthropic answered with more than 32 MiB")
    );
}

#[tokio::test]
async fn calls_and_lines_are_counted() {
    let lines = [
        json!({"custom_id": id(0), "result": {"type": "succeeded", "message": server::message("네")}}),
        json!({"result": {}}),
    ];
    let script =
        vec![whole(404, "", "{}"), whole(503, "", ""), ok(&json!({"id": "b1"})), whole(200, "", &file(&lines))];
    let server = Server::start(script).await;
    let registry = prometheus::Registry::new();
    let base = server.base.clone();
    let vars = |name: &str| match name {
        "ANTHROPIC_BASE_URL" => Some(SecretString::from(base.as_str())),
        "ANTHROPIC_API_KEY" => Some(SecretString::from("k")),
        _ => None,
    };
    let providers = Providers::new(Catalogue::built_in().unwrap(), &vars, &registry).unwrap();
    let batches = providers.batches("anthropic").unwrap();
    assert!(batches.status("b1").await.is_err());
    batches.status("b1").await.unwrap();
    assert_eq!(read(&batches, &job("b1", None, None)).await.0.len(), 1);
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    for expected in [
        r#"chavion_providers_batch_calls_total{outcome="missing",provider="anthropic",verb="status"} 1"#,
        r#"chavion_providers_batch_calls_total{outcome="retry",provider="anthropic",verb="status"} 1"#,
        r#"chavion_providers_batch_calls_total{outcome="done",provider="anthropic",verb="status"} 1"#,
        r#"chavion_providers_batch_calls_total{outcome="done",provider="anthropic",verb="results"} 1"#,
        r#"chavion_providers_batch_calls_total{outcome="hold",provider="anthropic",verb="create"} 0"#,
        r#"chavion_providers_batch_call_seconds_count{provider="anthropic",verb="status"} 3"#,
        r#"chavion_providers_batch_results_total{outcome="succeeded",provider="anthropic"} 1"#,
        r#"chavion_providers_batch_results_total{outcome="unreadable",provider="anthropic"} 1"#,
        // 10 × 4,000 + 5 × 20,000, and half of it.
        r#"chavion_providers_cost_nanodollars_total{provider="anthropic"} 70000"#,
    ] {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_ends_with_an_error_that_may_pass() {
    let line = |at: u32| json!({"custom_id": id(at), "result": {"type": "expired"}}).to_string() + "\n";
    let half = line(2)[..30].to_owned();
    let announced = format!("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n{}{}{half}", line(0), line(1));
    let chunked =
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{}\r\n", line(0).len(), line(0));
    let cases = [
        (vec![Step::Bytes(announced.into_bytes()), Step::Close], 2),
        (vec![Step::Bytes(chunked.into_bytes()), Step::Close], 1),
        // Without a length a broken connection looks like an end; half a line does not.
        (events(&[line(0).as_bytes(), half.as_bytes()]), 1),
    ];
    for (reply, whole) in cases {
        let server = Server::start(vec![reply]).await;
        let batches = server.providers().batches("anthropic").unwrap();
        let (results, error) = read(&batches, &job("batch_1", None, None)).await;
        assert_eq!((results.len(), error.unwrap().class), (whole, RETRY));
    }
    // A second file that is not to be had ends the results in the same way.
    let server = Server::start(vec![
        whole(200, "", &format!("{}\n", json!({"custom_id": id(0), "error": {"code": "batch_expired"}}))),
        whole(404, "", "{}"),
    ])
    .await;
    let batches = server.providers().batches("openai").unwrap();
    let (results, error) = read(&batches, &job("batch_1", Some("file-1"), Some("file-2"))).await;
    assert_eq!((results.len(), error.unwrap().status), (1, Some(404)));
    // Inline results that stop in the middle.
    let cut = format!(r#"{{"response":{{"inlinedResponses":[{{"key":"{}","error":{{"code":1}}}},{{"key":"#, id(0));
    let server = Server::start(vec![ok(&json!({"name": "batches/batch_1"})), whole(200, "", &cut)]).await;
    let batches = server.providers().batches("gemini").unwrap();
    let (results, error) = read(&batches, &job("batch_1", None, None)).await;
    assert_eq!((results.len(), error.unwrap().class), (1, RETRY));
}
