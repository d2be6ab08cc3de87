//! Every fault of batches: on items, on a batch's future, on the calls of the batch API.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use emulator::{Emulator, Options, Rule, Running};
use serde_json::{Value, json};

use crate::batches::{
    GEMINI_CREATE, PATIENCE, SHORT, anthropic_batch, anthropic_body, call, gemini_file, gemini_lines, get, lines,
    openai_batch, openai_lines, prompts, started, until, upload,
};
use crate::client::{Api, ORDER, ask, send};

fn script(emulator: &Running, fault: &str) {
    emulator.script(&Rule { fault: fault.to_owned(), ..Rule::default() }).unwrap();
}

/// Prompts with a marker each.
fn marked(faults: &[&str]) -> Vec<(String, String)> {
    faults.iter().map(|fault| ((*fault).to_owned(), format!("{ORDER} [[emulate: {fault}]]"))).collect()
}

/// The same as ids that every provider takes.
fn with_ids(faults: &[&str]) -> Vec<(String, String)> {
    marked(faults)
        .into_iter()
        .map(|(id, text)| (id.replace(|letter: char| !letter.is_alphanumeric(), "_"), text))
        .collect()
}

async fn anthropic_results(addr: SocketAddr, id: &str) -> (Value, Vec<Value>) {
    let path = format!("/v1/messages/batches/{id}");
    let batch = until(addr, Api::Messages, &path, |batch| batch["processing_status"] == "ended").await;
    let reply = call(addr, Api::Messages, "GET", &format!("{path}/results"), "").await;
    (batch, lines(&reply))
}

fn is_over(batch: &Value) -> bool {
    ["completed", "failed", "expired", "cancelled"].iter().any(|word| batch["status"] == *word)
}

async fn openai_over(addr: SocketAddr, id: &Value) -> Value {
    until(addr, Api::Chat, &format!("/v1/batches/{}", id.as_str().unwrap()), is_over).await
}

async fn openai_file(addr: SocketAddr, id: &Value) -> Vec<Value> {
    let path = format!("/v1/files/{}/content", id.as_str().unwrap());
    lines(&call(addr, Api::Chat, "GET", &path, "").await)
}

async fn gemini_batch(addr: SocketAddr, prompts: &[(String, String)]) -> Value {
    let name = gemini_file(addr, &gemini_lines(prompts), 100_000).await;
    let wish = json!({"batch": {"displayName": "겨울", "inputConfig": {"fileName": name}}});
    call(addr, Api::Generate, "POST", GEMINI_CREATE, &wish.to_string()).await.json()
}

async fn gemini_over(addr: SocketAddr, created: &Value) -> Value {
    let path = format!("/v1beta/{}", created["name"].as_str().unwrap());
    until(addr, Api::Generate, &path, |operation| operation["done"] == true).await
}

async fn download(addr: SocketAddr, operation: &Value) -> Vec<Value> {
    let file = operation["response"]["responsesFile"].as_str().unwrap();
    lines(&call(addr, Api::Generate, "GET", &format!("/v1beta/{file}:download?alt=media"), "").await)
}

const ITEMS: [&str; 12] = [
    "400",
    "429",
    "500",
    "529",
    "insufficient-quota",
    "item-expired",
    "item-cancelled",
    "item-timeout",
    "item-unknown",
    "item-missing",
    "item-duplicate",
    "refusal",
];

#[tokio::test]
async fn items_end_in_each_providers_own_way() {
    let emulator = started(SHORT).await;
    let addr = emulator.addr;
    let items = with_ids(&ITEMS);
    let mut seen = Vec::new();
    let created = anthropic_batch(addr, &items).await;
    let (batch, found) = anthropic_results(addr, created["id"].as_str().unwrap()).await;
    let counts = json!({"processing": 0, "succeeded": 4, "errored": 6, "canceled": 1, "expired": 1});
    assert_eq!(batch["request_counts"], counts);
    for line in &found {
        let result = &line["result"];
        let word = json!([result["type"], result["error"]["error"]["type"], result["message"]["stop_reason"]]);
        seen.push(format!("anthropic {} {word}", line["custom_id"]));
    }
    let created = openai_batch(addr, Api::Chat, &openai_lines(Api::Chat, &items)).await;
    let batch = openai_over(addr, &created["id"]).await;
    assert_eq!(batch["request_counts"], json!({"total": 12, "completed": 4, "failed": 6}));
    for (name, file) in [("output", &batch["output_file_id"]), ("error", &batch["error_file_id"])] {
        for line in openai_file(addr, file).await {
            let word = json!([
                line["response"]["status_code"],
                line["response"]["body"]["error"]["code"],
                line["error"]["code"]
            ]);
            seen.push(format!("openai {} {name} {word}", line["custom_id"]));
        }
    }
    let operation = gemini_over(addr, &gemini_batch(addr, &items).await).await;
    let stats = json!({"requestCount": "12", "successfulRequestCount": "4", "failedRequestCount": "8"});
    assert_eq!(operation["metadata"]["batchStats"], stats);
    for line in download(addr, &operation).await {
        let word = json!([line["error"]["code"], line["response"]["candidates"][0]["finishReason"]]);
        seen.push(format!("gemini {} {word}", line["key"]));
    }
    seen.sort();
    insta::assert_snapshot!("batch_items", seen.join("\n"));
    let ledger = emulator.ledger();
    let billed: Vec<_> = ledger.requests.iter().map(|entry| entry.custom_id.as_deref().unwrap()).collect();
    assert_eq!(billed.len(), 6, "the duplicate once and the refusal, of each provider: {billed:?}");
    assert_eq!(ledger.refused, 30);
    assert_eq!(ledger.faults["item-missing"], 3);
    emulator.stop().await;
}

