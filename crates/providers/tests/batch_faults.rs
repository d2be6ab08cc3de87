//! What goes wrong on the way of a batch, and what is made of it.

#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

#[expect(unreachable_pub, dead_code, reason = "each test binary uses its part")]
mod batches;
#[expect(unreachable_pub, dead_code, reason = "each test binary uses its part of the server")]
mod server;

use batches::{TOKEN, asks, lines, two};
use futures_util::stream;
use providers::{BatchLines, BatchSpec, Batches, Catalogue, Class, CreateError, FaultKind, JobState, Providers};
use secrecy::SecretString;
use serde_json::{Value, json};
use server::{KEY, Server, Step, ok, whole};
use std::time::Duration;

const MODELS: [&str; 3] = ["anthropic/claude-opus-5-5", "openai/gpt-6.1-sol", "gemini/gemini-3.8-flash"];
const RETRY: Class = Class::Retry { after: None };

fn batches(providers: &Providers, model: &str) -> Batches {
    providers.batches(model.split_once('/').unwrap().0).unwrap()
}

async fn create(batches: &Batches, model: &str) -> Result<providers::BatchJob, CreateError> {
    let (spec, asks) = two(batches, model);
    batches.create(&spec, Some("files/in1"), lines(&asks)).await
}

#[tokio::test]
async fn a_create_is_sent_once_and_its_failure_tells_whether_it_may_exist() {
    let status = |status, headers: &str, body: &str| whole(status, headers, body);
    let error = |kind: &str| json!({"error": {"type": kind, "code": kind, "message": "안 됩니다"}}).to_string();
    let cut =
        || vec![Step::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\":\"batch".to_vec()), Step::Close];
    let cases: Vec<(Vec<Step>, bool, Class)> = vec![
        (vec![Step::Close], true, RETRY),
        (status(500, "", ""), true, RETRY),
        (status(503, "retry-after: 2\r\n", ""), true, Class::Retry { after: Some(Duration::from_secs(2)) }),
        (status(529, "", &error("overloaded_error")), true, RETRY),
        (status(504, "", "<html>"), true, RETRY),
        (status(408, "", ""), true, RETRY),
        (status(409, "", &error("conflict_error")), true, RETRY),
        (status(425, "", ""), true, RETRY),
        (cut(), true, RETRY),
        (status(200, "", "<html>"), true, RETRY),
        (status(200, "", "{}"), true, RETRY),
        (status(200, "", &error("server_error")), true, RETRY),
        (status(400, "", &error("invalid_request_error")), false, Class::Fail),
        (status(401, "", &error("authentication_error")), false, Class::Hold),
        (status(402, "", &error("billing_error")), false, Class::Hold),
        (status(403, "", &error("permission_error")), false, Class::Hold),
        (status(404, "", &error("not_found_error")), false, Class::FailOver),
        (status(413, "", &error("request_too_large")), false, Class::Fail),
        (status(422, "", "{}"), false, Class::Fail),
        (status(302, "location: http://127.0.0.1:9/\r\n", ""), false, Class::Hold),
        (status(429, "", &error("insufficient_quota")), false, Class::Hold),
        (
            status(429, "retry-after-ms: 7000\r\n", &error("rate_limit_error")),
            false,
            Class::Retry { after: Some(Duration::from_secs(7)) },
        ),
    ];
    for model in MODELS {
        for (reply, ambiguous, class) in &cases {
            let server = Server::start(vec![reply.clone(), reply.clone()]).await;
            let failed = create(&batches(&server.providers(), model), model).await.unwrap_err();
            assert_eq!((failed.ambiguous, failed.error.class), (*ambiguous, *class), "{model} {failed}");
            assert_eq!(server.seen().len(), 1, "{model} {failed}");
        }
    }
}

fn nowhere() -> Providers {
    let vars = |name: &str| match name {
        name if name.ends_with("_BASE_URL") => Some(SecretString::from("http://127.0.0.1:9")),
        name if name.ends_with("_API_KEY") => Some(SecretString::from(KEY)),
        _ => None,
    };
    Providers::new(Catalogue::built_in().unwrap(), &vars, &prometheus::Registry::new()).unwrap()
}

