//! All wires against the emulator: plain, streamed, by schema, and with its scripted faults.

#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

use emulator::{Emulator, MARK, Options, Running};
use futures_util::{StreamExt, future::join_all};
use providers::{Answer, Catalogue, Chunk, Class, Error, Message, Providers, Request, Role, Stop};
use secrecy::SecretString;
use serde_json::json;
use std::time::Duration;

const MODELS: &[&str] = &[
    "anthropic/claude-opus-5-5",
    "openai/gpt-6.1-sol",
    "gemini/gemini-3.8-flash",
    // OpenAI's own wire, which the catalogue keeps for OpenAI's own host.
    "home/gpt-6.1-sol",
];

async fn start() -> (Running, Providers) {
    let running = Emulator::start(Options::default()).await.unwrap();
    let bases = [
        ("ANTHROPIC_BASE_URL", running.anthropic_base()),
        ("OPENAI_BASE_URL", running.openai_base()),
        ("HOME_BASE_URL", running.openai_base()),
        ("GEMINI_BASE_URL", running.gemini_base()),
    ];
    let vars = move |name: &str| {
        let base = bases.iter().find(|(known, _)| *known == name).map(|(_, base)| base.clone());
        base.or_else(|| name.ends_with("_API_KEY").then(|| "emulated".to_owned())).map(SecretString::from)
    };
    let mut catalogue = Catalogue::built_in().unwrap();
    let home = "dated = 2026-11-20\n[[provider]]\nname = \"home\"\nbase_url_variable = \"HOME_BASE_URL\"\n\
        key_variable = \"HOME_API_KEY\"\nflex = { num = 1, den = 2 }\ndialect = { wire = \"responses\" }";
    catalogue.providers.extend(Catalogue::parse("home.toml", home).unwrap().providers);
    let providers = Providers::new(catalogue, &vars, &prometheus::Registry::new()).unwrap();
    (running, providers)
}

fn request(model: &str, text: &str) -> Request {
    Request {
        model: model.to_owned(),
        system: Some("당신은 애견호텔의 영업 전문가입니다.".to_owned()),
        messages: vec![Message { role: Role::User, text: text.to_owned() }],
        schema: None,
        max_tokens: 4000,
        flex: false,
        timeout: Duration::from_secs(60),
        request_id: "0198".to_owned(),
        traceparent: None,
    }
}

/// Reads a stream to its end; the text is what was handed on piece by piece.
async fn stream(providers: &Providers, request: &Request) -> (String, Result<Answer, Error>) {
    let mut text = String::new();
    let mut chunks = match providers.stream(request).await {
        Ok(chunks) => chunks,
        Err(error) => return (text, Err(error)),
    };
    loop {
        match chunks.next().await.unwrap() {
            Ok(Chunk::Text(piece)) => text.push_str(&piece),
            Ok(Chunk::End(answer)) => return (text, Ok(answer)),
            Err(error) => return (text, Err(error)),
        }
    }
}

fn tokens(answer: &Answer) -> (i64, i64, i64, i64) {
    let usage = answer.usage;
    (usage.input, usage.cache_read, usage.cache_write + usage.cache_write_hour, usage.output)
}

#[tokio::test]
async fn every_wire_answers_plain_and_streamed_and_counts_alike() {
    let (running, providers) = start().await;
    for model in MODELS {
        let request = request(model, "겨울 예약을 늘릴 방법을 보고서로 써줘. Please be 상세하게 🐕.");
        let whole = providers.ask(&request).await.unwrap();
        assert!(whole.emulated && whole.text.contains(MARK) && whole.text.contains("겨울"), "{model}: {whole:?}");
        assert_eq!(whole.stop, Stop::Complete);
        // Gemini names its answers in the body, if at all.
        assert!(whole.request_id.is_some() || model.starts_with("gemini"), "{model}");
        let (text, streamed) = stream(&providers, &request).await;
        let streamed = streamed.unwrap();
        assert!(streamed.emulated, "{model}");
        assert_eq!((&text, &streamed.text), (&whole.text, &whole.text), "{model}");
        assert_eq!((streamed.usage, streamed.nanos), (whole.usage, whole.nanos), "{model}");
        assert!(whole.nanos.0 > 0 || model.starts_with("home/"), "{model}");

        let ledger = running.ledger();
        let booked: Vec<_> = ledger.requests.iter().rev().take(2).collect();
        for entry in &booked {
            let booked =
                [entry.input, entry.cache_read, entry.cache_write, entry.output].map(|n| i64::try_from(n).unwrap());
            assert_eq!(tokens(&whole), booked.into(), "{model}");
        }
        assert_eq!(booked.iter().filter(|entry| entry.stream).count(), 1);
    }
    let endpoints: Vec<_> = running.ledger().requests.iter().map(|entry| entry.endpoint).collect();
    assert_eq!(endpoints, ["messages", "messages", "chat", "chat", "generate", "generate", "responses", "responses"]);
    running.stop().await;
}

