//! What is sent for a batch, byte by byte, and what is read of the answers.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests stop at the first surprise")]

#[expect(unreachable_pub, dead_code, reason = "each test binary uses its part")]
mod batches;
#[expect(unreachable_pub, dead_code, reason = "each test binary uses its part of the server")]
mod server;

use batches::{TOKEN, by_id, lines, none, read, two};
use providers::{BatchOutcome, Class, Providers};
use serde_json::json;
use server::{KEY, Seen, Server, ok, whole};
use std::fmt::Write;

/// What a server was sent, without what differs from run to run.
fn shown(seen: &[Seen]) -> String {
    let mut shown = String::new();
    for Seen { head, body } in seen {
        let mut lines = head.lines();
        writeln!(shown, "{}", lines.next().unwrap()).unwrap();
        let mut headers: Vec<String> = lines
            .map(|line| line.replace(KEY, "[key]"))
            .filter(|line| !["host:", "user-agent:", "accept:"].iter().any(|name| line.starts_with(name)))
            .collect();
        headers.sort();
        writeln!(shown, "{}\n\n{}", headers.join("\n"), body.replace('\r', "␍")).unwrap();
        writeln!(shown, "----").unwrap();
    }
    shown
}

fn results(bodies: &[String]) -> Vec<server::Step> {
    whole(200, "content-type: application/x-jsonl\r\nx-chavion-emulated: 1\r\n", &(bodies.join("\n") + "\n"))
}

#[tokio::test]
async fn anthropic() {
    let batch = |state: &str, counts: serde_json::Value, ended: serde_json::Value| {
        json!({"id": "msgbatch_01", "type": "message_batch", "processing_status": state, "request_counts": counts,
            "created_at": "2026-11-20T00:00:00.123456Z", "expires_at": "2026-11-21T00:00:00.123456Z", "ended_at": ended,
            "cancel_initiated_at": null, "archived_at": null, "results_url": "http://127.0.0.1:9/steal"})
    };
    let waiting = json!({"processing": 2, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0});
    let over = json!({"processing": 0, "succeeded": 1, "errored": 1, "canceled": 0, "expired": 0});
    let line = |at: u32, result: serde_json::Value| {
        json!({"custom_id": format!("{TOKEN}-{at:06}"), "result": result}).to_string()
    };
    let server = Server::start(vec![
        ok(&batch("in_progress", waiting, json!(null))),
        ok(&batch("ended", over.clone(), json!("2026-11-20T01:00:00Z"))),
        results(&[
            line(1, json!({"type": "errored", "error": {"type": "error", "error": {"type": "invalid_request_error", "message": "max_tokens: too large"}, "request_id": "r"}})),
            line(0, json!({"type": "succeeded", "message": server::message("안녕하세요")})),
        ]),
        ok(&batch("canceling", over, json!(null))),
        ok(&json!({"id": "msgbatch_01", "type": "message_batch_deleted"})),
    ])
    .await;
    let batches = server.providers().batches("anthropic").unwrap();
    let (spec, asks) = two(&batches, "anthropic/claude-opus-5-5");
    assert_eq!(batches.upload(&spec, none()).await.unwrap(), None);
    let created = batches.create(&spec, None, lines(&asks)).await.unwrap();
    let ended = batches.status(&created.id).await.unwrap();
    let (read, error) = read(&batches, &ended).await;
    assert_eq!(error, None);
    batches.cancel(&created.id).await.unwrap();
    batches.clean(&ended, None).await.unwrap();
    insta::assert_snapshot!("anthropic_requests", shown(&server.seen()));
    insta::assert_debug_snapshot!("anthropic_answers", (created, ended, read));
}

#[tokio::test]
async fn openai_over_chat_completions() {
    openai("chat", &Server::providers, "/v1/chat/completions", json!({
        "object": "chat.completion", "model": "gpt-6.1-sol-2026-10-07",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "{\"부서\":\"영업\"}"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1000, "prompt_tokens_details": {"cached_tokens": 400}, "completion_tokens": 100}}))
    .await;
}

