//! Whole trips of batches through the emulator, with all three providers.

#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

#[expect(unreachable_pub, dead_code, reason = "each test binary uses its part")]
mod batches;
#[expect(unreachable_pub, dead_code, reason = "each test binary uses its part of the server")]
mod server;

use batches::{TOKEN, asks, by_id, lines, none, read};
use emulator::{Emulator, MARK, Options, Running};
use futures_util::future::join_all;
use providers::{
    BatchJob, BatchLine, BatchOutcome, BatchSpec, Batches, Catalogue, Found, JobState, Providers, Request,
};
use secrecy::SecretString;
use serde_json::json;
use std::{collections::HashSet, time::Duration};
use time::OffsetDateTime;

const MODELS: [&str; 4] =
    ["anthropic/claude-opus-5-5", "openai/gpt-6.1-sol", "gemini/gemini-3.8-flash", "home/gpt-6.1-sol"];

async fn start(batch_time: Duration) -> (Running, Providers) {
    let running = Emulator::start(Options { batch_time, ..Options::default() }).await.unwrap();
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
    // OpenAI's own wire, which the catalogue keeps for OpenAI's own host.
    let home = "dated = 2026-11-20\n[[provider]]\nname = \"home\"\nbase_url_variable = \"HOME_BASE_URL\"\n\
        key_variable = \"HOME_API_KEY\"\nbatch = \"openai\"\nbatch_price = { num = 1, den = 2 }\n\
        dialect = { wire = \"responses\" }";
    catalogue.providers.extend(Catalogue::parse("home.toml", home).unwrap().providers);
    let providers = Providers::new(catalogue, &vars, &prometheus::Registry::new()).unwrap();
    (running, providers)
}

/// `count` asks in Korean, every third by a schema.
fn requests(model: &str, count: usize) -> Vec<Request> {
    let schema = json!({"type": "object", "properties": {"부서": {"type": "string", "enum": ["영업", "마케팅"]}},
        "required": ["부서"], "additionalProperties": false});
    let request = |at: usize| {
        let mut request = server::request(model);
        request.messages.first_mut().unwrap().text = format!("{at}번째 지점의 겨울 예약을 늘릴 방법은?");
        request.schema = (at % 3 == 2).then(|| schema.clone());
        request
    };
    (0..count).map(request).collect()
}

async fn send(batches: &Batches, spec: &BatchSpec, asks: &[BatchLine]) -> (BatchJob, Option<String>) {
    let file = batches.upload(spec, lines(asks)).await.unwrap();
    let rest = if file.is_some() { none() } else { lines(asks) };
    (batches.create(spec, file.as_deref(), rest).await.unwrap(), file)
}

