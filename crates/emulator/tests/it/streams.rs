//! A stream says what the plain answer says, at the pace it was given.

use std::num::NonZeroU32;
use std::time::Duration;

use emulator::{Emulator, MARK, Options};
use serde_json::{Value, json};

use crate::client::{APIS, Api, ORDER, Reply, ask, send};

/// Input and output tokens of an answer, plain or streamed.
fn usage(api: Api, reply: &Reply) -> (u64, u64) {
    let parts =
        if reply.header("content-type").starts_with("text/event-stream") { reply.events() } else { vec![reply.json()] };
    let last = |pointers: &[&str]| {
        let find = |part: &Value| pointers.iter().find_map(|pointer| part.pointer(pointer)).and_then(Value::as_u64);
        parts.iter().rev().find_map(find).unwrap()
    };
    match api {
        Api::Messages => (last(&["/usage/input_tokens"]), last(&["/usage/output_tokens"])),
        Api::Chat => (last(&["/usage/prompt_tokens"]), last(&["/usage/completion_tokens"])),
        Api::Responses => (
            last(&["/usage/input_tokens", "/response/usage/input_tokens"]),
            last(&["/usage/output_tokens", "/response/usage/output_tokens"]),
        ),
        Api::Generate => (last(&["/usageMetadata/promptTokenCount"]), last(&["/usageMetadata/candidatesTokenCount"])),
    }
}

#[tokio::test]
async fn a_stream_equals_the_plain_answer() {
    let emulator = Emulator::start(Options::default()).await.unwrap();
    for api in APIS {
        for text in [ORDER, "How can our pet hotel win more winter bookings?", "2+2?", "🐶🐱 이모지만"] {
            let plain = ask(emulator.addr, api, text, false).await.unwrap();
            let stream = ask(emulator.addr, api, text, true).await.unwrap();
            let answer = api.answered(&plain);
            assert!(answer.starts_with(MARK), "{answer}");
            assert_eq!(answer, api.answered(&stream), "{api:?}");
            assert_eq!(usage(api, &plain), usage(api, &stream), "{api:?}");
            assert!(stream.whole);
        }
    }
    let ledger = emulator.ledger();
    assert_eq!(ledger.answered, 32);
    let asked = ledger.requests.iter().filter(|entry| entry.stream).count();
    assert_eq!(asked, 16);
    emulator.stop().await;
}

#[tokio::test]
async fn a_paced_stream_comes_in_pieces_and_says_the_same() {
    let rate = NonZeroU32::new(2_000);
    let options = Options { tokens_per_second: rate, delay: Duration::from_millis(5), ..Options::default() };
    let emulator = Emulator::start(options).await.unwrap();
    for api in APIS {
        let stream = ask(emulator.addr, api, ORDER, true).await.unwrap();
        // Each event is a piece of its own, where an unpaced stream is one piece.
        assert_eq!(stream.chunks.len(), stream.events().len(), "{api:?}");
        assert_eq!(api.answered(&stream), api.answered(&ask(emulator.addr, api, ORDER, false).await.unwrap()));
    }
    emulator.stop().await;
}

#[tokio::test]
async fn the_demos_prompts_read_sensibly() {
    let emulator = Emulator::start(Options::default()).await.unwrap();
    let asked = |system: &'static str, prompt: String, schema: Option<Value>| {
        let addr = emulator.addr;
        async move {
            let mut body = Api::Messages.body(&prompt, false, schema.as_ref());
            body["system"] = json!(system);
            let path = Api::Messages.path(false);
            let reply = send(addr, "POST", path, &Api::Messages.headers(), &body.to_string()).await.unwrap();
            Api::Messages.answered(&reply)
        }
    };
    let specialist =
        format!("Analyse this order from the point of view of your speciality alone.\n\nOrder:\n{ORDER}\n");
    let customer = asked("You speak for the customer: who they are.", specialist.clone(), None).await;
    let campaign = asked("You plan campaigns: message, offer, channel.", specialist, None).await;
    assert_ne!(customer, campaign);
    let head = format!(
        "Your specialists have answered. Write the one report.\n\nOrder:\n{ORDER}\n\n## Customer researcher · 고객 조사원\n\n\
         {customer}\n\n## Campaign planner · 캠페인 기획자\n\n{campaign}\n"
    );
    let report = asked("You lead marketing and sales.", head, None).await;
    assert!(report.contains("고객 조사원") && report.contains("캠페인 기획자"), "{report}");
    let verify = json!({"type": "object", "properties": {"verdict": {"type": "string", "enum": ["sound", "flawed"]},
        "summary": {"type": "string"}, "findings": {"type": "array", "items": {"type": "string"}}},
        "required": ["verdict", "summary", "findings"], "additionalProperties": false});
    let prompt = format!("Check the report.\n\nOrder:\n{ORDER}\n\nReport:\n{report}\n");
    let verdict: Value = serde_json::from_str(&asked("You check a text.", prompt, Some(verify)).await).unwrap();
    assert_eq!(verdict["verdict"], "sound");
    assert_eq!(verdict["findings"], json!([]));
    assert!(verdict["summary"].as_str().unwrap().contains(ORDER));
    insta::assert_snapshot!("demo", format!("{customer}\n\n-----\n\n{campaign}\n\n-----\n\n{report}"));
    emulator.stop().await;
}