#[tokio::test]
async fn what_never_left_was_never_created() {
    let providers = nowhere();
    for model in MODELS {
        let failed = create(&batches(&providers, model), model).await.unwrap_err();
        assert!(!failed.ambiguous && failed.error.class == RETRY, "{model} {failed}");
    }
    // Lines that break off, or are not what was promised, leave half a body, which creates nothing.
    let server = Server::start(vec![ok(&json!({"id": "msgbatch_1"})); 3]).await;
    let anthropic = server.providers().batches("anthropic").unwrap();
    let (spec, asks) = two(&anthropic, MODELS[0]);
    let broken: BatchLines = Box::pin(stream::iter([Ok(asks[0].clone()), Err("연결이 끊겼습니다".into())]));
    let failed = anthropic.create(&spec, None, broken).await.unwrap_err();
    assert!(!failed.ambiguous && failed.error.class == RETRY, "{failed}");
    assert_eq!(failed.to_string(), "the lines of the batch broke off: 연결이 끊겼습니다");
    for wrong in [
        BatchSpec { bytes: spec.bytes + 1, ..spec.clone() },
        BatchSpec { items: 3, ..spec.clone() },
        BatchSpec { bytes: spec.bytes - 1, ..spec.clone() },
    ] {
        let failed = anthropic.create(&wrong, None, lines(&asks)).await.unwrap_err();
        assert!(
            !failed.ambiguous && failed.error.class == Class::Fail && failed.to_string().contains("promised"),
            "{failed}"
        );
    }
    assert!(server.seen().is_empty(), "no request was whole");
}

#[tokio::test]
async fn an_upload_can_be_made_again_with_fresh_lines() {
    let server =
        Server::start(vec![whole(500, "", ""), vec![Step::Close], ok(&json!({"id": "file-3"})), whole(413, "", "{}")])
            .await;
    let openai = server.providers().batches("openai").unwrap();
    let (spec, asks) = two(&openai, MODELS[1]);
    for _ in 0..2 {
        assert_eq!(openai.upload(&spec, lines(&asks)).await.unwrap_err().class, RETRY);
    }
    assert_eq!(openai.upload(&spec, lines(&asks)).await.unwrap().as_deref(), Some("file-3"));
    assert_eq!(openai.upload(&spec, lines(&asks)).await.unwrap_err().class, Class::Fail);
    let seen = server.seen();
    assert_eq!(seen.len(), 4);
    let end = format!("\r\n--chavion-{TOKEN}--\r\n");
    assert!(seen.iter().all(|seen| seen.body.ends_with(&end)), "each body was whole");
    for short in [&asks[..1], &[]] {
        let error = openai.upload(&spec, lines(short)).await.unwrap_err();
        assert!(error.class == Class::Fail && error.reason.contains("promised 2"), "{error}");
    }
    assert_eq!(server.seen().len(), 4, "half a file is no file");
}

#[tokio::test]
async fn a_lost_chunk_is_sent_again_at_its_place() {
    const CHUNK: usize = 8 << 20;
    let active = || whole(200, "x-goog-upload-status: active\r\n", "");
    let done = whole(200, "x-goog-upload-status: final\r\n", &json!({"file": {"name": "files/in1"}}).to_string());
    let begun = whole(200, "x-goog-upload-status: active\r\nx-goog-upload-url: /up?upload_id=1\r\n", "");
    let script = vec![
        vec![Step::Close],
        begun,
        active(),
        vec![Step::Close],
        whole(503, "", ""),
        active(),
        // Nobody knows whether this one was taken.
        whole(200, "", ""),
        done,
    ];
    let server = Server::start(script).await;
    let gemini = server.providers().batches("gemini").unwrap();
    let mut request = server::request(MODELS[2]);
    request.messages[0].text = "겨울 ".repeat(150_000);
    let (spec, asks) = asks(&gemini, &vec![request; 16]);
    assert!(spec.bytes > 16 << 20);
    assert_eq!(gemini.upload(&spec, lines(&asks)).await.unwrap().as_deref(), Some("files/in1"));
    let seen = server.seen();
    let header = |head: &str, name: &str| {
        head.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned)).unwrap_or_default()
    };
    let sent: Vec<(String, String, usize)> = seen
        .iter()
        .skip(2)
        .map(|seen| {
            (
                header(&seen.head, "x-goog-upload-command: "),
                header(&seen.head, "x-goog-upload-offset: "),
                seen.body.len(),
            )
        })
        .collect();
    let rest = usize::try_from(spec.bytes).unwrap() - 2 * CHUNK;
    let chunk = |command: &str, offset: usize, length| (command.to_owned(), offset.to_string(), length);
    assert_eq!(
        sent,
        [
            chunk("upload", 0, CHUNK),
            chunk("upload", CHUNK, CHUNK),
            chunk("upload", CHUNK, CHUNK),
            chunk("upload", CHUNK, CHUNK),
            chunk("upload, finalize", 2 * CHUNK, rest),
            chunk("upload, finalize", 2 * CHUNK, rest),
        ]
    );
    let file = [2, 3, 6].map(|at: usize| seen[at].body.as_str()).concat();
    let first: Value = serde_json::from_str(file.lines().next().unwrap()).unwrap();
    assert_eq!(first["key"], format!("{TOKEN}-000000"));
    assert_eq!((file.lines().count(), &seen[3].body), (16, &seen[5].body));
}

