//! Budgets and blackouts over HTTP: made, raised, removed, and what goes on because of it.

use crate::{
    batches::roster,
    server::{Server, fields, told},
};
use bus::Topic;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

const ASK: Topic = Topic::new("tasks.ask", "orchestrator");
const BATCH: Topic = Topic::new("tasks.batch", "batch-poller");

async fn start() -> Server {
    let server = Server::start().await;
    server.store.roster_put(&roster()).await.unwrap();
    server
}

/// An order with an ask that is held; returns both.
async fn held(server: &Server, budget: &str, held_for: &str, pace: &str) -> (Uuid, Uuid) {
    let body = json!({"title": "겨울 예약", "playbook": "report", "budget": budget});
    let (status, body) = server.post("/api/tasks", &body).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    let (root, ask): (Uuid, Uuid) = (body["id"].as_str().unwrap().parse().unwrap(), Uuid::now_v7());
    server
        .sql(&format!(
            "update tasks set state = 'in_progress' where id = '{root}';
             insert into tasks (id, root_id, parent_id, step, kind, state, title, pace, attempt, agent, held_for, held_nanos, held_provider, progress)
             values ('{ask}', '{root}', '{root}', 'ask', 'ask', 'held', '분석', '{pace}', 1, 'writer', '{held_for}', 30000000, 'openai', '모자랍니다')"
        ))
        .await;
    (root, ask)
}

