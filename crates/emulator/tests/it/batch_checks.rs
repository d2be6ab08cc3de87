//! What the batch endpoints refuse, at once or afterwards, as the real ones do; large batches; the ledger's pages.

use std::time::Duration;

use emulator::{Emulator, Options};
use serde_json::{Value, json};

use crate::batches::{
    GEMINI_CREATE, SHORT, anthropic_batch, anthropic_body, call, gemini_file, get, lines, openai_batch, openai_lines,
    prompts, started, until, upload,
};
use crate::client::{Api, ORDER, send};

#[tokio::test]
async fn anthropic_refuses_lists_at_once_and_params_afterwards() {
    let emulator = started(SHORT).await;
    let addr = emulator.addr;
    let create = async |body: &str| call(addr, Api::Messages, "POST", "/v1/messages/batches", body).await;
    let item = |id: &str| json!({"custom_id": id, "params": {}});
    let cases = [
        (String::new(), "JSON"),
        ("{\"requests\":[{,}]}".to_owned(), "requests.0"),
        ("{\"requests\":[{]}".to_owned(), "JSON"),
        (json!({}).to_string(), "requests: Field required"),
        (json!({"requests": []}).to_string(), "at least 1"),
        (json!({"requests": [{"custom_id": "a"}]}).to_string(), "requests.0.params"),
        (json!({"requests": [item("a"), item("a")]}).to_string(), "requests.1.custom_id"),
        (json!({"requests": [item("겨울")]}).to_string(), "should match pattern"),
        (json!({"requests": [item("")]}).to_string(), "should match pattern"),
        (json!({"requests": [item(&"a".repeat(65))]}).to_string(), "should match pattern"),
    ];
    for (body, words) in cases {
        let reply = create(&body).await;
        assert_eq!((reply.status, &reply.json()["error"]["type"]), (400, &json!("invalid_request_error")), "{body}");
        assert!(reply.text().contains(words), "{body}: {}", reply.text());
    }
    let mut body: Value = serde_json::from_str(&anthropic_body(&prompts(6))).unwrap();
    let changes = [
        ("stream", json!(true)),
        ("max_tokens", json!(0)),
        ("speed", json!("fast")),
        ("messages", json!([])),
        ("temperature", json!(0.5)),
    ];
    for (place, (name, value)) in changes.into_iter().enumerate() {
        body["requests"][place]["params"][name] = value;
    }
    let headers = [("authorization", "Bearer k"), ("anthropic-version", "2026-10-21")];
    let created = send(addr, "POST", "/v1/messages/batches", &headers, &body.to_string()).await.unwrap().json();
    let path = format!("/v1/messages/batches/{}", created["id"].as_str().unwrap());
    let batch = until(addr, Api::Messages, &path, |batch| batch["processing_status"] == "ended").await;
    assert_eq!((&batch["request_counts"]["errored"], &batch["request_counts"]["succeeded"]), (&json!(5), &json!(1)));
    let reply = call(addr, Api::Messages, "GET", &format!("{path}/results"), "").await;
    for line in lines(&reply).iter().filter(|line| line["custom_id"] != "item-005") {
        assert_eq!(line["result"]["error"]["error"]["type"], "invalid_request_error", "{line}");
    }
    emulator.set_batch_time(Duration::from_secs(60));
    let created = anthropic_batch(addr, &prompts(1)).await;
    let path = format!("/v1/messages/batches/{}", created["id"].as_str().unwrap());
    assert_eq!(call(addr, Api::Messages, "GET", &format!("{path}/results"), "").await.status, 404);
    assert_eq!(call(addr, Api::Messages, "DELETE", &path, "").await.status, 400);
    assert_eq!(call(addr, Api::Messages, "GET", "/v1/messages/batches/msgbatch_x", "").await.status, 404);
    assert_eq!(send(addr, "GET", &path, &[("x-api-key", "k")], "").await.unwrap().status, 400, "no version");
    assert_eq!(get(addr, Api::Messages, "/v1/messages/batches?limit=1").await["has_more"], true);
    assert_eq!(call(addr, Api::Messages, "GET", "/v1/messages/batches?limit=1001", "").await.status, 400);
    emulator.stop().await;
}

