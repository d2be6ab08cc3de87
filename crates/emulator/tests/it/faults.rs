//! Every fault, on every endpoint on which it means something.

use std::io::ErrorKind;

use emulator::{Emulator, Options, Running};
use serde_json::{Value, json};

use crate::client::{APIS, Api, ORDER, Reply, ask, send};

async fn started() -> Running {
    Emulator::start(Options::default()).await.unwrap()
}

async fn faulty(emulator: &Running, api: Api, fault: &str, stream: bool) -> Reply {
    ask(emulator.addr, api, &format!("{ORDER} [[emulate: {fault}]]"), stream).await.unwrap()
}

/// The provider's word for the error.
fn kind(api: Api, reply: &Reply) -> String {
    let body = reply.json();
    let error = &body["error"];
    let word = match api {
        Api::Messages => &error["type"],
        Api::Chat | Api::Responses => &error["type"],
        Api::Generate => &error["status"],
    };
    word.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_status_has_the_providers_own_shape() {
    let emulator = started().await;
    let mut seen = Vec::new();
    for status in [400, 401, 402, 403, 404, 408, 409, 413, 429, 500, 502, 503, 504, 529] {
        for api in [Api::Messages, Api::Chat, Api::Generate] {
            for stream in [false, true] {
                let reply = faulty(&emulator, api, &status.to_string(), stream).await;
                assert_eq!(reply.status, status);
                assert_eq!(reply.header("x-chavion-emulated"), "1");
                if !stream {
                    seen.push(format!("{status} {api:?} {}", kind(api, &reply)));
                }
            }
        }
    }
    insta::assert_snapshot!("statuses", seen.join("\n"));
    assert_eq!(emulator.ledger().answered, 0);
    emulator.stop().await;
}

#[tokio::test]
async fn every_form_of_retry_header_can_be_sent() {
    let emulator = started().await;
    for api in APIS {
        let reply = faulty(&emulator, api, "429; retry-after=3", false).await;
        assert_eq!((reply.status, reply.header("retry-after")), (429, "3"));
        let reply = faulty(&emulator, api, "529; retry-after-date=20", false).await;
        assert!(reply.header("retry-after").ends_with(" GMT"));
        let reply = faulty(&emulator, api, "503; retry-after-ms=250; should-retry=false", false).await;
        assert_eq!((reply.header("retry-after-ms"), reply.header("x-should-retry")), ("250", "false"));
    }
    let reply = faulty(&emulator, Api::Generate, "429; retry-info=46", false).await.json();
    let details = reply["error"]["details"].as_array().unwrap();
    let delay = details.iter().find(|detail| detail["@type"].as_str().unwrap().ends_with("RetryInfo")).unwrap();
    assert_eq!(delay["retryDelay"], "46s");
    emulator.stop().await;
}

#[tokio::test]
async fn what_no_retry_cures_is_told_apart() {
    let emulator = started().await;
    let mut seen = Vec::new();
    for fault in ["insufficient-quota", "spend-limit", "bad-key"] {
        for api in [Api::Messages, Api::Chat, Api::Generate] {
            let reply = faulty(&emulator, api, fault, false).await;
            let mut body = reply.json();
            if body.get("request_id").is_some() {
                body["request_id"] = json!("req");
            }
            seen.push(json!({"fault": fault, "status": reply.status, "body": body}));
        }
    }
    insta::assert_json_snapshot!("final_errors", seen);
    emulator.stop().await;
}

#[tokio::test]
async fn a_fault_is_played_as_often_as_it_says_by_header_marker_and_key() {
    let emulator = started().await;
    let send_with = |header: &'static str, text: &'static str| {
        let addr = emulator.addr;
        async move {
            let mut headers = Api::Chat.headers();
            headers.push(("x-emulate", header));
            let body = Api::Chat.body(text, false, None).to_string();
            send(addr, "POST", Api::Chat.path(false), &headers, &body).await.unwrap().status
        }
    };
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(send_with("429;retry-after=1;times=2 | 529;times=1", "겨울").await);
    }
    assert_eq!(seen, [429, 429, 529, 200]);
    assert_eq!(send_with("429;times=2", "여름").await, 429);
    assert_eq!(send_with("500;times=1;key=k", "봄").await, 500);
    assert_eq!(send_with("500;times=1;key=k", "가을").await, 200);
    assert_eq!(send_with("500; provider=gemini", "봄").await, 200);
    assert_eq!(send_with("500; model=terra", "봄").await, 500);
    assert_eq!(send_with("500; nonsense=1", "봄").await, 400);
    emulator.stop().await;
}

#[tokio::test]
async fn connections_break_where_they_should() {
    let emulator = started().await;
    for api in APIS {
        let text = format!("{ORDER} [[emulate: reset]]");
        let error = ask(emulator.addr, api, &text, false).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{api:?}");
        let cut = faulty(&emulator, api, "cut-body", false).await;
        assert!(!cut.whole && !cut.body.is_empty(), "{api:?}");
        let cut = faulty(&emulator, api, "cut-body", true).await;
        assert!(!cut.whole && !cut.text().ends_with("\n\n"), "{api:?}");
        let cut = faulty(&emulator, api, "cut-stream; after=2", true).await;
        assert!(!cut.whole, "{api:?}");
        assert_eq!(cut.events().len(), 2, "{api:?}");
    }
    let ledger = emulator.ledger();
    assert_eq!((ledger.answered, ledger.damaged, ledger.refused), (0, 12, 4));
    emulator.stop().await;
}