async fn delete(server: &Server, path: &str) -> (StatusCode, Value) {
    told(server.request(Method::DELETE, path).send().await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_is_held_goes_on_when_its_budget_is_raised() {
    let server = start().await;
    let bus = server.servers.bus();
    bus.declare(&[ASK, BATCH]);
    let (root, ask) = held(&server, "0.01", "budget", "batch").await;
    let task = server.get(&format!("/api/tasks/{ask}")).await;
    assert_eq!(
        (&task["state"], &task["held_for"], &task["held"]["usd"]),
        (&json!("held"), &json!("budget"), &json!("$0.03"))
    );
    assert_eq!((&task["held_provider"], &task["progress"]), (&json!("openai"), &json!("모자랍니다")));
    let status = server.get(&format!("/api/tasks/{ask}/status")).await;
    assert_eq!((&status["held_for"], &status["held"]["nanos"]), (&json!("budget"), &json!(30_000_000)));
    assert_eq!(server.get(&format!("/api/tasks/{root}")).await["budget"]["usd"], "$0.01");

    let set = |limit: &str| json!({"scope": "order", "name": root, "limit": limit});
    let (status, body) = server.post("/api/budgets", &set("0.02")).await;
    assert_eq!(
        (status, &body["before"]["usd"], &body["released"]),
        (StatusCode::OK, &json!("$0.01"), &json!([])),
        "{body}"
    );
    let (status, body) = server.post("/api/budgets", &set("5.00")).await;
    assert_eq!(
        (status, &body["limit"]["usd"], &body["released"]),
        (StatusCode::OK, &json!("$5.00"), &json!([ask])),
        "{body}"
    );
    assert_eq!((&body["title"], &body["order_state"]), (&json!("겨울 예약"), &json!("in_progress")));
    let task = server.get(&format!("/api/tasks/{ask}")).await;
    assert_eq!((&task["state"], &task["held_for"], &task["held"]), (&json!("queued"), &Value::Null, &Value::Null));
    let waiting = async || bus.depths().await.unwrap().iter().map(|depth| depth.waiting).collect::<Vec<_>>();
    testkit::until("the batch-poller is told", async || waiting().await == [0, 1]).await;

    // Without a budget there is nothing to wait for.
    let (root, ask) = held(&server, "0.01", "budget", "now").await;
    let (status, body) = delete(&server, &format!("/api/budgets/order/{root}/total")).await;
    assert_eq!(
        (status, &body["before"]["usd"], &body["released"]),
        (StatusCode::OK, &json!("$0.01"), &json!([ask])),
        "{body}"
    );
    assert_eq!(delete(&server, &format!("/api/budgets/order/{root}/total")).await.0, StatusCode::NOT_FOUND);
    testkit::until("the orchestrator is told", async || waiting().await == [1, 1]).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn masters_that_raise_at_once_release_a_task_once() {
    let server = start().await;
    let (root, ask) = held(&server, "0.01", "budget", "now").await;
    let raise = |number: usize| {
        let server = &server;
        async move {
            server
                .post("/api/budgets", &json!({"scope": "order", "name": root, "limit": format!("{}", number + 1)}))
                .await
        }
    };
    let answers = futures_util::future::join_all((0..6).map(raise)).await;
    let mut released = Vec::new();
    for (status, body) in &answers {
        assert_eq!(*status, StatusCode::OK, "{body}");
        released.extend(body["released"].as_array().unwrap().clone());
    }
    assert_eq!(released, [json!(ask)]);
    let limit = server.get(&format!("/api/budgets/order/{root}/total")).await["limit"]["nanos"].as_i64().unwrap();
    assert!(limit % 1_000_000_000 == 0 && (1..=6).contains(&(limit / 1_000_000_000)));

    // Who makes one at once with another makes the same one.
    let make = |number: usize| {
        let server = &server;
        async move {
            server
                .post("/api/budgets", &json!({"scope": "all", "period": "day", "limit": format!("{}.5", number + 1)}))
                .await
        }
    };
    let answers = futures_util::future::join_all((0..6).map(make)).await;
    assert!(answers.iter().all(|(status, _)| status.is_success()), "{answers:?}");
    assert_eq!(server.get("/api/budgets?scope=all").await["budgets"].as_array().unwrap().len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_budgets_are_told_what_would_be_right() {
    let server = start().await;
    let root = server.order("주문", Some("report")).await;
    let part = Uuid::now_v7();
    server
        .sql(&format!(
            "insert into tasks (id, root_id, parent_id, step, kind, state, title) values ('{part}', '{root}', '{root}', 'a', 'ask', 'pending', '부분')"
        ))
        .await;
    let unknown = Uuid::now_v7();
    let good = |name: &str, value: Value| {
        let mut body = json!({"scope": "agent", "name": "writer", "period": "day", "limit": "1"});
        body[name] = value;
        body
    };
    let cases: Vec<(Value, Vec<&str>)> = vec![
        (json!({}), vec!["scope", "name", "limit"]),
        (json!([]), vec![""]),
        (good("scope", json!("me")), vec!["scope"]),
        (good("scope", json!(7)), vec!["scope"]),
        (good("name", json!("nobody")), vec!["name"]),
        (good("name", json!("")), vec!["name"]),
        (good("name", json!({})), vec!["name"]),
        (good("name", json!("가".repeat(65))), vec!["name"]),
        (good("period", json!("week")), vec!["period"]),
        (good("limit", json!(12.5)), vec!["limit"]),
        (good("limit", json!(null)), vec!["limit"]),
        (good("limit", json!("0")), vec!["limit"]),
        (good("limit", json!("0.000")), vec!["limit"]),
        (good("limit", json!("-5")), vec!["limit"]),
        (good("limit", json!("+5")), vec!["limit"]),
        (good("limit", json!("1e3")), vec!["limit"]),
        (good("limit", json!("1,000")), vec!["limit"]),
        (good("limit", json!("백")), vec!["limit"]),
        (good("limit", json!("１")), vec!["limit"]),
        (good("limit", json!("")), vec!["limit"]),
        (good("limit", json!(".")), vec!["limit"]),
        (good("limit", json!("NaN")), vec!["limit"]),
        (good("limit", json!("0.0000000001")), vec!["limit"]),
        (good("limit", json!("9".repeat(400))), vec!["limit"]),
        (good("limit", json!("1\u{0}")), vec!["limit"]),
        (good("currency", json!("KRW")), vec!["currency"]),
        (json!({"scope": "provider", "name": "nobody", "limit": "1"}), vec!["name"]),
        (json!({"scope": "all", "name": "openai", "limit": "1"}), vec!["name"]),
        (json!({"scope": "order", "name": "7", "limit": "1"}), vec!["name"]),
        (json!({"scope": "order", "name": unknown, "limit": "1"}), vec!["name"]),
        (json!({"scope": "order", "name": part, "limit": "1"}), vec!["name"]),
    ];
    for (body, named) in cases {
        let (status, problem) = server.post("/api/budgets", &body).await;
        assert_eq!((status.as_u16(), &problem["code"]), (422, &json!("invalid")), "{body}: {problem}");
        assert_eq!(fields(&problem), named, "{body}: {problem}");
        for wrong in problem["errors"].as_array().unwrap() {
            assert!(!wrong["problem"].as_str().unwrap().is_empty() && !wrong["expected"].as_str().unwrap().is_empty());
        }
    }
    let (_, problem) = server.post("/api/budgets", &json!({"scope": "provider", "name": "opanai", "limit": "1"})).await;
    assert_eq!(problem["known"], json!(["anthropic", "openai"]));
    let (_, problem) = server.post("/api/budgets", &json!({"scope": "order", "name": part, "limit": "1"})).await;
    assert!(problem["errors"][0]["expected"].as_str().unwrap().contains(&root.to_string()), "{problem}");
    assert_eq!(server.get("/api/budgets").await, json!({"budgets": [], "next": null}), "nothing was kept");

    let (_, viewer) = server.key("viewer", None).await;
    let body = json!({"scope": "all", "limit": "1"});
    assert_eq!(server.post_as(&viewer, "/api/budgets", &body).await.0, StatusCode::FORBIDDEN);
    let request = server.client.delete(server.url("/api/budgets/all/all/total")).bearer_auth(&viewer);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn budgets_are_listed_page_by_page_and_nearly_spent_ones_are_in_the_picture() {
    let server = start().await;
    let post = async |body: Value| {
        let request =
            server.request(Method::POST, "/api/budgets").header("idempotency-key", body.to_string().replace(' ', ""));
        told(request.json(&body).send().await.unwrap()).await
    };
    let day = json!({"scope": "provider", "name": "openai", "period": "day", "limit": "20"});
    let (status, first) = post(day.clone()).await;
    assert_eq!(
        (status, &first["before"], &first["left"]["usd"]),
        (StatusCode::CREATED, &Value::Null, &json!("$20.00"))
    );
    assert_eq!(post(day).await, (StatusCode::CREATED, first), "the same answer again");
    for body in [
        json!({"scope": "all", "limit": "100"}),
        json!({"scope": "all", "name": "all", "period": "day", "limit": "10"}),
        json!({"scope": "agent", "name": "writer", "limit": "0.5"}),
    ] {
        assert_eq!(post(body).await.0, StatusCode::CREATED);
    }
    held(&server, "0.25", "budget", "now").await;
    let (mut seen, mut path) = (Vec::new(), "/api/budgets?limit=2&live=true".to_owned());
    loop {
        let page = server.get(&path).await;
        seen.extend(page["budgets"].as_array().unwrap().iter().map(|it| format!("{} {}", it["scope"], it["period"])));
        match page["next"].as_str() {
            Some(next) => path = format!("/api/budgets?limit=2&live=true&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(
        seen,
        [r#""agent" "total""#, r#""all" "day""#, r#""all" "total""#, r#""order" "total""#, r#""provider" "day""#]
    );
    assert_eq!(server.get("/api/budgets?scope=all").await["budgets"].as_array().unwrap().len(), 2);
    assert_eq!(server.get("/api/budgets/agent/writer/total").await["limit"]["usd"], "$0.50");
    server.sql("update budgets set spent_nanos = 450000000 where scope = 'agent'").await;
    testkit::until("the picture shows it", async || {
        server.get("/api/status").await["budgets_nearly_spent"][0]["name"] == "writer"
    })
    .await;
    let (status, body) = post(json!({"scope": "agent", "name": "writer", "limit": "0.1"})).await;
    assert_eq!(
        (status, &body["left"]["usd"], &body["spent"]["usd"]),
        (StatusCode::OK, &json!("$0.00"), &json!("$0.45"))
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blackout_is_over_by_its_masters_word() {
    let server = start().await;
    let bus = server.servers.bus();
    bus.declare(&[ASK]);
    server.store.blackout_put("openai", "billing", "잔액이 없습니다").await.unwrap();
    let (_, ask) = held(&server, "1", "blackout", "now").await;
    let list = server.get("/api/blackouts").await;
    assert_eq!(
        (&list["blackouts"][0]["provider"], &list["blackouts"][0]["cause"]),
        (&json!("openai"), &json!("billing"))
    );
    let status = server.get("/api/status").await;
    assert_eq!(status["blackouts"][0]["reason"], "잔액이 없습니다");
    let (_, viewer) = server.key("viewer", None).await;
    assert_eq!(server.post_as(&viewer, "/api/blackouts/openai/end", &json!({})).await.0, StatusCode::FORBIDDEN);
    let request = || server.request(Method::POST, "/api/blackouts/openai/end").header("idempotency-key", "mended");
    let (status, body) = told(request().send().await.unwrap()).await;
    assert_eq!((status, &body), (StatusCode::OK, &json!({"provider": "openai", "released": [ask]})));
    assert_eq!(told(request().send().await.unwrap()).await.1, body, "the same answer again");
    assert_eq!(server.post("/api/blackouts/openai/end", &json!({})).await.0, StatusCode::NOT_FOUND);
    assert_eq!(server.post("/api/blackouts/openai/end", &json!({"why": "x"})).await.0.as_u16(), 422);
    assert_eq!(server.get("/api/blackouts").await, json!({"blackouts": []}));
    testkit::until("the orchestrator is told", async || bus.depths().await.unwrap()[0].waiting == 1).await;
    testkit::until("the watchers are told", async || {
        let events = bus.range(&bus::EVENTS, bus::EventId::START, 100).await.unwrap().events;
        events.iter().any(|(_, entry)| entry.kind == "blackout.ended")
    })
    .await;
    server.stop().await;
}