#[tokio::test]
async fn openai_over_responses() {
    openai(
        "responses",
        &Server::responses,
        "/v1/responses",
        json!({
        "object": "response", "status": "completed", "model": "gpt-6.1-sol-2026-10-07", "error": null,
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "{\"부서\":\"영업\"}"}]}],
        "usage": {"input_tokens": 1000, "input_tokens_details": {"cached_tokens": 400}, "output_tokens": 100}}),
    )
    .await;
}

async fn openai(name: &str, providers: &dyn Fn(&Server) -> Providers, endpoint: &str, answer: serde_json::Value) {
    let batch = |status: &str, counts: serde_json::Value| {
        json!({"id": "batch_1", "object": "batch", "endpoint": endpoint, "input_file_id": "file-in", "completion_window": "24h",
            "status": status, "created_at": 1_795_132_800, "expires_at": 1_795_219_200, "errors": null, "request_counts": counts,
            "output_file_id": "file-out", "error_file_id": "file-err", "completed_at": 1_795_136_400, "model": "gpt-6.1-sol-2026-10-07"})
    };
    let good = json!({"id": "batch_req_1", "custom_id": format!("{TOKEN}-000001"),
        "response": {"status_code": 200, "request_id": "req_1", "body": answer}, "error": null});
    let bad = json!({"id": "batch_req_2", "custom_id": format!("{TOKEN}-000000"), "response": {"status_code": 429, "request_id": "req_2",
        "body": {"error": {"message": "slow down", "type": "requests", "param": null, "code": "rate_limit_exceeded"}}}, "error": null});
    let server = Server::start(vec![
        ok(&json!({"id": "file-in", "object": "file", "status": "processed"})),
        ok(&json!({"id": "batch_1", "object": "batch", "status": "validating", "created_at": 1_795_132_800, "output_file_id": "",
            "request_counts": {"total": 0, "completed": 0, "failed": 0}})),
        ok(&batch("completed", json!({"total": 2, "completed": 1, "failed": 1}))),
        results(&[good.to_string()]),
        results(&[bad.to_string()]),
        ok(&batch("cancelling", json!({"total": 2, "completed": 1, "failed": 1}))),
        ok(&json!({"deleted": true})),
        ok(&json!({"deleted": true})),
        whole(404, "", "{}"),
    ])
    .await;
    let batches = providers(&server).batches("openai").unwrap();
    let (spec, asks) = two(&batches, "openai/gpt-6.1-sol");
    let file = batches.upload(&spec, lines(&asks)).await.unwrap().unwrap();
    let created = batches.create(&spec, Some(&file), none()).await.unwrap();
    let ended = batches.status(&created.id).await.unwrap();
    let (read, error) = read(&batches, &ended).await;
    assert_eq!(error, None);
    batches.cancel(&created.id).await.unwrap();
    batches.clean(&ended, Some(&file)).await.unwrap();
    insta::assert_snapshot!(format!("openai_{name}_requests"), shown(&server.seen()));
    insta::assert_debug_snapshot!(format!("openai_{name}_answers"), (created, ended, &read));
    // 600 × 2,000 + 400 × 100 + 100 × 10,000 = 2,240,000, and half of it in the batch.
    let Some(BatchOutcome::Succeeded(answer)) = by_id(read).remove("000001") else { panic!("no answer") };
    assert_eq!((answer.nanos.0, answer.list_nanos.0), (1_120_000, 2_240_000));
    assert_eq!(answer.data, Some(json!({"부서": "영업"})));
}