#[tokio::test]
async fn bodies_are_wrong_where_they_should_be() {
    let emulator = started().await;
    for api in APIS {
        for stream in [false, true] {
            let reply = faulty(&emulator, api, "malformed", stream).await;
            assert!(reply.status == 200 && serde_json::from_slice::<Value>(&reply.body).is_err());
            let reply = faulty(&emulator, api, "wrong-type", stream).await;
            assert!(reply.header("content-type").starts_with("text/html"));
        }
        let reply = faulty(&emulator, api, "error-event; after=2; type=surprise", true).await;
        assert!(reply.whole && reply.status == 200);
        let events = reply.events();
        assert_eq!(events.len(), 3);
        assert!(events[2].to_string().contains("surprise"), "{:?}", events[2]);
        assert!(faulty(&emulator, api, "error-event", false).await.status >= 503);
    }
    emulator.stop().await;
}

#[tokio::test]
async fn answers_end_oddly_in_each_providers_words() {
    let emulator = started().await;
    let mut seen = Vec::new();
    for fault in ["empty", "max-tokens", "refusal", "blocked", "unknown-stop"] {
        for api in APIS {
            let mut reply = faulty(&emulator, api, fault, false).await.json();
            let stop = match api {
                Api::Messages => reply["stop_reason"].take(),
                Api::Chat => json!([reply["choices"][0]["finish_reason"], reply["choices"][0]["message"]["refusal"]]),
                Api::Responses => json!([reply["status"], reply["incomplete_details"]]),
                Api::Generate => json!([reply["candidates"][0]["finishReason"], reply["promptFeedback"]]),
            };
            seen.push(format!("{fault} {api:?} {stop}"));
            let stream = faulty(&emulator, api, fault, true).await;
            assert!(stream.whole && stream.status == 200);
        }
    }
    insta::assert_snapshot!("odd_ends", seen.join("\n"));
    emulator.stop().await;
}

#[tokio::test]
async fn a_misfit_violates_the_schema_and_a_fit_does_not() {
    let emulator = started().await;
    let schema = json!({"type": "object", "properties": {"verdict": {"enum": ["sound", "flawed"]},
        "note": {"type": "string"}}, "required": ["verdict", "note"], "additionalProperties": false});
    let validator = jsonschema::validator_for(&schema).unwrap();
    for api in APIS {
        for (marker, fits) in [("", true), ("[[emulate: misfit]]", false)] {
            let body = api.body(&format!("{ORDER} {marker}"), false, Some(&schema)).to_string();
            let reply = send(emulator.addr, "POST", api.path(false), &api.headers(), &body).await.unwrap();
            let value: Value = serde_json::from_str(&api.answered(&reply)).unwrap();
            assert_eq!(validator.is_valid(&value), fits, "{api:?} {value}");
        }
    }
    emulator.stop().await;
}

#[tokio::test]
async fn bytes_come_oddly_and_mean_the_same() {
    let emulator = started().await;
    for api in APIS {
        let plain = api.answered(&ask(emulator.addr, api, ORDER, false).await.unwrap());
        let split = faulty(&emulator, api, "split-utf8", true).await;
        assert!(split.chunks.iter().any(|chunk| std::str::from_utf8(chunk).is_err()), "{api:?}");
        // The marker is no part of the question, but the hash of the ask knows it: only the marks are compared.
        assert_eq!(api.answered(&split)[..40], plain[..40]);
        let crlf = faulty(&emulator, api, "crlf", true).await;
        assert_eq!(crlf.text().matches('\n').count(), crlf.text().matches("\r\n").count());
        assert!(!faulty(&emulator, api, "lf", true).await.text().contains('\r'));
        assert_eq!(faulty(&emulator, api, "slow; ms=30", false).await.status, 200);
        let slow = faulty(&emulator, api, "slow-body; ms=2", false).await;
        assert!(slow.whole && !api.answered(&slow).is_empty());
        let news = faulty(&emulator, api, "unknown-event", true).await;
        assert!(news.text().contains("mulated"), "{api:?}");
    }
    emulator.stop().await;
}

#[tokio::test]
async fn a_tight_limit_cuts_the_answer() {
    let emulator = started().await;
    let mut body = Api::Messages.body(ORDER, false, None);
    body["max_tokens"] = json!(9);
    let path = Api::Messages.path(false);
    let reply = send(emulator.addr, "POST", path, &Api::Messages.headers(), &body.to_string()).await.unwrap().json();
    assert_eq!(reply["stop_reason"], "max_tokens");
    assert!(reply["usage"]["output_tokens"].as_u64().unwrap() <= 9);
    body["max_tokens"] = json!(4000);
    body["stop_sequences"] = json!(["애견호텔"]);
    let reply = send(emulator.addr, "POST", path, &Api::Messages.headers(), &body.to_string()).await.unwrap().json();
    assert_eq!((&reply["stop_reason"], &reply["stop_sequence"]), (&json!("stop_sequence"), &json!("애견호텔")));
    emulator.stop().await;
}