#[tokio::test]
async fn answers_of_items_are_odd_as_those_of_asks_are() {
    let emulator = started(SHORT).await;
    let addr = emulator.addr;
    let schema = json!({"type": "object", "properties": {"verdict": {"enum": ["sound", "flawed"]}},
        "required": ["verdict"], "additionalProperties": false});
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut body: Value = serde_json::from_str(&anthropic_body(&with_ids(&["misfit", "slow", "malformed"]))).unwrap();
    for request in body["requests"].as_array_mut().unwrap() {
        request["params"]["output_config"] = json!({"format": {"type": "json_schema", "schema": schema}});
    }
    let created = call(addr, Api::Messages, "POST", "/v1/messages/batches", &body.to_string()).await.json();
    let path = format!("/v1/messages/batches/{}", created["id"].as_str().unwrap());
    until(addr, Api::Messages, &path, |batch| batch["processing_status"] == "ended").await;
    let text = call(addr, Api::Messages, "GET", &format!("{path}/results"), "").await.text();
    let mut broken = 0;
    for line in text.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            broken += 1;
            continue;
        };
        let text = line["result"]["message"]["content"][0]["text"].as_str().unwrap();
        let fits = validator.is_valid(&serde_json::from_str(text).unwrap());
        assert_eq!(fits, line["custom_id"] != "misfit", "{line}");
    }
    assert_eq!(broken, 1);
    let ledger = emulator.ledger();
    assert_eq!((ledger.answered, ledger.damaged), (2, 1), "what cannot be read was billed all the same");
    emulator.stop().await;
}

#[tokio::test]
async fn a_rule_hits_items_by_percent_and_match_and_only_where_it_says() {
    let emulator = started(SHORT).await;
    let addr = emulator.addr;
    script(&emulator, "500; at=item; match=번; percent=30");
    script(&emulator, "503; at=ask");
    let created = openai_batch(addr, Api::Chat, &openai_lines(Api::Chat, &prompts(200))).await;
    let batch = openai_over(addr, &created["id"]).await;
    let failed = batch["request_counts"]["failed"].as_u64().unwrap();
    assert!((30..90).contains(&failed), "{failed}");
    assert_eq!(openai_file(addr, &batch["error_file_id"]).await.len(), usize::try_from(failed).unwrap());
    assert_eq!(ask(addr, Api::Chat, ORDER, false).await.unwrap().status, 503);
    emulator.stop().await;
}