#[tokio::test]
async fn every_wire_keeps_to_a_schema() {
    let (running, providers) = start().await;
    let schema = json!({"type": "object", "properties": {
        "부서": {"type": "string", "enum": ["영업", "마케팅"]},
        "근거": {"type": "array", "items": {"type": "string"}, "minItems": 1}
    }, "required": ["부서", "근거"]});
    for model in MODELS {
        let mut request = request(model, "어느 부서의 일인가? 겨울 예약을 늘려줘");
        request.schema = Some(schema.clone());
        let answer = providers.ask(&request).await.unwrap();
        let data = answer.data.unwrap();
        assert!(["영업", "마케팅"].contains(&data["부서"].as_str().unwrap()), "{model}: {data}");
        assert!(!data["근거"].as_array().unwrap().is_empty(), "{model}: {data}");
        let (_, streamed) = stream(&providers, &request).await;
        assert_eq!(streamed.unwrap().data, Some(data), "{model}");
    }
    running.stop().await;
}

#[tokio::test]
async fn cached_and_thought_tokens_are_counted_once() {
    let (running, providers) = start().await;
    for model in MODELS {
        let prompt = "세어 보자 [[emulate: usage; cache-read=70; cache-write=30; reasoning=11]]";
        let answer = providers.ask(&request(model, prompt)).await.unwrap();
        let ledger = running.ledger();
        let entry = ledger.requests.last().unwrap();
        // Gemini has no cache writes: what it wrote it counts as plain input.
        let (input, written) = match model.starts_with("gemini") {
            true => (entry.input + entry.cache_write, 0),
            false => (entry.input, entry.cache_write),
        };
        let booked = [input, entry.cache_read, written, entry.output].map(|count| i64::try_from(count).unwrap());
        assert_eq!(tokens(&answer), booked.into(), "{model}");
        assert_eq!((entry.cache_read, entry.cache_write), (70, 30));
        assert!(entry.output > 11);
    }
    running.stop().await;
}

#[tokio::test]
async fn faults_that_pass() {
    let (running, providers) = start().await;
    let faults = [
        "429; retry-after-ms=1; times=2",
        "429; retry-after=0; times=2",
        "429; retry-after-date=0; times=2",
        "429; retry-info=0.001; times=2",
        "529; retry-after-ms=1; times=3",
        "503; times=1",
        "reset; times=1",
        "malformed; times=1",
        "wrong-type; times=1",
        "empty; times=1",
        "cut-stream; after=0; times=1",
        "slow-body; ms=1",
        "split-utf8",
        "crlf",
        "lf",
        "unknown-event",
        "unknown-stop",
    ];
    let play = async |model: &str, fault: &str, streamed: bool| {
        let key = format!("{model} {} {streamed}", fault.replace([';', '='], " "));
        let request = request(model, &format!("겨울 예약 🐕 [[emulate: {fault}; key={key}]]"));
        let result = if streamed { stream(&providers, &request).await.1 } else { providers.ask(&request).await };
        let answer = result.unwrap_or_else(|error| panic!("{key}: {error}"));
        assert!(answer.text.contains(MARK), "{key}: {answer:?}");
    };
    for fault in faults {
        join_all(MODELS.iter().flat_map(|model| [play(model, fault, false), play(model, fault, true)])).await;
    }
    running.stop().await;
}

#[tokio::test]
async fn faults_that_do_not_pass() {
    let (running, providers) = start().await;
    let retry = "retry";
    let faults = [
        ("insufficient-quota", "hold"),
        ("spend-limit", "hold"),
        ("bad-key", "hold"),
        ("400", "fail"),
        ("402", "hold"),
        ("403", "fail_over"),
        ("404", "fail_over"),
        ("500; should-retry=false", "fail_over"),
        ("429; retry-after=3600", retry),
        ("refusal", ""),
        ("blocked", ""),
        ("max-tokens", ""),
    ];
    for model in MODELS {
        for (fault, class) in faults {
            let prompt = format!("겨울 예약 [[emulate: {fault}]]");
            let before = running.ledger();
            let result = providers.ask(&request(model, &prompt)).await;
            let after = running.ledger();
            let asked =
                (after.answered + after.damaged + after.refused) - (before.answered + before.damaged + before.refused);
            assert_eq!(asked, 1, "{model} {fault} was asked {asked} times: {result:?}");
            match result {
                Err(error) if !class.is_empty() => assert_eq!(error.class.as_str(), class, "{model} {fault}: {error}"),
                Err(error) => {
                    assert!(matches!(error.class, Class::Fail | Class::FailOver), "{model} {fault}: {error:?}");
                    assert!(error.billed.is_some(), "{model} {fault}: {error:?}");
                }
                Ok(answer) => assert_eq!((fault, answer.stop), ("max-tokens", Stop::MaxTokens), "{model}"),
            }
        }
        // What was handed on cannot be taken back: the caller decides.
        for fault in ["error-event; after=4", "cut-stream; after=4", "cut-body"] {
            let (text, error) = stream(&providers, &request(model, &format!("겨울 예약 [[emulate: {fault}]]"))).await;
            let error = error.unwrap_err();
            assert!(error.is_transient() && error.status.is_none(), "{model} {fault} {text:?}: {error:?}");
        }
        let whole = request(model, &format!("겨울 예약 [[emulate: cut-body; times=1; key={model}]]"));
        assert!(
            providers.ask(&whole).await.unwrap().text.contains(MARK),
            "a whole answer that was cut is asked for again"
        );
    }
    running.stop().await;
}