#[tokio::test]
async fn gemini() {
    let operation = |state: &str, rest: serde_json::Value| {
        let mut operation = json!({"name": "batches/b1", "metadata": {"@type": "type.googleapis.com/google.ai.generativelanguage.v1beta.GenerateContentBatch",
            "model": "models/gemini-3.8-flash", "name": "batches/b1", "displayName": TOKEN, "state": state,
            "createTime": "2026-11-20T00:00:00.123456789Z", "updateTime": "2026-11-20T01:00:00Z",
            "batchStats": {"requestCount": "2", "successfulRequestCount": "1"}, "inputConfig": {"fileName": "files/in1"}}});
        operation.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        operation
    };
    let ended =
        operation("BATCH_STATE_SUCCEEDED", json!({"done": true, "response": {"responsesFile": "files/batch-b1"}}));
    let good = json!({"key": format!("{TOKEN}-000000"), "response": {"candidates": [{"content": {"parts": [{"text": "안녕하세요"}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 1000, "candidatesTokenCount": 60, "thoughtsTokenCount": 40}, "modelVersion": "gemini-3.8-flash-001"}});
    let bad = json!({"key": format!("{TOKEN}-000001"), "error": {"code": 8, "message": "Resource has been exhausted"}});
    let server = Server::start(vec![
        whole(200, "x-goog-upload-status: active\r\nx-goog-upload-url: https://elsewhere.example/upload/v1beta/files?upload_id=u1&x=%2F\r\n", ""),
        whole(200, "x-goog-upload-status: final\r\n", &json!({"file": {"name": "files/in1", "sizeBytes": "5", "state": "ACTIVE"}}).to_string()),
        ok(&operation("BATCH_STATE_PENDING", json!({}))),
        ok(&ended),
        results(&[good.to_string(), bad.to_string()]),
        ok(&json!({})),
        ok(&json!({})),
        whole(403, "", r#"{"error":{"code":403,"message":"You do not have permission to access the File or it may not exist.","status":"PERMISSION_DENIED"}}"#),
        ok(&json!({})),
    ])
    .await;
    let batches = server.providers().batches("gemini").unwrap();
    let (spec, asks) = two(&batches, "gemini/gemini-3.8-flash");
    let file = batches.upload(&spec, lines(&asks)).await.unwrap().unwrap();
    let created = batches.create(&spec, Some(&file), none()).await.unwrap();
    let ended = batches.status(&created.id).await.unwrap();
    let (read, error) = read(&batches, &ended).await;
    assert_eq!(error, None);
    batches.cancel(&created.id).await.unwrap();
    batches.clean(&ended, Some(&file)).await.unwrap();
    insta::assert_snapshot!("gemini_requests", shown(&server.seen()));
    insta::assert_debug_snapshot!("gemini_answers", (created, ended, &read));
    // 1,000 × 750 + 100 × 3,750 = 1,125,000, and half of it in the batch.
    let Some(BatchOutcome::Succeeded(answer)) = by_id(read).remove("000000") else { panic!("no answer") };
    assert_eq!((answer.nanos.0, answer.list_nanos.0), (562_500, 1_125_000));
}

#[tokio::test]
async fn a_body_is_for_its_own_provider_and_has_no_flex() {
    let server = Server::start(vec![]).await;
    let providers = server.providers();
    let batches = providers.batches("gemini").unwrap();
    let mut request = server::request("gemini/gemini-3.8-flash");
    request.flex = true;
    let body = batches.body(&request).unwrap();
    assert_eq!(batches.body(&request).unwrap(), body);
    assert!(!body.contains("flex") && !body.contains('\n') && !body.contains(&request.request_id));
    for model in ["openai/gpt-6.1-sol", "gemini", "gemini/", "gemini/a b"] {
        let error = batches.body(&server::request(model)).unwrap_err();
        assert_eq!(error.class, Class::Fail, "{model}");
    }
    request.messages.clear();
    assert_eq!(batches.body(&request).unwrap_err().class, Class::Fail);
    // What is wrong before anything is sent is told without sending.
    let (spec, asks) = two(&batches, "gemini/gemini-3.8-flash");
    let wrong = [
        providers::BatchSpec { token: "a\r\nb".to_owned(), ..spec.clone() },
        providers::BatchSpec { items: 0, ..spec.clone() },
        providers::BatchSpec { items: 10_001, ..spec.clone() },
        providers::BatchSpec { bytes: 1 << 30, ..spec.clone() },
    ];
    for spec in wrong {
        assert_eq!(batches.upload(&spec, lines(&asks)).await.unwrap_err().class, Class::Fail);
        let error = batches.create(&spec, Some("files/1"), none()).await.unwrap_err();
        assert!(!error.ambiguous && error.error.class == Class::Fail, "{error}");
    }
    for (spec, file) in [(spec.clone(), None), (providers::BatchSpec { model: None, ..spec }, Some("files/1"))] {
        let error = batches.create(&spec, file, none()).await.unwrap_err();
        assert!(!error.ambiguous && error.error.class == Class::Fail, "{error}");
    }
    assert!(server.seen().is_empty());
}