#[tokio::test]
async fn an_openai_batch_fails_expires_or_is_cancelled_as_scripted() {
    let emulator = started(SHORT).await;
    let addr = emulator.addr;
    let lines = openai_lines(Api::Chat, &prompts(20));
    let run = async |fault: &str| {
        emulator.clear_faults();
        script(&emulator, fault);
        let created = openai_batch(addr, Api::Chat, &lines).await;
        openai_over(addr, &created["id"]).await
    };
    let batch = run("batch-failed").await;
    let error = &batch["errors"]["data"][0];
    assert_eq!((&error["code"], &error["line"]), (&json!("token_limit_exceeded"), &Value::Null));
    assert!(error["message"].as_str().unwrap().starts_with("Enqueued token limit reached for gpt-6.1-terra"));
    assert_eq!((&batch["status"], &batch["output_file_id"]), (&json!("failed"), &Value::Null));
    let batch = run("batch-failed; type=invalid_json_line; line=7").await;
    assert_eq!(batch["errors"]["data"][0]["line"], 7);
    let batch = run("batch-expired; done=40").await;
    assert_eq!((&batch["status"], &batch["request_counts"]["failed"]), (&json!("expired"), &json!(0)));
    assert!(batch["expired_at"].is_i64() && batch["completed_at"].is_null());
    assert_eq!(openai_file(addr, &batch["output_file_id"]).await.len(), 8);
    let errors = openai_file(addr, &batch["error_file_id"]).await;
    assert_eq!((errors.len(), &errors[0]["error"]["code"]), (12, &json!("batch_expired")));
    let batch = run("batch-expired; done=40; silent=true | batch-empty-error-id").await;
    assert_eq!(batch["error_file_id"], "", "two faults of one rule make one fate");
    assert_eq!(openai_file(addr, &batch["output_file_id"]).await.len(), 8);
    let batch = run("batch-cancelled").await;
    assert_eq!(batch["status"], "cancelled");
    assert_eq!(openai_file(addr, &batch["output_file_id"]).await.len(), 10);
    assert_eq!(openai_file(addr, &batch["error_file_id"]).await[0]["error"]["code"], "batch_cancelled");
    let batch = run("batch-only-errors; type=503").await;
    assert_eq!((&batch["status"], &batch["output_file_id"]), (&json!("completed"), &Value::Null));
    assert_eq!(openai_file(addr, &batch["error_file_id"]).await[3]["response"]["status_code"], 503);
    assert_eq!(emulator.ledger().requests.len(), 8 + 8 + 10, "only what was done is billed");
    emulator.stop().await;
}

#[tokio::test]
async fn an_anthropic_batch_expires_and_hides() {
    let emulator = started(SHORT).await;
    let addr = emulator.addr;
    // Hidden for longer than the three calls below take on a busy machine.
    script(&emulator, "batch-expired; done=25 | batch-hidden; ms=3000 | batch-unlisted; ms=3300");
    let created = anthropic_batch(addr, &prompts(20)).await;
    let id = created["id"].as_str().unwrap();
    let path = format!("/v1/messages/batches/{id}");
    for (method, path) in
        [("GET", path.clone()), ("GET", format!("{path}/results")), ("POST", format!("{path}/cancel"))]
    {
        assert_eq!(call(addr, Api::Messages, method, &path, "").await.status, 404);
    }
    let (batch, found) = anthropic_results(addr, id).await;
    assert_eq!((&batch["request_counts"]["succeeded"], &batch["request_counts"]["expired"]), (&json!(5), &json!(15)));
    assert_eq!(found.iter().filter(|line| line["result"]["type"] == "expired").count(), 15);
    until(addr, Api::Messages, "/v1/messages/batches", |list| list["data"][0]["id"] == id).await;
    emulator.clear_faults();
    script(&emulator, "batch-failed | batch-unknown-state; type=dreaming");
    emulator.set_batch_time(Duration::from_millis(400));
    let created = anthropic_batch(addr, &prompts(3)).await;
    assert_eq!(created["processing_status"], "dreaming");
    let (batch, found) = anthropic_results(addr, created["id"].as_str().unwrap()).await;
    assert_eq!(batch["request_counts"]["errored"], 3);
    assert_eq!(found[0]["result"]["error"]["error"]["type"], "api_error");
    assert_eq!(emulator.ledger().requests.len(), 5);
    emulator.stop().await;
}

#[tokio::test]
async fn a_damaged_item_among_inline_answers_leaves_the_others_readable() {
    let emulator = started(SHORT).await;
    script(&emulator, "batch-inline | malformed; at=item; times=1");
    let operation = gemini_over(emulator.addr, &gemini_batch(emulator.addr, &prompts(5)).await).await;
    let list = operation["response"]["inlinedResponses"]["inlinedResponses"].as_array().unwrap();
    let damaged = list.iter().filter(|answer| answer.get("metadata").is_none() && answer.get("response").is_none());
    assert_eq!((list.len(), damaged.count(), emulator.ledger().damaged), (5, 1, 1));
    emulator.stop().await;
}

