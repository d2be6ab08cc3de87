//! A hundred thousand asks at pace batch through one batch-poller: how fast they are sent and taken back, and how much
//! memory that takes, beside the bare request, the bare answer and the bare writes of the same run. Refuses to count
//! the time that the provider takes: the emulator has none here.

use crate::{
    figures::{ratio, real, round},
    http::status_of,
    postgres::Postgres,
    redis::Redis,
    say,
    stand::{emulate, migrate, until_ready},
    usage,
};
use anyhow::{Context as _, ensure};
use cli::servers::Servers;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};
use testkit::process::{self, Process};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

/// How long anything of it may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// What Anthropic takes in a batch.
const FULL: usize = 100_000;
/// Names that are announced in one go.
const SLICE: usize = 500;
/// What the poller may need above its idle memory.
const MEMORY_MB: f64 = 64.0;
/// How many items a second each half must manage.
const PER_SECOND: f64 = 20_000.0;

/// One root and its asks, as the orchestrator would have queued them.
const ASKS: &str = "
    insert into tasks (id, root_id, kind, state, title, pace, announced_at)
    values ('00000000-0000-7000-8000-000000000000', '00000000-0000-7000-8000-000000000000', 'plan', 'in_progress',
        '겨울 예약', 'batch', now());
    insert into tasks (id, root_id, parent_id, step, item, kind, state, title, agent, pace, work, announced_at, queued_at)
    select gen_random_uuid(), r.id, r.id, 'ask', n, 'ask', 'queued', '질문 ' || n, 'assistant', 'batch',
        json_build_object('kind', 'ask', 'system', 'You answer briefly, in the language of the order.',
            'prompt', '주문 ' || n || ': 애견호텔의 겨울 예약을 늘릴 방법을 한 줄로 써줘.',
            'models', json_build_array('anthropic/claude-haiku-4-5'), 'max_tokens', 200, 'retry', 0,
            'timeout_ms', 60000),
        now(), now()
    from tasks r, generate_series(1, {items}) n
    where r.id = '00000000-0000-7000-8000-000000000000'";

/// The writes that settling cannot do without, in tables of their own: the task, the item, the charge.
const BARE: &str = "
    create schema if not exists bare;
    create table bare.tasks (like tasks including all);
    create table bare.items (like batch_items including all);
    create table bare.charges (like charges including all);
    insert into bare.tasks select * from tasks where kind = 'ask';
    update bare.tasks set state = 'in_progress', result = null, ended_at = null;
    insert into bare.items select * from batch_items;
    update bare.items set state = 'submitted', body = repeat('x', bytes);";
const WRITES: &str = "
    update bare.tasks set state = 'completed', result = '{\"text\":\"한 줄\",\"data\":null}', ended_at = now();
    insert into bare.charges select * from charges;
    update bare.items set state = 'succeeded', body = null, nanos = 1, list_nanos = 2, ended_at = now();";

/// Measures one batch of so many items.
pub(crate) async fn measured(folder: &Path, servers: &Servers, items: usize) -> anyhow::Result<Value> {
    let noise = usage::load_average();
    let address = process::free_address();
    let _emulating = emulate(address, &["--brief", "--batch-ms", "0", "--ledger-cap", "0"]).await?;
    let admin = process::free_address();
    let variables: BTreeMap<String, String> = [
        ("DATABASE_URL", servers.database_url.clone()),
        ("REDIS_URL", servers.redis_url.clone()),
        ("LOG", "warn".to_owned()),
        ("ADMIN_ADDR", admin.to_string()),
        ("ANTHROPIC_BASE_URL", format!("http://{address}")),
        ("ANTHROPIC_API_KEY", "emulated".to_owned()),
        ("BATCH_WINDOW_SECONDS", "3600".to_owned()),
        ("BATCH_POLL_SECONDS", "1".to_owned()),
    ]
    .map(|(name, text)| (name.to_owned(), text))
    .into();
    migrate(&variables).await?;
    let postgres = Postgres::open(&servers.database_url).await?;
    let socket = servers.redis_url.strip_prefix("redis+unix://").context("no socket")?;
    let mut redis = Redis::open(Path::new(socket)).await?;
    postgres.run("truncate tasks, charges, batches cascade").await?;
    say(&format!("writing {items} asks"));
    postgres.run(&ASKS.replace("{items}", &items.to_string())).await?;
    postgres.run("vacuum analyze tasks").await?;

    let mut poller = Process::start("batch-poller", &variables, &folder.join("batch-poller.log"));
    until_ready("batch-poller", &mut poller, admin).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let idle = memory(&poller, "VmRSS:")?;
    let used = usage::cpu(poller.id()).context("the batch-poller has ended")?;

    say("collecting");
    let start = Instant::now();
    announce(&postgres, &mut redis).await?;
    until(&postgres, "every ask is collected", "count(*) from batch_items", real(items)).await?;
    let collect = start.elapsed().as_secs_f64();
    // A full group goes by itself.
    if !items.is_multiple_of(FULL) {
        postgres.run("update batch_items set flush = true where state = 'queued'").await?;
        let nobody = uuid::Uuid::nil();
        redis.ask(&format!("XADD chavion:tasks.batch * id {nobody} kind flush traceparent \"\" sent_at 0")).await?;
    }
    say("sending and taking back");
    until(&postgres, "every batch is settled", "count(*) from batches where settled_at is not null", batches(items))
        .await?;
    let took = |from: &str, to: &str| format!("max(extract(epoch from {to} - {from}))::float8 from batches");
    let submit = postgres.number(&took("created_at", "submitted_at")).await?;
    let settle = postgres.number(&took("ended_at", "settled_at")).await?;
    let peak = memory(&poller, "VmHWM:")?;
    let cpu = usage::cpu(poller.id()).context("the batch-poller has ended")? - used;
    let done = postgres.number("count(*) from tasks where kind = 'ask' and state = 'completed'").await?;
    let booked = postgres.number("count(*) from charges where pace = 'batch' and nanos > 0").await?;
    ensure!(
        done == real(items) && booked == real(items),
        "{done} completed and {booked} booked of {items}: {}",
        poller.said()
    );

    say("baselines: the bare request, the bare answer, the bare writes");
    let (sent, read) = wire(address, items).await?;
    postgres.run(BARE).await?;
    let start = Instant::now();
    postgres.run(WRITES).await?;
    let writes = start.elapsed().as_secs_f64();
    let status = poller.stop().await;
    ensure!(status.success(), "the batch-poller ended with {status}: {}", poller.said());

    let half = |seconds: f64, bare: f64| {
        let rate = ratio(real(items), seconds);
        json!({ "seconds": round(seconds), "per_second": rate.round(), "times_bare": ratio(seconds, bare),
            "at_least": PER_SECOND, "met": rate >= PER_SECOND })
    };
    Ok(json!({
        "items": items,
        "load_before": noise,
        "collect": { "seconds": round(collect), "per_second": ratio(real(items), collect).round() },
        "build_and_submit": half(submit, sent),
        "fetch_and_settle": half(settle, read + writes),
        "memory_mb": { "idle": idle, "peak": peak, "above": round(peak - idle), "at_most": MEMORY_MB, "met": peak - idle <= MEMORY_MB },
        "batch_poller_cpu_seconds": round(cpu),
        "baseline_seconds": { "bare_request": round(sent), "bare_answer": round(read), "bare_writes": round(writes) },
    }))
}

