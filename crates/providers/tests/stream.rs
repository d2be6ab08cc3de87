//! Streamed answers from a scripted server: cut, hung, broken off, and begun again.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests stop at the first surprise")]

#[expect(unreachable_pub, dead_code, reason = "each test binary uses its part of the server")]
mod server;

use futures_util::StreamExt;
use providers::{Answer, Chunk, Class, Error, Providers, Request, Stop};
use serde_json::json;
use server::{Server, Step, events, message, ok, request, whole};
use std::time::Duration;

const OPUS: &str = "anthropic/claude-opus-5-5";
const RETRY: Class = Class::Retry { after: None };

const START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"claude-opus-5-5\",\"content\":[],\"usage\":{\"input_tokens\":10}}}\n\n";
const HELLO: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"안녕\"}}\n\n: ping\n\n";
const THERE: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"하세요 🐕\"}}\n\n";
const STOP: &str = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":5}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
const OVERLOADED: &str =
    "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"넘침\"}}\n\n";

/// Reads a stream to its end: the texts, and the answer or the error.
async fn read(providers: &Providers, request: &Request) -> (Vec<String>, Result<Answer, Error>) {
    let mut chunks = match providers.stream(request).await {
        Ok(chunks) => chunks,
        Err(error) => return (Vec::new(), Err(error)),
    };
    let mut texts = Vec::new();
    loop {
        match chunks.next().await {
            Some(Ok(Chunk::Text(text))) => texts.push(text),
            Some(Ok(Chunk::End(answer))) => {
                assert!(chunks.next().await.is_none(), "nothing follows the end");
                return (texts, Ok(answer));
            }
            Some(Err(error)) => {
                assert!(chunks.next().await.is_none(), "nothing follows an error");
                return (texts, Err(error));
            }
            None => panic!("a stream that has no end"),
        }
    }
}

fn all() -> String {
    [START, HELLO, THERE, STOP].concat()
}

#[tokio::test]
async fn a_stream_cut_at_every_byte_reads_the_same() {
    for ending in ["\n", "\r\n"] {
        let stream = all().replace('\n', ending).into_bytes();
        for size in [1, 2, 3, 7, 1000] {
            let pieces: Vec<&[u8]> = stream.chunks(size).collect();
            let server = Server::start(vec![events(&pieces)]).await;
            let (texts, answer) = read(&server.providers(), &request(OPUS)).await;
            let answer = answer.unwrap();
            assert_eq!(texts, ["안녕", "하세요 🐕"], "{ending:?} {size}");
            // 10 × 4,000 + 5 × 20,000
            assert_eq!((answer.text.as_str(), answer.stop, answer.nanos.0), ("안녕하세요 🐕", Stop::Complete, 140_000));
        }
    }
}

#[tokio::test]
async fn text_is_handed_on_before_the_answer_is_whole() {
    let mut steps = events(&[START.as_bytes(), HELLO.as_bytes()]);
    steps.pop();
    steps.push(Step::Gate);
    steps.extend([Step::Bytes(format!("{THERE}{STOP}").into_bytes()), Step::Close]);
    let server = Server::start(vec![steps]).await;
    let mut chunks = server.providers().stream(&request(OPUS)).await.unwrap();
    assert_eq!(chunks.next().await.unwrap().unwrap(), Chunk::Text("안녕".to_owned()));
    server.gate.notify_one();
    assert_eq!(chunks.next().await.unwrap().unwrap(), Chunk::Text("하세요 🐕".to_owned()));
    assert!(matches!(chunks.next().await, Some(Ok(Chunk::End(_)))));
}

#[tokio::test]
async fn the_other_wires_stream_too() {
    let chat = "data: {\"model\":\"q\",\"choices\":[{\"delta\":{\"content\":\"안녕\"}}]}\r\n\r\n: keep-alive\r\n\r\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\r\n\r\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\r\n\r\ndata: [DONE]\r\n\r\n";
    let gemini = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"안녕\"}]},\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":3,\"candidatesTokenCount\":1}}\r\n\r\n";
    let server = Server::start(vec![events(&[chat.as_bytes()]), events(&[gemini.as_bytes()])]).await;
    let providers = server.providers();
    for model in ["openai/gpt-6.1-sol", "gemini/gemini-3.8-flash"] {
        let (texts, answer) = read(&providers, &request(model)).await;
        assert_eq!((texts, answer.unwrap().usage.input), (vec!["안녕".to_owned()], 3), "{model}");
    }
    assert!(server.seen().last().unwrap().head.contains(":streamGenerateContent?alt=sse HTTP/1.1"));

    let responses = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"안녕\"}\n\nevent: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"output\":[]}}\n\n";
    let server = Server::start(vec![events(&[responses.as_bytes()])]).await;
    let (texts, answer) = read(&server.responses(), &request("openai/gpt-6.1-sol")).await;
    assert_eq!((texts, answer.unwrap().text.as_str()), (vec!["안녕".to_owned()], "안녕"));
}

