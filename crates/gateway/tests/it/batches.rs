//! Batches over HTTP: what waits, where each stands, what it saves, and what its master wants of it.

use crate::server::{Server, fields, told};
use bus::{EVENTS, Entry, EventId, Topic};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

const BATCH: Topic = Topic::new("tasks.batch", "batch-poller");

/// The asks of an order that wait for a batch of the provider; returns the order.
async fn waiting(server: &Server, provider: &str, asks: u32) -> Uuid {
    let root = server.order("애견호텔 겨울 예약 🐾", Some("report")).await;
    server
        .sql(&format!(
            "update tasks set state = 'in_progress' where id = '{root}';
             insert into tasks (id, root_id, parent_id, step, item, kind, state, title, pace, attempt, agent, queued_at)
             select gen_random_uuid(), '{root}', '{root}', 'ask', n, 'ask', 'in_progress', '분석 ' || n, 'batch', 1, 'writer', now()
             from generate_series(1, {asks}) n;
             insert into batch_items (task_id, attempt, root_id, grp, provider, model, body, bytes, estimate_nanos)
             select id, 1, root_id, '{provider}', '{provider}', 'm', '{{}}', 100, 5000 from tasks where parent_id = '{root}';"
        ))
        .await;
    root
}

/// Puts all that waits for the provider into a batch in that state.
async fn batch(server: &Server, provider: &str, state: &str) -> Uuid {
    let id = Uuid::now_v7();
    server
        .sql(&format!(
            "insert into batches (id, provider, state, items, bytes, remote_id, remote_state, done_items, submitted_at, expires_at)
             select '{id}', '{provider}', '{state}', count(*), 300, 'msgbatch_1', 'in_progress', 1, now() - interval '1 minute',
                 now() + interval '1 day'
             from batch_items where state = 'queued' and provider = '{provider}';
             update batch_items i set state = 'submitted', batch_id = '{id}', seq = n.seq
             from (select task_id, row_number() over () - 1 as seq from batch_items where state = 'queued') n
             where i.task_id = n.task_id and i.provider = '{provider}'"
        ))
        .await;
    id
}