#[tokio::test]
async fn a_gemini_batch_comes_in_all_its_oddities() {
    let emulator = started(SHORT).await;
    let addr = emulator.addr;
    let run = async |fault: &str| {
        emulator.clear_faults();
        script(&emulator, fault);
        gemini_over(addr, &gemini_batch(addr, &prompts(10)).await).await
    };
    let operation = run("batch-inline | batch-unkeyed | batch-job-prefix").await;
    assert_eq!(operation["metadata"]["state"], "JOB_STATE_SUCCEEDED");
    let list = operation["response"]["inlinedResponses"]["inlinedResponses"].as_array().unwrap();
    assert!(list.len() == 10 && list.iter().all(|answer| answer.get("metadata").is_none()));
    let operation = run("batch-inline").await;
    let first = &operation["response"]["inlinedResponses"]["inlinedResponses"][0];
    assert!(first["metadata"]["key"].as_str().unwrap().starts_with("item-"));
    let operation = run("batch-expired").await;
    assert_eq!(
        (&operation["metadata"]["state"], &operation["error"]["code"]),
        (&json!("BATCH_STATE_EXPIRED"), &json!(4))
    );
    assert!(operation.get("response").is_none() && operation["metadata"].get("output").is_none());
    let operation = run("batch-failed; type=겨울").await;
    assert_eq!(
        (&operation["metadata"]["state"], &operation["error"]["code"]),
        (&json!("BATCH_STATE_FAILED"), &json!(3))
    );
    let operation = run("batch-cancelled").await;
    assert!(operation.get("response").is_none() && operation["metadata"]["state"] == "BATCH_STATE_CANCELLED");
    assert_eq!(emulator.ledger().requests.len(), 20, "what brings nothing is not billed");
    let operation = run("batch-cancelled; done=30").await;
    assert_eq!(download(addr, &operation).await.len(), 3);
    assert_eq!(emulator.ledger().requests.len(), 23);
    emulator.set_batch_day(Duration::from_millis(200));
    let operation = run("batch-stuck").await;
    assert_eq!(operation["metadata"]["state"], "BATCH_STATE_EXPIRED");
    emulator.stop().await;
}