#[tokio::test]
async fn openai_refuses_files_and_wishes_at_once_and_lines_afterwards() {
    let emulator = started(SHORT).await;
    let addr = emulator.addr;
    let good = openai_lines(Api::Chat, &prompts(1));
    let reply = upload(addr, "겨울.json", &good).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("Must be .jsonl"));
    let file = upload(addr, "겨울.jsonl", &good).await.json();
    let wish = |name: &str, value: Value| {
        let mut wish =
            json!({"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"});
        wish[name] = value;
        wish.to_string()
    };
    let cases = [
        (wish("input_file_id", json!("file-none")), 404, "input_file_id"),
        (wish("input_file_id", Value::Null), 400, "input_file_id"),
        (wish("endpoint", json!("/v1/embeddings")), 400, "endpoint"),
        (wish("endpoint", json!("/v1/wonders")), 400, "endpoint"),
        (wish("completion_window", json!("12h")), 400, "completion_window"),
        (wish("metadata", json!({"a": "b".repeat(513)})), 400, "metadata"),
        (wish("metadata", json!({"a": 1})), 400, "metadata"),
    ];
    for (body, status, param) in cases {
        let reply = call(addr, Api::Chat, "POST", "/v1/batches", &body).await;
        assert_eq!((reply.status, &reply.json()["error"]["param"]), (status, &json!(param)), "{body}");
    }
    let line = |id: &str, change: &dyn Fn(&mut Value)| {
        let mut line: Value = serde_json::from_str(&good).unwrap();
        line["custom_id"] = json!(id);
        change(&mut line);
        line.to_string() + "\n"
    };
    let bad = [
        line("a", &|_| {}),
        "{겨울\n".to_owned(),
        line("a", &|_| {}),
        line("", &|_| {}),
        line("b", &|line| line["url"] = json!("/v1/responses")),
        line("c", &|line| line["body"]["model"] = json!("gpt-6-luna")),
        line("d", &|line| line["body"]["stream"] = json!(true)),
        line("e", &|line| line["body"] = Value::Null),
        line("f", &|line| line["method"] = json!("GET")),
    ]
    .concat();
    let created = openai_batch(addr, Api::Chat, &bad).await;
    assert_eq!(created["status"], "validating");
    let path = format!("/v1/batches/{}", created["id"].as_str().unwrap());
    let batch = until(addr, Api::Chat, &path, |batch| batch["status"] == "failed").await;
    let seen: Vec<String> = batch["errors"]["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| format!("{} {} {}", error["line"], error["code"].as_str().unwrap(), error["param"]))
        .collect();
    insta::assert_snapshot!("batch_lines", seen.join("\n"));
    let created = openai_batch(addr, Api::Chat, "").await;
    let path = format!("/v1/batches/{}", created["id"].as_str().unwrap());
    let batch = until(addr, Api::Chat, &path, |batch| batch["status"] == "failed").await;
    assert_eq!(batch["errors"]["data"][0]["code"], "empty_file");
    assert_eq!(call(addr, Api::Chat, "POST", &format!("{path}/cancel"), "").await.status, 409);
    // A body that a chat endpoint refuses fails its own item alone.
    let mixed = line("g", &|line| line["body"]["messages"] = json!([])) + &line("h", &|_| {});
    let created = openai_batch(addr, Api::Chat, &mixed).await;
    let path = format!("/v1/batches/{}", created["id"].as_str().unwrap());
    let batch = until(addr, Api::Chat, &path, |batch| batch["status"] == "completed").await;
    assert_eq!(batch["request_counts"], json!({"total": 2, "completed": 1, "failed": 1}));
    let errors = format!("/v1/files/{}/content", batch["error_file_id"].as_str().unwrap());
    assert_eq!(lines(&call(addr, Api::Chat, "GET", &errors, "").await)[0]["response"]["status_code"], 400);
    emulator.stop().await;
}