/// Has every ask of a batch answered, for a thousand nano-dollars each instead of two thousand.
async fn answer(server: &Server, batch: Uuid) {
    server
        .sql(&format!(
            "insert into charges (task_id, attempt, agent, provider, model, pace, input, cache_read, cache_write,
                 cache_write_hour, output, nanos, list_nanos, emulated)
             select task_id, attempt, 'writer', provider, model, 'batch', 1, 0, 0, 0, 1, 1000, 2000, false
             from batch_items where batch_id = '{batch}';
             update tasks set state = 'completed', result = '{{\"text\": \"끝\"}}', ended_at = now()
             where id in (select task_id from batch_items where batch_id = '{batch}');
             update batch_items set state = 'succeeded', nanos = 1000, list_nanos = 2000, ended_at = now() where batch_id = '{batch}';
             update batches set state = 'settled', ended_at = now(), settled_at = now() where id = '{batch}'"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_followed_through_its_batch() {
    let server = Server::start().await;
    let root = waiting(&server, "anthropic", 3).await;

    let page = server.get("/api/batches").await;
    assert_eq!((page["batches"].as_array().unwrap().len(), &page["next"]), (0, &Value::Null));
    let group = &page["waiting"][0];
    assert_eq!((&group["group"], &group["items"], &group["flush"]), (&json!("anthropic"), &json!(3), &json!(false)));
    assert_eq!(group["estimate"], json!({"nanos": 15_000, "usd": "$0.000015"}));
    assert_eq!(server.get("/api/batches?provider=openai").await["waiting"], json!([]));
    let tree = server.get(&format!("/api/tasks/{root}/tree")).await;
    assert_eq!(tree["children"][0]["batches"][0]["state"], "queued");
    assert_eq!(tree["batches"].as_array().unwrap().len(), 1, "the order waits for one thing: {tree}");

    let id = batch(&server, "anthropic", "running").await;
    let other = waiting(&server, "openai", 1).await;
    let page = server.get("/api/batches?live=true").await;
    let shown = &page["batches"][0];
    assert_eq!(
        (&shown["id"], &shown["state"], &shown["remote_id"]),
        (&json!(id), &json!("running"), &json!("msgbatch_1"))
    );
    assert_eq!((&shown["items"], &shown["done"], &shown["counts"]["submitted"]), (&json!(3), &json!(1), &json!(3)));
    assert_eq!(shown["counts"].as_object().unwrap().len(), 7, "every state is there");
    assert_eq!((&shown["cost"]["usd"], &shown["saved"]["usd"]), (&json!("$0.00"), &json!("$0.00")));
    assert!(shown["expected_at"].is_null() && shown["expires_at"].is_string(), "nothing is known yet: {shown}");
    assert_eq!(page["waiting"][0]["group"], "openai");
    let task = server.get(&format!("/api/tasks/{root}")).await;
    assert_eq!((&task["batches"][0]["batch"], &task["batches"][0]["state"]), (&json!(id), &json!("running")));
    let part = tree["children"][0]["id"].as_str().unwrap();
    let part = server.get(&format!("/api/tasks/{part}")).await;
    assert_eq!((&part["pace"], &part["batches"][0]["batch"]), (&json!("batch"), &json!(id)));
    assert_eq!(server.get(&format!("/api/tasks/{other}")).await["batches"][0]["batch"], Value::Null);

    let detail = server.get(&format!("/api/batches/{id}")).await;
    assert_eq!(
        (&detail["orders_total"], &detail["orders"][0]["id"], &detail["orders"][0]["items"]),
        (&json!(1), &json!(root), &json!(3))
    );
    assert_eq!(detail["orders"][0]["title"], "애견호텔 겨울 예약 🐾");
    let status = server.get("/api/status").await;
    assert_eq!(status["batches"], json!({"waiting": 1, "running": 1, "items": 3, "done": 1, "settling": 0}));

    answer(&server, id).await;
    let shown = &server.get("/api/batches?state=settled&provider=anthropic").await["batches"][0];
    assert_eq!(
        (&shown["cost"]["nanos"], &shown["list_cost"]["nanos"], &shown["saved"]["usd"]),
        (&json!(3_000), &json!(6_000), &json!("$0.000003"))
    );
    assert_eq!((&shown["done"], &shown["expected_at"]), (&json!(3), &Value::Null));
    let tree = server.get(&format!("/api/tasks/{root}/tree")).await;
    assert_eq!(
        (&tree["saved"]["nanos"], &tree["children"][0]["saved"]["nanos"], &tree["batches"]),
        (&json!(3_000), &json!(1_000), &json!([]))
    );
    let results = server.get(&format!("/api/tasks/{root}/results")).await;
    assert_eq!(
        (&results["cost"]["nanos"], &results["saved"]["nanos"], &results["parts"][0]["list_cost"]["nanos"]),
        (&json!(3_000), &json!(3_000), &json!(2_000))
    );
    testkit::until("the picture is a new one", async || server.get("/api/status").await["batches"]["running"] == 0)
        .await;
    let status = server.get("/api/status").await;
    for money in ["money_today", "money_total"] {
        assert_eq!(
            (&status[money]["cost"]["nanos"], &status[money]["saved"]["nanos"]),
            (&json!(3_000), &json!(3_000)),
            "{status}"
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_flushed_and_what_runs_is_cancelled() {
    let server = Server::start().await;
    let bus = server.servers.bus();
    bus.declare(&[BATCH]);
    let depth = async || bus.depths().await.unwrap()[0].waiting;
    let (status, body) = server.post("/api/batches/flush", &json!({})).await;
    assert_eq!((status, body), (StatusCode::OK, json!({"groups": [], "items": 0})));
    server.store.roster_put(&roster()).await.unwrap();
    waiting(&server, "openai", 2).await;
    let (status, body) = server.post("/api/batches/flush", &json!({"provider": "anthropic"})).await;
    assert_eq!((status, &body["items"]), (StatusCode::OK, &json!(0)));
    assert_eq!(depth().await, 0, "nobody is woken for nothing");
    let (status, body) = server.post("/api/batches/flush", &json!({"provider": "openai"})).await;
    assert_eq!((status, &body["groups"]), (StatusCode::OK, &json!([{"group": "openai", "items": 2}])));
    assert_eq!(server.get("/api/batches").await["waiting"][0]["flush"], true);
    testkit::until("the batch-poller is woken", async || depth().await == 1).await;

    let id = batch(&server, "openai", "running").await;
    let path = format!("/api/batches/{id}/cancel");
    let request =
        || server.request(Method::POST, &path).header("idempotency-key", "cancel-1").json(&json!({"then": "batch"}));
    let (status, first) = told(request().send().await.unwrap()).await;
    assert_eq!(
        (status, &first["cancel"]["then"], &first["state"]),
        (StatusCode::OK, &json!("batch"), &json!("running"))
    );
    assert_eq!(told(request().send().await.unwrap()).await, (StatusCode::OK, first), "the same answer again");
    let (_, again) = server.post(&path, &json!({})).await;
    assert_eq!(again["cancel"]["then"], "now", "the last word counts");
    testkit::until("the batch-poller is told", async || depth().await == 3).await;
    server.sql("update batches set state = 'ended', ended_at = now()").await;
    let (status, body) = server.post(&path, &json!({"then": "cancel"})).await;
    assert_eq!(
        (status, &body["code"], &body["state"]),
        (StatusCode::CONFLICT, &json!("already_ended"), &json!("ended"))
    );

    for (path, body, named) in [
        (path.as_str(), json!({"then": "later"}), vec!["then"]),
        (path.as_str(), json!({"then": 7, "why": "x"}), vec!["then", "why"]),
        ("/api/batches/flush", json!({"provider": ""}), vec!["provider"]),
        ("/api/batches/flush", json!({"provider": "nobody"}), vec!["provider"]),
        ("/api/batches/flush", json!({"provider": ["openai"]}), vec!["provider"]),
        ("/api/batches/flush", json!([]), vec![""]),
    ] {
        let (status, problem) = server.post(path, &body).await;
        assert_eq!((status.as_u16(), fields(&problem)), (422, named), "{body}: {problem}");
        assert!(!problem["errors"][0]["expected"].as_str().unwrap().is_empty());
    }
    let (_, viewer) = server.key("viewer", None).await;
    for path in [path.as_str(), "/api/batches/flush"] {
        assert_eq!(server.post_as(&viewer, path, &json!({})).await.0, StatusCode::FORBIDDEN, "{path}");
    }
    let list = server.client.get(server.url("/api/batches")).bearer_auth(&viewer).send().await.unwrap();
    assert_eq!(list.status(), StatusCode::OK);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_batches_follow_each_other() {
    let server = Server::start().await;
    server
        .sql(
            "insert into batches (id, provider, state, items, bytes, cleaned_at, ended_at)
             select lpad(to_hex(n), 32, '0')::uuid, (array['openai', 'gemini'])[n % 2 + 1], 'settled', 1, 1, now(), now()
             from generate_series(1, 45) n",
        )
        .await;
    let (mut seen, mut path) = (Vec::new(), "/api/batches?limit=20".to_owned());
    loop {
        let page = server.get(&path).await;
        seen.extend(page["batches"].as_array().unwrap().iter().map(|batch| batch["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => path = format!("/api/batches?limit=20&cursor={next}"),
            None => break,
        }
    }
    assert!(seen.len() == 45 && seen.is_sorted_by(|one, next| one > next));
    let page = server.get("/api/batches?limit=3&provider=gemini").await;
    let next = page["next"].as_str().unwrap();
    let other = server.request(Method::GET, &format!("/api/batches?limit=3&cursor={next}")).send().await.unwrap();
    assert_eq!(fields(&told(other).await.1), ["cursor"], "a cursor belongs to its list");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_batches_and_blackouts_carry_their_facts() {
    let server = Server::start().await;
    let bus = server.servers.bus();
    let root = waiting(&server, "anthropic", 2).await;
    let id = batch(&server, "anthropic", "running").await;
    server.store.blackout_put("openai", "quota", "한도 초과").await.unwrap();
    // The order is answered before its own event is told: only what comes behind that is this test's.
    let told = async || bus.range(&EVENTS, EventId::START, 100).await.unwrap().events;
    testkit::until("the order's event is told", async || !told().await.is_empty()).await;
    let before = told().await.last().unwrap().0;
    let entries = [
        Entry::new(id, "batch.running", None),
        Entry::new(Uuid::now_v7(), "batch.settled", None),
        Entry::new(id, "batch.<script>", None),
        Entry::new(root, "task.in_progress", None),
        Entry::new(Uuid::nil(), "blackout.begun", None),
        Entry::new(Uuid::nil(), "nothing", None),
    ];
    bus.publish(&EVENTS, &entries).await.unwrap();
    let read = async |query: &str| {
        let path = format!("/api/events?after={before}{query}");
        let mut response = server.request(Method::GET, &path).send().await.unwrap();
        let (mut text, mut last) = (String::new(), Vec::new());
        // The order's event is in every list, and `blackout.begun`, where it is wanted, comes behind it.
        let end = if query.is_empty() { "blackout.begun" } else { "task.in_progress" };
        while last.last() != Some(&end.to_owned()) {
            let chunk = tokio::time::timeout(testkit::PATIENCE, response.chunk()).await.unwrap().unwrap().unwrap();
            text.push_str(std::str::from_utf8(&chunk).unwrap());
            let whole = text.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
            last = whole.lines().filter_map(|line| Some(line.strip_prefix("event: ")?.to_owned())).collect();
        }
        (last, text)
    };
    let (kinds, text) = read("").await;
    assert_eq!(kinds, ["ready", "batch.running", "task.in_progress", "blackout.begun"]);
    let data: Vec<Value> =
        text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect();
    assert_eq!(
        (&data[1]["batch"], &data[1]["provider"], &data[1]["items"], &data[1]["done"]),
        (&json!(id), &json!("anthropic"), &json!(2), &json!(1))
    );
    assert_eq!((&data[1]["state"], &data[1]["saved"]["usd"]), (&json!("running"), &json!("$0.00")));
    assert_eq!((&data[2]["held_for"], &data[2]["pace"]), (&Value::Null, &json!("now")));
    assert_eq!(data[3]["blackouts"][0]["reason"], "한도 초과");
    for query in [format!("&root={root}"), "&roots=true".to_owned()] {
        assert_eq!(read(&query).await.0, ["ready", "task.in_progress"], "{query}");
    }
    server.stop().await;
}

pub(crate) fn roster() -> domain::roster::Roster {
    domain::roster::Roster::parse(
        "agents.toml",
        r#"
[[departments]]
name = "marketing"
title = "마케팅"
purpose = "손님을 부른다"
head = "lead"
specialists = ["writer"]
keywords = ["광고"]

[[agents]]
name = "lead"
title = "팀장"
system = "이끈다"
models = ["anthropic/claude"]

[[agents]]
name = "writer"
title = "작가"
system = "글을 쓴다"
models = ["openai/gpt", "anthropic/claude"]
"#,
    )
    .unwrap()
}
