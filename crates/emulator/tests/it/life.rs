//! Starting, stopping, many at once, and the emulator's own endpoints.

use std::time::Duration;

use emulator::{Emulator, Error, Options, Rule};
use serde_json::json;

use crate::client::{Api, ORDER, ask, send};

#[tokio::test]
async fn many_run_in_one_process_and_know_nothing_of_each_other() {
    let mut running = Vec::new();
    for _ in 0..4 {
        running.push(Emulator::start(Options::default()).await.unwrap());
    }
    ask(running[0].addr, Api::Chat, ORDER, false).await.unwrap();
    assert_eq!(running[0].ledger().answered, 1);
    assert_eq!(running[1].ledger().answered, 0);
    let addr = running[0].addr;
    for emulator in running {
        emulator.stop().await;
    }
    assert!(send(addr, "GET", "/health", &[], "").await.is_err());
    let again = Emulator::start(Options { addr, ..Options::default() }).await.unwrap();
    assert_eq!(send(addr, "GET", "/health", &[], "").await.unwrap().json()["status"], "ok");
    let taken = Emulator::start(Options { addr, ..Options::default() }).await.unwrap_err();
    assert!(matches!(taken, Error::Listen(..)), "{taken}");
    again.stop().await;
}

#[tokio::test]
async fn a_graceful_stop_lets_an_open_answer_end() {
    let emulator = Emulator::start(Options::default()).await.unwrap();
    let text = format!("{ORDER} [[emulate: slow-body; ms=20]]");
    let asking = ask(emulator.addr, Api::Messages, &text, false);
    let stopping = async {
        // An ask is booked before its body goes out, which here takes a while.
        for _ in 0..5_000 {
            if emulator.ledger().answered == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(emulator.ledger().answered, 1);
        emulator.stop().await;
    };
    let (reply, ()) = tokio::join!(asking, stopping);
    assert!(reply.unwrap().whole);
}

#[tokio::test]
async fn the_ledger_lists_what_was_billed() {
    let emulator = Emulator::start(Options { ledger_cap: 3, ..Options::default() }).await.unwrap();
    let addr = emulator.addr;
    for (number, api) in [Api::Messages, Api::Chat, Api::Responses, Api::Generate].into_iter().enumerate() {
        let mut headers = api.headers();
        let id = ["task-a", "task-b", "task-c", "task-d"][number];
        headers.push(if api == Api::Messages { ("idempotency-key", id) } else { ("x-client-request-id", id) });
        let body = api.body(ORDER, false, None).to_string();
        assert_eq!(send(addr, "POST", api.path(false), &headers, &body).await.unwrap().status, 200);
    }
    ask(addr, Api::Chat, "[[emulate: 500]]", false).await.unwrap();
    ask(addr, Api::Chat, "[[emulate: usage; cache-read=100; cache-write=7; reasoning=30]] 가", false).await.unwrap();
    let ledger = send(addr, "GET", "/emulator/ledger", &[], "").await.unwrap().json();
    assert_eq!((&ledger["answered"], &ledger["refused"], &ledger["damaged"]), (&json!(5), &json!(1), &json!(0)));
    assert_eq!(ledger["unlisted"], 2);
    assert_eq!(ledger["faults"], json!({"5xx": 1, "usage": 1}));
    let ids: Vec<_> = ledger["requests"].as_array().unwrap().iter().map(|entry| &entry["client_request_id"]).collect();
    assert_eq!(ids, ["task-a", "task-b", "task-c"]);
    let openai = &ledger["models"][1];
    assert_eq!((&openai["model"], &openai["answered"]), (&json!("gpt-6.1-terra"), &json!(3)));
    assert_eq!((&openai["cache_read"], &openai["cache_write"]), (&json!(100), &json!(7)));
    assert!(ledger["requests"][0]["input"].as_u64().unwrap() > 0);
    let newest = send(addr, "GET", "/emulator/ledger?limit=1", &[], "").await.unwrap().json();
    assert_eq!(newest["requests"].as_array().unwrap().len(), 1);
    assert_eq!(send(addr, "GET", "/emulator/ledger?limit=x", &[], "").await.unwrap().status, 400);
    assert_eq!(send(addr, "DELETE", "/emulator/ledger", &[], "").await.unwrap().status, 204);
    assert_eq!(emulator.ledger().answered, 0);
    emulator.stop().await;
}

#[tokio::test]
async fn rules_are_added_counted_and_cleared() {
    let emulator = Emulator::start(Options::default()).await.unwrap();
    let addr = emulator.addr;
    let rule = json!({"fault": "503; retry-after=1", "match": "gemini", "times": 1}).to_string();
    assert_eq!(send(addr, "POST", "/emulator/faults", &[], &rule).await.unwrap().status, 201);
    assert_eq!(ask(addr, Api::Chat, ORDER, false).await.unwrap().status, 200);
    assert_eq!(ask(addr, Api::Generate, ORDER, false).await.unwrap().status, 503);
    assert_eq!(ask(addr, Api::Generate, ORDER, false).await.unwrap().status, 200);
    let rules = send(addr, "GET", "/emulator/faults", &[], "").await.unwrap().json();
    assert_eq!(rules, json!({"rules": [{"id": 0, "played": 1}]}));
    emulator.script(&Rule { fault: "500".to_owned(), ..Rule::default() }).unwrap();
    assert_eq!(ask(addr, Api::Chat, ORDER, false).await.unwrap().status, 500);
    assert_eq!(send(addr, "DELETE", "/emulator/faults", &[], "").await.unwrap().status, 204);
    assert_eq!(ask(addr, Api::Chat, ORDER, false).await.unwrap().status, 200);
    for wrong in ["{\"fault\": \"느림\"}", "{\"fautl\": \"500\"}", "", "{\"fault\": \"500; percent=200\"}"] {
        let reply = send(addr, "POST", "/emulator/faults", &[], wrong).await.unwrap();
        assert_eq!(reply.status, 400, "{wrong}");
        assert!(!reply.json()["error"].as_str().unwrap().is_empty());
    }
    emulator.stop().await;
}