#[tokio::test]
async fn openai_fails_a_batch_of_too_many_lines() {
    let emulator = started(SHORT).await;
    let addr = emulator.addr;
    let body = r#"{"model":"gpt-6.1-terra-brief","messages":[{"role":"user","content":"예약"}]}"#;
    let line = |at: u32| {
        format!(r#"{{"custom_id":"i{at}","method":"POST","url":"/v1/chat/completions","body":{body}}}"#) + "\n"
    };
    let lines: String = (0..50_001).map(line).collect();
    let created = openai_batch(addr, Api::Chat, &lines).await;
    let path = format!("/v1/batches/{}", created["id"].as_str().unwrap());
    let batch = until(addr, Api::Chat, &path, |batch| batch["status"] == "failed").await;
    assert_eq!(batch["errors"]["data"][0]["code"], "too_many_tasks");
    assert_eq!(emulator.ledger().requests.len(), 0);
    emulator.stop().await;
}

#[tokio::test]
async fn gemini_refuses_what_has_no_requests_and_fails_on_bad_lines() {
    let emulator = started(SHORT).await;
    let (addr, api) = (emulator.addr, Api::Generate);
    let inline = |request: Value| json!({"batch": {"inputConfig": {"requests": {"requests": [request]}}}}).to_string();
    let cases = [
        ("{}".to_owned(), 400),
        (json!({"batch": {}}).to_string(), 400),
        (json!({"batch": {"inputConfig": {"requests": {"requests": []}}}}).to_string(), 400),
        (json!({"batch": {"inputConfig": {"fileName": "files/none"}}}).to_string(), 404),
        (inline(json!({"metadata": {"key": "a"}})), 400),
        (inline(json!({"request": {"contents": "글"}})), 400),
        (inline(json!({"request": {"contents": [{"role": "wizard", "parts": [{"text": "가"}]}]}})), 200),
    ];
    for (body, status) in cases {
        assert_eq!(call(addr, api, "POST", GEMINI_CREATE, &body).await.status, status, "{body}");
    }
    let missing = GEMINI_CREATE.replace("gemini-3.8-flash", "missing-model");
    let body = inline(json!({"request": api.body(ORDER, false, None)}));
    assert_eq!(call(addr, api, "POST", &missing, &body).await.status, 404);
    let large = inline(json!({"request": api.body(&"가".repeat(7 * 1024 * 1024), false, None)}));
    assert_eq!(call(addr, api, "POST", GEMINI_CREATE, &large).await.status, 400);
    assert_eq!(call(addr, api, "POST", "/v1beta/batches/none:cancel", "").await.status, 404);
    assert_eq!(send(addr, "GET", "/v1beta/batches", &[], "").await.unwrap().status, 401);
    let name = gemini_file(addr, "{\"key\":\"a\"}\n", 100).await;
    let wish = json!({"batch": {"inputConfig": {"fileName": name}}}).to_string();
    let created = call(addr, api, "POST", GEMINI_CREATE, &wish).await.json();
    let path = format!("/v1beta/{}", created["name"].as_str().unwrap());
    let operation = until(addr, api, &path, |operation| operation["done"] == true).await;
    assert_eq!(operation["metadata"]["state"], "BATCH_STATE_FAILED");
    assert!(operation["error"]["message"].as_str().unwrap().contains("Line 1"));
    emulator.stop().await;
}

#[tokio::test]
async fn a_large_batch_goes_through_and_the_ledger_tells_of_it_in_pages() {
    let options = Options { batch_time: Duration::ZERO, brief: true, ..Options::default() };
    let emulator = Emulator::start(options).await.unwrap();
    let addr = emulator.addr;
    let count = 4_000;
    let many: Vec<(String, String)> = (0..count)
        .map(|at| {
            (format!("0123456789abcdef0123456789abcdef-001-{at:06}"), format!("{ORDER} {at}{}", "가".repeat(200)))
        })
        .collect();
    let created = anthropic_batch(addr, &many).await;
    assert_eq!(created["processing_status"], "ended", "without time it is over at once");
    let path = format!("/v1/messages/batches/{}/results", created["id"].as_str().unwrap());
    let reply = call(addr, Api::Messages, "GET", &path, "").await;
    assert!(reply.whole && lines(&reply).len() == count);
    let pages = async |query: &str| {
        let reply = send(addr, "GET", &format!("/emulator/ledger/requests?{query}"), &[], "").await.unwrap();
        assert_eq!(reply.status, 200);
        lines(&reply)
    };
    let all = pages("").await;
    assert_eq!(all.len(), count);
    assert_eq!(all[0]["pace"], "batch");
    assert_eq!(all[0]["batch_id"], created["id"]);
    assert_eq!(pages("from=3990&limit=100").await, all[3_990..]);
    assert_eq!(pages("from=10&limit=5").await, all[10..15]);
    let output: u64 = all.iter().map(|entry| entry["output"].as_u64().unwrap()).sum();
    assert_eq!(emulator.ledger().models[0].output, output);
    assert_eq!(send(addr, "GET", "/emulator/ledger/requests?from=x", &[], "").await.unwrap().status, 400);
    let too_many: Vec<Value> = vec![json!({"custom_id": "a", "params": {}}); 100_001];
    let reply =
        call(addr, Api::Messages, "POST", "/v1/messages/batches", &json!({"requests": too_many}).to_string()).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("at most 100000"));
    emulator.stop().await;
}

#[tokio::test]
async fn the_time_of_batches_is_set_while_it_runs() {
    let emulator = started(Duration::from_secs(60)).await;
    let addr = emulator.addr;
    let set = async |body: &str| send(addr, "POST", "/emulator/settings", &[], body).await.unwrap();
    assert_eq!(set(r#"{"batch_ms": 0}"#).await.json(), json!({"batch_ms": 0, "batch_day_ms": 86_400_000}));
    assert_eq!(anthropic_batch(addr, &prompts(1)).await["processing_status"], "ended");
    assert_eq!(set(r#"{"batch_day_ms": 1000}"#).await.json()["batch_day_ms"], 1_000);
    assert_eq!(set(r#"{"speed": 1}"#).await.status, 400);
    let shown = send(addr, "GET", "/emulator/settings", &[], "").await.unwrap().json();
    assert_eq!(shown, json!({"batch_ms": 0, "batch_day_ms": 1_000}));
    emulator.stop().await;
}