#[tokio::test]
async fn what_is_read_may_be_asked_again_and_what_is_missing_is_told_apart() {
    let running = json!({"id": "batch_1", "status": "in_progress"});
    let server = Server::start(vec![
        whole(503, "", ""),
        vec![Step::Close],
        ok(&running),
        whole(404, "", r#"{"error":{"message":"No batch found","type":"invalid_request_error"}}"#),
        whole(404, "", "{}"),
        whole(404, "", "{}"),
        ok(&json!({"error": {"message": "gone", "type": "invalid_request_error"}})),
    ])
    .await;
    let openai = server.providers().batches("openai").unwrap();
    assert_eq!(openai.status("batch_1").await.unwrap().state, JobState::Running);
    assert_eq!(openai.status("batch_1").await.unwrap_err().status, Some(404));
    assert_eq!(openai.cancel("batch_1").await.unwrap_err().status, Some(404));
    let job = batches::job("batch_1", Some("file-1"), None);
    assert_eq!(openai.results(&job, batches::DAY).await.err().unwrap().status, Some(404));
    assert_eq!(openai.status("batch_1").await.unwrap_err().class, Class::Fail, "an error in the place of a batch");
    assert_eq!(server.seen().len(), 7);
    assert_eq!(server.providers().status()[1].trouble, None);
}

#[tokio::test]
async fn cancelling_too_late_is_fine() {
    let server = Server::start(vec![
        whole(
            409,
            "x-should-retry: false\r\n",
            r#"{"error":{"message":"Cannot cancel a batch with status 'completed'."}}"#,
        ),
        ok(&json!({"id": "batch_1", "status": "completed"})),
        whole(400, "", "{}"),
        ok(&json!({"id": "batch_1", "status": "in_progress"})),
    ])
    .await;
    let openai = server.providers().batches("openai").unwrap();
    openai.cancel("batch_1").await.unwrap();
    assert_eq!(openai.cancel("batch_1").await.unwrap_err().status, Some(400), "it goes on");
}

#[tokio::test]
async fn cleaning_goes_on_after_a_failure() {
    let server = Server::start(vec![whole(401, "", "{}"), whole(404, "", "{}"), ok(&json!({}))]).await;
    let openai = server.providers().batches("openai").unwrap();
    let job = batches::job("batch_1", Some("file-2"), Some("file-3"));
    assert_eq!(openai.clean(&job, Some("file-1")).await.unwrap_err().class, Class::Hold);
    assert_eq!(server.seen().len(), 3);
    openai.clean(&batches::job("batch_1", None, Some("")), None).await.unwrap();
    assert_eq!(server.seen().len(), 3, "OpenAI keeps the records of batches");
}

#[tokio::test]
async fn states_in_every_spelling() {
    use JobState::{Cancelled, Cancelling, Completed, Expired, Failed, Running, Unknown};
    let gemini = |state: &str| json!({"name": "batches/1", "metadata": {"state": state}});
    let openai = |status: &str| json!({"id": "batch_1", "status": status});
    let anthropic = |status: &str| json!({"id": "msgbatch_1", "processing_status": status});
    let cases = [
        ("gemini", gemini("JOB_STATE_RUNNING"), Running, "JOB_STATE_RUNNING"),
        ("gemini", gemini("BATCH_STATE_QUEUED"), Running, "BATCH_STATE_QUEUED"),
        ("gemini", gemini("SUCCEEDED"), Completed, "SUCCEEDED"),
        ("gemini", gemini("JOB_STATE_PARTIALLY_SUCCEEDED"), Completed, "JOB_STATE_PARTIALLY_SUCCEEDED"),
        ("gemini", gemini("BATCH_STATE_FAILED"), Failed, "BATCH_STATE_FAILED"),
        ("gemini", gemini("JOB_STATE_CANCELLING"), Cancelling, "JOB_STATE_CANCELLING"),
        ("gemini", gemini("BATCH_STATE_CANCELLED"), Cancelled, "BATCH_STATE_CANCELLED"),
        ("gemini", gemini("BATCH_STATE_EXPIRED"), Expired, "BATCH_STATE_EXPIRED"),
        ("gemini", gemini("BATCH_STATE_UNSPECIFIED"), Unknown, "BATCH_STATE_UNSPECIFIED"),
        ("gemini", gemini("BATCH_STATE_DREAMING"), Unknown, "BATCH_STATE_DREAMING"),
        ("gemini", json!({"name": "batches/1", "done": true, "response": {}}), Completed, ""),
        ("gemini", json!({"name": "batches/1", "done": true, "error": {"code": 13, "message": "x"}}), Failed, ""),
        ("gemini", json!({"name": "operations/9", "metadata": {"name": "batches/1"}}), Unknown, ""),
        ("openai", openai("VALIDATING"), Running, "VALIDATING"),
        ("openai", openai("finalizing"), Running, "finalizing"),
        ("openai", openai("failed"), Failed, "failed"),
        ("openai", openai("expired"), Expired, "expired"),
        ("openai", openai("CANCELLED"), Cancelled, "CANCELLED"),
        ("openai", openai("cancelling"), Cancelling, "cancelling"),
        ("openai", openai("thinking_about_it"), Unknown, "thinking_about_it"),
        ("openai", json!({"id": "batch_1"}), Unknown, ""),
        ("anthropic", anthropic("canceling"), Cancelling, "canceling"),
        ("anthropic", anthropic("ended"), Completed, "ended"),
        ("anthropic", anthropic("paused"), Unknown, "paused"),
    ];
    for (provider, body, state, word) in cases {
        let server = Server::start(vec![ok(&body)]).await;
        let job = server.providers().batches(provider).unwrap().status("batch_1").await.unwrap();
        assert_eq!((job.state, job.word.as_str()), (state, word), "{body}");
    }
}

#[tokio::test]
async fn why_a_whole_batch_failed() {
    let openai = json!({"id": "batch_1", "status": "failed", "failed_at": 1_795_132_800, "output_file_id": "", "error_file_id": null,
        "errors": {"object": "list", "data": [
            {"code": "token_limit_exceeded", "message": "Enqueued token limit reached for gpt-6.1-sol", "line": null, "param": null},
            {"code": null, "message": "Enqueued token limit reached for gpt-6.1-sol in organization org-1"},
            {"code": "duplicate_custom_id", "message": "The custom_id is there already", "line": 17},
            {"code": "empty_file", "message": format!("key {KEY} at https://x.example/?key={KEY}")}]}});
    let gemini = json!({"name": "batches/1", "metadata": {"state": "BATCH_STATE_FAILED"}, "done": true,
        "error": {"code": 8, "message": "Too many enqueued tokens"}});
    let server = Server::start(vec![ok(&openai), ok(&gemini)]).await;
    let providers = server.providers();
    let failed = providers.batches("openai").unwrap().status("batch_1").await.unwrap();
    let faults: Vec<(FaultKind, &str, Option<u32>)> =
        failed.faults.iter().map(|fault| (fault.kind, fault.code.as_str(), fault.line)).collect();
    assert_eq!(
        faults,
        [
            (FaultKind::TokenLimit, "token_limit_exceeded", None),
            (FaultKind::TokenLimit, "", None),
            (FaultKind::Line, "duplicate_custom_id", Some(17)),
            (FaultKind::Whole, "empty_file", None),
        ]
    );
    assert_eq!(failed.faults[3].message, "key [key] at https://x.example/?…");
    assert_eq!((failed.output_file, failed.error_file, failed.ended_at.is_some()), (None, None, true));
    let failed = providers.batches("gemini").unwrap().status("batches/1").await.unwrap();
    assert!(failed.faults[0].is_token_limit() && failed.faults[0].code == "RESOURCE_EXHAUSTED", "{failed:?}");
}

#[tokio::test]
async fn nothing_secret_is_shown() {
    let prompt = "겨울 예약을 늘릴 방법을 보고서로 써줘";
    let echo = format!(
        r#"{{"error":{{"type":"invalid_request_error","message":"key {KEY} at https://x.example/?upload_id=u1&key={KEY} sent {prompt}"}}}}"#
    );
    for model in MODELS {
        for reply in [whole(400, "", &echo), whole(503, "retry-after: 999\r\n", &echo), whole(200, "", &echo)] {
            let server = Server::start(std::iter::repeat_n(reply, 20).collect()).await;
            let providers = server.providers();
            let batches = batches(&providers, model);
            let (spec, asks) = two(&batches, model);
            let created = batches.create(&spec, Some("files/in1"), lines(&asks)).await;
            let uploaded = batches.upload(&spec, lines(&asks)).await;
            let status = batches.status("batch_1").await;
            let cancelled = batches.cancel("batch_1").await;
            let cleaned = batches.clean(&batches::job("batch_1", None, None), Some("file-1")).await;
            let shown = format!(
                "{created:?} {uploaded:?} {status:?} {cancelled:?} {cleaned:?} {batches:?} {:?}",
                providers.status()
            );
            assert!(!shown.contains(KEY) && !shown.contains("s3cret") && !shown.contains("upload_id"), "{shown}");
            // What was sent is not quoted back; the others sent no prompt here.
            let quoted = match model {
                "anthropic/claude-opus-5-5" => format!("{created:?}"),
                "openai/gpt-6.1-sol" => format!("{uploaded:?}"),
                _ => String::new(),
            };
            assert!(!quoted.contains(prompt), "{quoted}");
        }
    }
}
