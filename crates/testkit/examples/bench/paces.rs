//! The same broadcast of 24 asks at pace now, flex and batch: what each costs, what it saves and how long it takes.
//! Refuses to pass the emulator's times off as a provider's: they are settings, and shown beside the figures.

use crate::{
    figures::round,
    http::{Connection, request},
    postgres::Postgres,
    say,
    stand::{emulate, migrate, until_ready},
};
use anyhow::{Context as _, ensure};
use cli::servers::Servers;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};
use testkit::process::{self, Process};

/// How long the emulator takes for an answer, and for a batch.
const ANSWER_MS: u64 = 500;
const BATCH_MS: u64 = 3_000;
/// How long an ask waits for others.
const WINDOW_SECONDS: &str = "1";
/// How long one order may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Gives the three orders, one after the other.
pub(crate) async fn measured(folder: &Path, servers: &Servers) -> anyhow::Result<Value> {
    let address = process::free_address();
    let times = [ANSWER_MS.to_string(), BATCH_MS.to_string()];
    let [answer, batch] = &times;
    let _emulating = emulate(address, &["--delay-ms", answer, "--batch-ms", batch]).await?;
    let gateway = process::free_address();
    let key = folder.join("paces.key");
    let mut variables: BTreeMap<String, String> = [
        ("DATABASE_URL", servers.database_url.clone()),
        ("REDIS_URL", servers.redis_url.clone()),
        ("REDIS_PREFIX", "paces:".to_owned()),
        ("LOG", "warn".to_owned()),
        ("ADMIN_ADDR", "127.0.0.1:0".to_owned()),
        ("GATEWAY_ADDR", gateway.to_string()),
        ("FIRST_KEY_FILE", key.display().to_string()),
        ("ANTHROPIC_BASE_URL", format!("http://{address}")),
        ("ANTHROPIC_API_KEY", "emulated".to_owned()),
        ("OPENAI_BASE_URL", format!("http://{address}/v1")),
        ("OPENAI_API_KEY", "emulated".to_owned()),
        ("GEMINI_BASE_URL", format!("http://{address}")),
        ("GEMINI_API_KEY", "emulated".to_owned()),
        ("BATCH_WINDOW_SECONDS", WINDOW_SECONDS.to_owned()),
    ]
    .map(|(name, text)| (name.to_owned(), text))
    .into();
    migrate(&variables).await?;
    let mut services = Vec::new();
    for name in ["gateway", "orchestrator", "batch-poller"] {
        let admin = process::free_address();
        variables.insert("ADMIN_ADDR".to_owned(), admin.to_string());
        let mut service = Process::start(name, &variables, &folder.join(format!("paces-{name}.log")));
        until_ready(name, &mut service, admin).await?;
        services.push((name, service));
    }
    let bearer = format!("Bearer {}", fs::read_to_string(key).context("the first key")?.trim());
    let postgres = Postgres::open(&servers.database_url).await?;
    let mut connection = Connection::open(gateway).await?;
    let mut shown = Vec::new();
    for pace in ["now", "flex", "batch"] {
        say(&format!("a broadcast at pace {pace}"));
        let body = json!({ "title": "애견호텔의 겨울 예약을 늘릴 방법을 보고서로 써줘", "playbook": "broadcast", "pace": pace });
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", pace)];
        let start = Instant::now();
        let answer = connection.send(&request("/api/tasks", &headers, Some(&body.to_string()))).await?;
        let said: Value = serde_json::from_slice(answer.body)?;
        let id = said.pointer("/id").and_then(Value::as_str).context("the order has an id")?.to_owned();
        until_completed(&postgres, &id).await?;
        let took = start.elapsed();
        let of = format!("from charges c join tasks t on t.id = c.task_id where t.root_id = '{id}'");
        let asks = postgres.number(&format!("count(*) {of}")).await?;
        let nanos = postgres.number(&format!("sum(nanos)::float8 {of}")).await?;
        let list = postgres.number(&format!("sum(list_nanos)::float8 {of}")).await?;
        let batches =
            postgres.number(&format!("count(distinct batch_id) from batch_items where root_id = '{id}'")).await?;
        shown.push(json!({
            "pace": pace, "asks": asks, "batches": batches, "dollars": nanos / 1e9, "at_pace_now": list / 1e9,
            "saved_of_a_hundred": round((1.0 - nanos / list) * 100.0), "seconds": round(took.as_secs_f64()),
        }));
    }
    for (name, service) in &mut services {
        let status = service.stop().await;
        ensure!(status.success(), "{name} ended with {status}: {}", service.said());
    }
    Ok(
        json!({ "emulated": { "answer_ms": ANSWER_MS, "batch_ms": BATCH_MS, "window_seconds": WINDOW_SECONDS }, "broadcasts": shown }),
    )
}

async fn until_completed(postgres: &Postgres, id: &str) -> anyhow::Result<()> {
    let start = Instant::now();
    let question =
        format!("(state = 'completed')::int - (state in ('failed', 'cancelled'))::int from tasks where id = '{id}'");
    loop {
        let ended = postgres.number(&question).await?;
        ensure!(ended >= 0.0, "the order failed");
        if ended > 0.0 {
            return Ok(());
        }
        ensure!(start.elapsed() < PATIENCE, "the order did not end within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