#[tokio::test]
async fn a_create_may_be_done_although_it_fails() {
    let emulator = started(SHORT).await;
    let addr = emulator.addr;
    let body = anthropic_body(&prompts(2));
    let create = async || send(addr, "POST", "/v1/messages/batches", &Api::Messages.headers(), &body).await;
    let listed = async || get(addr, Api::Messages, "/v1/messages/batches").await["data"].as_array().unwrap().len();
    script(&emulator, "reset; at=create; committed=true; times=1");
    assert_eq!(create().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(listed().await, 1);
    script(&emulator, "reset; at=create; times=1");
    assert_eq!(create().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(listed().await, 1);
    script(&emulator, "503; at=create; times=1");
    assert_eq!(create().await.unwrap().status, 503);
    assert_eq!(listed().await, 1);
    script(&emulator, "503; at=create; committed=true; times=1");
    assert_eq!(create().await.unwrap().status, 503);
    assert_eq!(listed().await, 2);
    script(&emulator, "malformed; at=create; committed=true; times=1");
    assert!(serde_json::from_slice::<Value>(&create().await.unwrap().body).is_err());
    assert_eq!(listed().await, 3);
    for (fault, header, value) in
        [("429; retry-after=3", "retry-after", "3"), ("429; retry-after-ms=40", "retry-after-ms", "40")]
    {
        script(&emulator, &format!("{fault}; at=create; times=1"));
        let reply = create().await.unwrap();
        assert_eq!((reply.status, reply.header(header)), (429, value));
    }
    script(&emulator, "spend-limit; at=create; times=1");
    let reply = create().await.unwrap();
    assert_eq!((reply.status, reply.header("retry-after")), (429, ""));
    assert_eq!(reply.json()["error"]["details"]["error_code"], "enforced_spend_limit_reached");
    assert_eq!(create().await.unwrap().status, 200);
    assert_eq!(listed().await, 4);
    emulator.stop().await;
}

#[tokio::test]
async fn other_calls_fail_as_scripted() {
    let emulator = started(SHORT).await;
    let addr = emulator.addr;
    let lines = openai_lines(Api::Chat, &prompts(4));
    script(&emulator, "500; at=upload; times=1");
    assert_eq!(upload(addr, "a.jsonl", &lines).await.status, 500);
    let created = openai_batch(addr, Api::Chat, &lines).await;
    let batch = openai_over(addr, &created["id"]).await;
    let path = format!("/v1/batches/{}", created["id"].as_str().unwrap());
    let output = format!("/v1/files/{}", batch["output_file_id"].as_str().unwrap());
    let cases = [
        ("404; at=status; times=1; match=겨울-001", "GET", path.clone(), 404),
        ("529; at=list; times=1", "GET", "/v1/batches".to_owned(), 529),
        ("502; at=cancel; times=1", "POST", format!("{path}/cancel"), 502),
        ("503; at=results; times=1", "GET", format!("{output}/content"), 503),
        ("500; at=files; times=1", "GET", output.clone(), 500),
        ("500; at=files; times=1; committed=true", "DELETE", output.clone(), 500),
    ];
    for (fault, method, path, status) in cases {
        script(&emulator, fault);
        assert_eq!(call(addr, Api::Chat, method, &path, "").await.status, status, "{fault}");
        assert_ne!(call(addr, Api::Chat, method, &path, "").await.status, status, "{fault}");
    }
    assert_eq!(call(addr, Api::Chat, "GET", &output, "").await.status, 404, "deleted although it said otherwise");
    emulator.stop().await;
}

#[tokio::test]
async fn the_bytes_of_results_come_oddly_and_are_billed_once() {
    let emulator = started(SHORT).await;
    let addr = emulator.addr;
    let created = anthropic_batch(addr, &prompts(20)).await;
    let (_, whole) = anthropic_results(addr, created["id"].as_str().unwrap()).await;
    let path = format!("/v1/messages/batches/{}/results", created["id"].as_str().unwrap());
    let read = async |fault: &str| {
        emulator.clear_faults();
        script(&emulator, &format!("{fault}; at=results"));
        call(addr, Api::Messages, "GET", &path, "").await
    };
    let cut = read("cut-stream; after=7").await;
    assert!(!cut.whole);
    assert_eq!(lines(&cut), whole[..7]);
    let cut = read("cut-body").await;
    assert!(!cut.whole);
    let text = String::from_utf8_lossy(&cut.body).into_owned();
    let (last, before) =
        text.lines().collect::<Vec<_>>().split_last().map(|(a, b)| ((*a).to_owned(), b.len())).unwrap();
    assert!(before == 10 && serde_json::from_str::<Value>(&last).is_err());
    let split = read("split-utf8").await;
    assert!(split.chunks.iter().any(|chunk| std::str::from_utf8(chunk).is_err()));
    assert_eq!(lines(&split), whole);
    let crlf = read("crlf").await;
    assert_eq!((crlf.text().matches("\r\n").count(), lines(&crlf)), (20, whole.clone()));
    let slow = read("slow-body; ms=2").await;
    assert_eq!((slow.chunks.len(), lines(&slow)), (7, whole.clone()));
    assert_eq!(read("wrong-type").await.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(emulator.ledger().requests.len(), 20);
    emulator.stop().await;
}

#[tokio::test]
async fn a_batch_that_is_cancelled_or_runs_out_of_time_is_billed_for_what_it_did() {
    let emulator =
        Emulator::start(Options { batch_time: Duration::from_secs(10), ..Options::default() }).await.unwrap();
    let addr = emulator.addr;
    let created = anthropic_batch(addr, &prompts(200)).await;
    let id = created["id"].as_str().unwrap();
    let path = format!("/v1/messages/batches/{id}");
    let start = std::time::Instant::now();
    while emulator.ledger().requests.len() < 20 {
        assert!(start.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let cancelling = call(addr, Api::Messages, "POST", &format!("{path}/cancel"), "").await.json();
    assert_eq!(cancelling["processing_status"], "canceling");
    assert_eq!(cancelling["request_counts"]["succeeded"], 0, "hidden until the end");
    let (batch, found) = anthropic_results(addr, id).await;
    let succeeded = found.iter().filter(|line| line["result"]["type"] == "succeeded").count();
    assert!((20..200).contains(&succeeded), "{succeeded}");
    assert_eq!(batch["request_counts"]["canceled"], 200 - succeeded);
    assert_eq!(emulator.ledger().requests.len(), succeeded);
    assert_eq!(call(addr, Api::Messages, "POST", &format!("{path}/cancel"), "").await.status, 400);
    emulator.clear_ledger();
    emulator.set_batch_time(Duration::from_secs(100));
    emulator.set_batch_day(Duration::from_millis(50_000));
    let created = openai_batch(addr, Api::Chat, &openai_lines(Api::Chat, &prompts(4))).await;
    assert_eq!(created["expires_at"].as_i64().unwrap() - created["created_at"].as_i64().unwrap(), 50);
    emulator.set_batch_day(Duration::from_millis(100));
    emulator.set_batch_time(Duration::from_millis(200));
    let created = openai_batch(addr, Api::Chat, &openai_lines(Api::Chat, &prompts(40))).await;
    let batch = openai_over(addr, &created["id"]).await;
    assert_eq!(batch["status"], "expired");
    assert_eq!(openai_file(addr, &batch["output_file_id"]).await.len(), 20);
    assert_eq!(emulator.ledger().requests.len(), 20);
    emulator.stop().await;
}