#[tokio::test]
async fn what_fails_before_the_first_text_is_begun_again() {
    let server = Server::start(vec![
        whole(529, "retry-after-ms: 1\r\n", "{}"),
        events(&[START.as_bytes()]),
        events(&[START.as_bytes(), OVERLOADED.as_bytes()]),
        events(&[all().as_bytes()]),
    ])
    .await;
    let (texts, answer) = read(&server.providers(), &request(OPUS)).await;
    assert_eq!((texts.concat().as_str(), answer.unwrap().text.as_str()), ("안녕하세요 🐕", "안녕하세요 🐕"));
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn what_fails_after_it_ends_the_stream() {
    let broken: &[(&str, &str)] = &[
        ("", "the stream of anthropic ended before the answer did"),
        (OVERLOADED, "anthropic is overloaded: 넘침"),
        ("data: {\"type\":\n\n", "anthropic answered with something that is no answer of its API"),
        ("data: {\"type\":\"message_st", "anthropic answered with something that is no answer of its API"),
        ("{\"error\":{\"type\":\"api_error\",\"message\":\"맨몸\"}}\n", "anthropic failed: 맨몸"),
    ];
    for (last, reason) in broken {
        let server = Server::start(vec![events(&[START.as_bytes(), HELLO.as_bytes(), last.as_bytes()])]).await;
        let (texts, error) = read(&server.providers(), &request(OPUS)).await;
        let error = error.unwrap_err();
        assert_eq!((texts.concat().as_str(), error.class, error.reason.as_str()), ("안녕", RETRY, *reason));
        assert_eq!(server.seen().len(), 1, "beginning again would repeat what was said");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_told_from_one_that_ends() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let steps = vec![Step::Bytes(format!("{head}{}", chunk(&format!("{START}{HELLO}"))).into_bytes()), Step::Close];
    let server = Server::start(vec![steps]).await;
    let (_, error) = read(&server.providers(), &request(OPUS)).await;
    let error = error.unwrap_err();
    assert!(error.reason.starts_with("the connection to anthropic broke before the answer was whole"), "{error}");

    // Whole, although the connection broke: nothing that matters was lost.
    let gemini =
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"안녕\"}]},\"finishReason\":\"STOP\"}]}\r\n\r\n";
    let steps = vec![Step::Bytes(format!("{head}{}", chunk(gemini)).into_bytes()), Step::Close];
    let server = Server::start(vec![steps]).await;
    assert_eq!(read(&server.providers(), &request("gemini/gemini-3.8-flash")).await.1.unwrap().text, "안녕");
}

#[tokio::test]
async fn a_hung_stream_meets_the_timeout() {
    let mut steps = events(&[START.as_bytes(), HELLO.as_bytes()]);
    steps.pop();
    steps.push(Step::Hang);
    let server = Server::start(vec![steps]).await;
    let mut request = request(OPUS);
    request.timeout = Duration::from_secs(2);
    let (texts, error) = read(&server.providers(), &request).await;
    assert_eq!(texts, ["안녕"]);
    assert_eq!(error.unwrap_err().to_string(), "anthropic did not answer within 2s");
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_taken_at_its_word() {
    let server = Server::start(vec![ok(&message("한 번에"))]).await;
    let (texts, answer) = read(&server.providers(), &request(OPUS)).await;
    assert_eq!((texts, answer.unwrap().text.as_str()), (vec!["한 번에".to_owned()], "한 번에"));
    let error = json!({"error": {"type": "invalid_request_error", "message": "x"}});
    let server = Server::start(vec![ok(&error)]).await;
    assert_eq!(read(&server.providers(), &request(OPUS)).await.1.unwrap_err().class, Class::Fail);
}

#[tokio::test]
async fn a_refusal_ends_a_stream_with_what_it_cost() {
    let stream = format!("{START}{HELLO}{}", STOP.replace("end_turn", "refusal"));
    let server = Server::start(vec![events(&[stream.as_bytes()])]).await;
    let (texts, error) = read(&server.providers(), &request(OPUS)).await;
    let error = error.unwrap_err();
    assert_eq!((texts.concat().as_str(), error.class, error.billed.unwrap().nanos.0), ("안녕", Class::Fail, 140_000));
}
