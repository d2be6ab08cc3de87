//! The batch endpoints of all three providers over real sockets: from create to clean-up, and what the ledger says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use emulator::{Emulator, MARK, Options, Running};
use serde_json::{Value, json};

use crate::client::{Api, ORDER, Reply, send};

pub(crate) const SHORT: Duration = Duration::from_millis(50);
/// The longest that a test waits for a condition.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn started(batch_time: Duration) -> Running {
    Emulator::start(Options { batch_time, seed: 5, ..Options::default() }).await.unwrap()
}

pub(crate) async fn call(addr: SocketAddr, api: Api, method: &str, path: &str, body: &str) -> Reply {
    send(addr, method, path, &api.headers(), body).await.unwrap()
}

pub(crate) async fn get(addr: SocketAddr, api: Api, path: &str) -> Value {
    let reply = call(addr, api, "GET", path, "").await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    assert_eq!(reply.header("x-chavion-emulated"), "1");
    reply.json()
}

/// Asks for a path until it says what is wanted.
pub(crate) async fn until(addr: SocketAddr, api: Api, path: &str, is: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        let reply = call(addr, api, "GET", path, "").await;
        if reply.status == 200 && is(&reply.json()) {
            return reply.json();
        }
        assert!(start.elapsed() < PATIENCE, "{path}: {}", reply.text());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The prompts of a batch: Korean, each of its own.
pub(crate) fn prompts(count: usize) -> Vec<(String, String)> {
    (0..count).map(|at| (format!("item-{at:03}"), format!("{ORDER} {at}번"))).collect()
}

pub(crate) fn anthropic_body(prompts: &[(String, String)]) -> String {
    let item =
        |(id, text): &(String, String)| json!({"custom_id": id, "params": Api::Messages.body(text, false, None)});
    let mut requests: Vec<Value> = prompts.iter().map(item).collect();
    for request in &mut requests {
        request["params"].as_object_mut().unwrap().remove("stream");
    }
    json!({"requests": requests}).to_string()
}

pub(crate) fn openai_lines(api: Api, prompts: &[(String, String)]) -> String {
    let line = |(id, text): &(String, String)| {
        let mut body = api.body(text, false, None);
        body.as_object_mut().unwrap().remove("stream_options");
        json!({"custom_id": id, "method": "POST", "url": api.path(false), "body": body}).to_string() + "\n"
    };
    prompts.iter().map(line).collect()
}

pub(crate) fn gemini_lines(prompts: &[(String, String)]) -> String {
    let line = |(id, text): &(String, String)| {
        json!({"key": id, "request": Api::Generate.body(text, false, None)}).to_string() + "\n"
    };
    prompts.iter().map(line).collect()
}

/// Uploads a file as OpenAI's clients do and returns the answer.
pub(crate) async fn upload(addr: SocketAddr, filename: &str, lines: &str) -> Reply {
    let body = format!(
        "--frontier\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--frontier\r\n\
         Content-Disposition: form-data; name=\"file\"; filename=\"{filename}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n{lines}\r\n--frontier--\r\n"
    );
    let headers = [("authorization", "Bearer k"), ("content-type", "multipart/form-data; boundary=frontier")];
    send(addr, "POST", "/v1/files", &headers, &body).await.unwrap()
}

/// Makes an OpenAI batch of lines and returns it as it was created.
pub(crate) async fn openai_batch(addr: SocketAddr, api: Api, lines: &str) -> Value {
    let file = upload(addr, "겨울.jsonl", lines).await;
    assert_eq!(file.status, 200, "{}", file.text());
    let body = json!({"input_file_id": file.json()["id"], "endpoint": api.path(false), "completion_window": "24h",
        "metadata": {"token": "겨울-001"}});
    let reply = call(addr, api, "POST", "/v1/batches", &body.to_string()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// Makes an Anthropic batch and returns it as it was created.
pub(crate) async fn anthropic_batch(addr: SocketAddr, prompts: &[(String, String)]) -> Value {
    let reply = call(addr, Api::Messages, "POST", "/v1/messages/batches", &anthropic_body(prompts)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

pub(crate) const GEMINI_CREATE: &str = "/v1beta/models/gemini-3.8-flash:batchGenerateContent";

/// Uploads a file to Gemini in pieces and returns its name.
pub(crate) async fn gemini_file(addr: SocketAddr, lines: &str, piece: usize) -> String {
    let start = [
        ("x-goog-api-key", "k"),
        ("x-goog-upload-protocol", "resumable"),
        ("x-goog-upload-command", "start"),
        ("x-goog-upload-header-content-type", "application/jsonl"),
    ];
    let body = r#"{"file":{"display_name":"겨울"}}"#;
    let begun = send(addr, "POST", "/upload/v1beta/files", &start, body).await.unwrap();
    assert_eq!((begun.status, begun.header("x-goog-upload-status")), (200, "active"));
    let url = begun.header("x-goog-upload-url").to_owned();
    let path = url.strip_prefix(&format!("http://{addr}")).unwrap().to_owned();
    let mut at = 0;
    loop {
        let mut end = (at + piece).min(lines.len());
        while !lines.is_char_boundary(end) {
            end += 1;
        }
        let last = end == lines.len();
        let offset = at.to_string();
        let command = if last { "upload, finalize" } else { "upload" };
        let headers = [("x-goog-upload-command", command), ("x-goog-upload-offset", offset.as_str())];
        // Each piece comes twice, as after an answer that was lost.
        let mut name = String::new();
        for _ in 0..2 {
            let reply = send(addr, "POST", &path, &headers, &lines[at..end]).await.unwrap();
            assert_eq!(reply.header("x-goog-upload-status"), if last { "final" } else { "active" });
            if last {
                let file = &reply.json()["file"];
                assert_eq!(file["sizeBytes"], lines.len().to_string());
                assert_eq!((&file["state"], &file["displayName"]), (&json!("ACTIVE"), &json!("겨울")));
                name = file["name"].as_str().unwrap().to_owned();
            }
        }
        if last {
            return name;
        }
        at = end;
    }
}

/// The lines of a result body, parsed.
pub(crate) fn lines(reply: &Reply) -> Vec<Value> {
    reply.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids<'a>(lines: &'a [Value], name: &str) -> Vec<&'a str> {
    lines.iter().map(|line| line[name].as_str().unwrap()).collect()
}

fn assert_complete(found: &[&str], prompts: &[(String, String)]) {
    let sorted: BTreeSet<&str> = found.iter().copied().collect();
    assert_eq!(sorted.len(), found.len());
    assert_eq!(sorted, prompts.iter().map(|(id, _)| id.as_str()).collect());
    let sent: Vec<&str> = prompts.iter().map(|(id, _)| id.as_str()).collect();
    assert_ne!(found, sent, "results come in an order of their own");
}

#[tokio::test]
async fn anthropic_from_create_to_delete() {
    let emulator = started(SHORT).await;
    let (addr, api) = (emulator.addr, Api::Messages);
    let prompts = prompts(40);
    let created = anthropic_batch(addr, &prompts).await;
    assert_eq!((&created["processing_status"], &created["type"]), (&json!("in_progress"), &json!("message_batch")));
    assert_eq!(created["request_counts"]["processing"], 40);
    for name in ["ended_at", "cancel_initiated_at", "archived_at", "results_url"] {
        assert_eq!(created.get(name), Some(&Value::Null), "{name}");
    }
    let id = created["id"].as_str().unwrap();
    assert!(id.starts_with("msgbatch_"));
    let path = format!("/v1/messages/batches/{id}");
    let ended = until(addr, api, &path, |batch| batch["processing_status"] == "ended").await;
    let counts = json!({"processing": 0, "succeeded": 40, "errored": 0, "canceled": 0, "expired": 0});
    assert_eq!(ended["request_counts"], counts);
    let url = ended["results_url"].as_str().unwrap();
    assert_eq!(url, format!("http://{addr}{path}/results"));
    let reply = call(addr, api, "GET", &format!("{path}/results"), "").await;
    assert!(reply.whole && reply.header("content-type").starts_with("application/x-jsonl"));
    let found = lines(&reply);
    assert_complete(&ids(&found, "custom_id"), &prompts);
    let texts: BTreeMap<&str, &str> = prompts.iter().map(|(id, text)| (id.as_str(), text.as_str())).collect();
    for line in &found {
        let message = &line["result"]["message"];
        assert_eq!(line["result"]["type"], "succeeded");
        assert_eq!(message["usage"]["service_tier"], "batch");
        let text = message["content"][0]["text"].as_str().unwrap();
        assert!(text.starts_with(MARK) && text.contains(texts[line["custom_id"].as_str().unwrap()]), "{text}");
    }
    // The same ask gets the same answer at once.
    let (first, text) = &prompts[7];
    let line = found.iter().find(|line| line["custom_id"] == first.as_str()).unwrap();
    let asked = call(addr, api, "POST", "/v1/messages", &api.body(text, false, None).to_string()).await.json();
    assert_eq!(asked["content"], line["result"]["message"]["content"]);
    assert_eq!(asked["usage"]["output_tokens"], line["result"]["message"]["usage"]["output_tokens"]);
    assert_eq!(lines(&call(addr, api, "GET", &format!("{path}/results"), "").await), found);
    let deleted = call(addr, api, "DELETE", &path, "").await.json();
    assert_eq!(deleted, json!({"id": id, "type": "message_batch_deleted"}));
    assert_eq!(call(addr, api, "GET", &path, "").await.status, 404);
    let ledger = emulator.ledger();
    let billed: Vec<_> = ledger.requests.iter().filter(|entry| entry.pace == "batch").collect();
    assert_eq!(billed.len(), 40, "each once, however often it was fetched");
    for entry in billed {
        assert_eq!((entry.provider, entry.batch_id.as_deref()), ("anthropic", Some(id)));
        let line = found.iter().find(|line| line["custom_id"] == entry.custom_id.as_deref().unwrap()).unwrap();
        let usage = &line["result"]["message"]["usage"];
        assert_eq!((&usage["input_tokens"], &usage["output_tokens"]), (&json!(entry.input), &json!(entry.output)));
    }
    emulator.stop().await;
}

#[tokio::test]
async fn openai_from_upload_to_delete_on_both_endpoints() {
    let emulator = started(SHORT).await;
    let addr = emulator.addr;
    for api in [Api::Chat, Api::Responses] {
        let prompts = prompts(30);
        let created = openai_batch(addr, api, &openai_lines(api, &prompts)).await;
        assert_eq!((&created["status"], &created["metadata"]["token"]), (&json!("validating"), &json!("겨울-001")));
        for name in ["errors", "output_file_id", "error_file_id", "in_progress_at", "completed_at", "usage"] {
            assert_eq!(created.get(name), Some(&Value::Null), "{name}");
        }
        let path = format!("/v1/batches/{}", created["id"].as_str().unwrap());
        let ended = until(addr, api, &path, |batch| batch["status"] == "completed").await;
        assert_eq!(ended["request_counts"], json!({"total": 30, "completed": 30, "failed": 0}));
        assert_eq!((&ended["error_file_id"], &ended["errors"]), (&Value::Null, &Value::Null));
        let file = format!("/v1/files/{}", ended["output_file_id"].as_str().unwrap());
        let reply = call(addr, api, "GET", &format!("{file}/content"), "").await;
        let found = lines(&reply);
        assert_complete(&ids(&found, "custom_id"), &prompts);
        for line in &found {
            assert_eq!((&line["error"], &line["response"]["status_code"]), (&Value::Null, &json!(200)));
            let (_, text) = prompts.iter().find(|(id, _)| *id == line["custom_id"]).unwrap();
            assert!(line["response"]["body"].to_string().contains(text), "{line}");
        }
        let about = get(addr, api, &file).await;
        assert_eq!((&about["bytes"], &about["purpose"]), (&json!(reply.body.len()), &json!("batch_output")));
        let after = get(addr, api, &path).await;
        let output: u64 = emulator
            .ledger()
            .requests
            .iter()
            .filter(|entry| entry.batch_id.as_deref() == created["id"].as_str())
            .map(|entry| entry.output)
            .sum();
        assert_eq!(after["usage"]["output_tokens"], output);
        let files = get(addr, api, "/v1/files?order=asc").await;
        assert_eq!(files["data"].as_array().unwrap().len(), 2);
        let input = format!("/v1/files/{}", created["input_file_id"].as_str().unwrap());
        let sent = call(addr, api, "GET", &format!("{input}/content"), "").await;
        assert_eq!(sent.text(), openai_lines(api, &prompts));
        for file in [&file, &input] {
            assert_eq!(call(addr, api, "DELETE", file, "").await.json()["deleted"], true);
            assert_eq!(call(addr, api, "GET", file, "").await.status, 404);
        }
        assert_eq!(get(addr, api, "/v1/files").await["data"], json!([]));
    }
    assert_eq!(emulator.ledger().requests.len(), 60);
    emulator.stop().await;
}

#[tokio::test]
async fn gemini_by_file_and_inline_in_both_versions_and_cases() {
    let emulator = started(SHORT).await;
    let (addr, api) = (emulator.addr, Api::Generate);
    let prompts = prompts(30);
    let name = gemini_file(addr, &gemini_lines(&prompts), 1_000).await;
    let wish = json!({"batch": {"display_name": "겨울-001", "input_config": {"file_name": name}}});
    let created = call(addr, api, "POST", GEMINI_CREATE, &wish.to_string()).await.json();
    assert_eq!(created["metadata"]["state"], "BATCH_STATE_PENDING");
    assert_eq!(created["metadata"]["displayName"], "겨울-001");
    let id = created["name"].as_str().unwrap();
    let path = format!("/v1beta/{id}");
    let over = |operation: &Value| operation["metadata"]["state"] == "BATCH_STATE_SUCCEEDED";
    let ended = until(addr, api, &path, over).await;
    let stats = json!({"requestCount": "30", "successfulRequestCount": "30"});
    assert_eq!((&ended["done"], &ended["metadata"]["batchStats"]), (&json!(true), &stats));
    let file = ended["response"]["responsesFile"].as_str().unwrap();
    assert_eq!(ended["metadata"]["output"]["responsesFile"], file);
    for prefix in ["/v1", "/v1beta", "/download/v1beta"] {
        let reply = call(addr, api, "GET", &format!("{prefix}/{file}:download?alt=media"), "").await;
        let found = lines(&reply);
        assert_complete(&ids(&found, "key"), &prompts);
        assert!(found[0]["response"]["candidates"][0]["content"]["parts"][0]["text"].is_string());
    }
    let (first, text) = &prompts[3];
    let request = api.body(text, false, None);
    let wish = json!({"batch": {"displayName": "하나", "inputConfig": {"requests": {"requests": [
        {"request": request, "metadata": {"key": first, "own": 1}}]}}}});
    let create = GEMINI_CREATE.replace("v1beta", "v1");
    let created = call(addr, api, "POST", &create, &wish.to_string()).await.json();
    let path = format!("/v1/{}", created["name"].as_str().unwrap());
    let ended = until(addr, api, &path, over).await;
    let list = &ended["response"]["inlinedResponses"]["inlinedResponses"];
    assert_eq!(list, &ended["metadata"]["output"]["inlinedResponses"]["inlinedResponses"]);
    assert_eq!(list[0]["metadata"], json!({"key": first, "own": 1}));
    let asked = call(addr, api, "POST", api.path(false), &request.to_string()).await.json();
    assert_eq!(asked["candidates"], list[0]["response"]["candidates"]);
    let listed = get(addr, api, "/v1beta/batches?pageSize=1").await;
    assert_eq!(listed["operations"][0]["name"], created["name"]);
    let token = listed["nextPageToken"].as_str().unwrap();
    let rest = get(addr, api, &format!("/v1/batches?pageSize=1&pageToken={token}")).await;
    assert_eq!((&rest["operations"][0]["name"], rest.get("nextPageToken")), (&json!(id), None));
    assert_eq!(get(addr, api, "/v1beta/files").await["files"].as_array().unwrap().len(), 2);
    for name in [file, &name, id] {
        assert_eq!(call(addr, api, "DELETE", &format!("/v1beta/{name}"), "").await.json(), json!({}));
        assert_eq!(call(addr, api, "GET", &format!("/v1beta/{name}"), "").await.status, 404);
    }
    let ledger = emulator.ledger();
    assert_eq!(ledger.requests.iter().filter(|entry| entry.pace == "batch").count(), 31);
    assert_eq!(ledger.requests.iter().filter(|entry| entry.batch_id.as_deref() == Some(id)).count(), 30);
    emulator.stop().await;
}