async fn ended(batches: &Batches, id: &str) -> BatchJob {
    let wait = async {
        loop {
            let job = batches.status(id).await.unwrap();
            if job.state.is_terminal() {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap()
}

#[tokio::test]
async fn every_provider_answers_a_batch_at_half_price() {
    let trip = async |model: &str| {
        let (running, providers) = start(Duration::from_millis(300)).await;
        let batches = providers.batches(model.split_once('/').unwrap().0).unwrap();
        let requests = requests(model, 30);
        let (spec, asks) = asks(&batches, &requests);
        let before = OffsetDateTime::now_utc();
        let (created, file) = send(&batches, &spec, &asks).await;
        assert!(!created.state.is_terminal(), "{created:?}");
        let job = ended(&batches, &created.id).await;
        assert_eq!((job.state, job.total, job.done), (JobState::Completed, Some(30), Some(30)), "{job:?}");
        assert!((job.created_at.unwrap() - before).abs() < time::Duration::minutes(1) && job.ended_at.is_some());
        // By its token, by its file, or by its time, then by its first line.
        let found = batches.find(&spec, file.as_deref(), before, &HashSet::new()).await.unwrap();
        let Found::Job(found) = found else { panic!("{found:?}") };
        assert_eq!(found.id, created.id);
        let (results, error) = read(&batches, &job).await;
        assert_eq!((error, results.len()), (None, 30), "{model}");
        let results = by_id(results);
        for (at, request) in requests.iter().enumerate() {
            let BatchOutcome::Succeeded(answer) = &results[&format!("{at:06}")] else { panic!("{model} {results:?}") };
            assert!(answer.emulated && answer.model.starts_with(model), "{answer:?}");
            match &request.schema {
                Some(_) => {
                    assert!(["영업", "마케팅"].contains(&answer.data.as_ref().unwrap()["부서"].as_str().unwrap()));
                }
                None => assert!(answer.text.contains(MARK), "{answer:?}"),
            }
            if model.starts_with("home/") {
                assert_eq!(answer.list_nanos.0, 0, "nobody knows its price");
            } else {
                // Half, rounded up: the tokens have no odd fractions of a nano-dollar.
                assert_eq!(answer.nanos.0, (answer.list_nanos.0 + 1) / 2, "{answer:?}");
                assert!(answer.nanos.0 > 0 && answer.nanos <= providers.estimate(request, domain::pace::Pace::Batch));
            }
        }
        batches.clean(&job, file.as_deref()).await.unwrap();
        batches.clean(&job, file.as_deref()).await.unwrap();
        let gone = batches.results(&job, batches::DAY).await.err().map(|error| error.status);
        assert_eq!(gone, Some(Some(404)), "{model}");
        running.stop().await;
    };
    join_all(MODELS.map(trip)).await;
}

#[tokio::test]
async fn a_cancelled_batch_says_so() {
    let trip = async |model: &str| {
        let (running, providers) = start(Duration::from_secs(10)).await;
        let batches = providers.batches(model.split_once('/').unwrap().0).unwrap();
        let (spec, asks) = asks(&batches, &requests(model, 3));
        let since = OffsetDateTime::now_utc();
        let (created, file) = send(&batches, &spec, &asks).await;
        let found = batches.find(&spec, file.as_deref(), since, &HashSet::new()).await.unwrap();
        // Anthropic keeps no label: while the batch runs nobody can be certain.
        match found {
            Found::Perhaps(job) if model.starts_with("anthropic") => assert_eq!(job.id, created.id),
            Found::Job(job) if !model.starts_with("anthropic") => assert_eq!(job.id, created.id),
            other => panic!("{other:?}"),
        }
        let others = HashSet::from([created.id.clone()]);
        assert_eq!(batches.find(&spec, file.as_deref(), since, &others).await.unwrap(), Found::Absent);
        batches.cancel(&created.id).await.unwrap();
        let job = ended(&batches, &created.id).await;
        let expected = if model.starts_with("anthropic") { JobState::Completed } else { JobState::Cancelled };
        assert_eq!(job.state, expected, "{job:?}");
        batches.cancel(&created.id).await.unwrap();
        let (results, error) = read(&batches, &job).await;
        assert_eq!(error, None);
        let cancelled = |outcome: &BatchOutcome| *outcome == BatchOutcome::Cancelled;
        assert!(
            by_id(results).values().all(|outcome| cancelled(outcome) || matches!(outcome, BatchOutcome::Succeeded(_)))
        );
        assert!(matches!(batches.status("batch_of_nobody").await, Err(error) if error.status == Some(404)));
        running.stop().await;
    };
    join_all(MODELS.map(trip)).await;
}

#[tokio::test]
async fn a_file_larger_than_a_chunk_arrives_whole() {
    let (running, providers) = start(Duration::from_millis(100)).await;
    let batches = providers.batches("gemini").unwrap();
    let mut requests = requests(MODELS[2], 10);
    for request in &mut requests {
        request.system = Some("겨울 ".repeat(130_000));
    }
    let (spec, asks) = asks(&batches, &requests);
    assert!(spec.bytes > 9_000_000);
    let (created, _) = send(&batches, &spec, &asks).await;
    let job = ended(&batches, &created.id).await;
    let (results, error) = read(&batches, &job).await;
    assert_eq!((error, results.len()), (None, 10), "{job:?}");
    assert!(results.iter().all(|result| result.custom_id.starts_with(TOKEN)));
    running.stop().await;
}