fn batches(items: usize) -> f64 {
    real(items.div_ceil(FULL))
}

/// Names every ask on the poller's stream.
async fn announce(postgres: &Postgres, redis: &mut Redis) -> anyhow::Result<()> {
    let names = postgres.texts("select id::text from tasks where kind = 'ask'").await?;
    for slice in names.chunks(SLICE) {
        for id in slice {
            redis.say(&format!("XADD chavion:tasks.batch * id {id} kind ask traceparent \"\" sent_at 0")).await?;
        }
        for _ in slice {
            redis.hear().await?;
        }
    }
    Ok(())
}

async fn until(postgres: &Postgres, what: &str, question: &str, wanted: f64) -> anyhow::Result<()> {
    let start = Instant::now();
    while postgres.number(question).await? < wanted {
        ensure!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn memory(process: &Process, field: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()))?;
    Ok(round(usage::number(&status, field).context("no memory")? * 1024.0 / 1e6))
}

/// Sends a prepared body of so many requests to the emulator and reads all results back, discarding them: what the
/// wire and the provider take of the time.
async fn wire(address: SocketAddr, items: usize) -> anyhow::Result<(f64, f64)> {
    let mut body = String::from("{\"requests\":[");
    for number in 0..items {
        if number > 0 {
            body.push(',');
        }
        body.push_str(&format!(
            "{{\"custom_id\":\"{:032x}-001-{number:06}\",\"params\":{{\"model\":\"claude-haiku-4-5\",\"max_tokens\":200,\
             \"system\":\"You answer briefly, in the language of the order.\",\"messages\":[{{\"role\":\"user\",\
             \"content\":\"주문 {number}: 애견호텔의 겨울 예약을 늘릴 방법을 한 줄로 써줘.\"}}]}}}}",
            0
        ));
    }
    body.push_str("]}");
    let head = |method: &str, path: &str, length: usize| {
        format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nx-api-key: emulated\r\nanthropic-version: 2023-06-01\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        )
    };
    let start = Instant::now();
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(head("POST", "/v1/messages/batches", body.len()).as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let sent = start.elapsed().as_secs_f64();
    ensure!(status_of(&answer)? == 200, "the bare batch was refused: {answer:.300}");
    let id = answer.split("msgbatch_").nth(1).and_then(|rest| rest.split('"').next()).context("a batch has an id")?;
    let start = Instant::now();
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(head("GET", &format!("/v1/messages/batches/msgbatch_{id}/results"), 0).as_bytes()).await?;
    let mut lines = 0_usize;
    let mut reader = BufReader::with_capacity(1 << 16, stream);
    let mut piece = vec![0; 1 << 16];
    loop {
        let length = reader.read(&mut piece).await?;
        if length == 0 {
            break;
        }
        lines += piece.iter().take(length).filter(|byte| **byte == b'\n').count();
    }
    ensure!(lines >= items, "{lines} lines of {items} came back");
    Ok((sent, start.elapsed().as_secs_f64()))
}
