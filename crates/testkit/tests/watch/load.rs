//! What the services are kept busy with while Prometheus looks: orders of every pace, good and bad, in Korean.

use crate::{
    live::PATIENCE,
    stack::{Stack, order},
};
use emulator::Rule;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Asks, a command, and an ask about its output.
pub(crate) const MIXED: &str = r#"
name = "mixed"
description = "One of everything."

[[step]]
id = "first"
agent = "assistant"
prompt = "{{ order.text }}"

[[step]]
id = "run"
kind = "command"
needs = ["first"]
script = "echo 겨울 예약"
timeout = "30s"

[[step]]
id = "last"
needs = ["run"]
agent = "chief"
prompt = "{{ steps.run.text }} {{ order.text }}"
"#;
/// A command that fails, and the order with it.
pub(crate) const FAILS: &str = r#"
name = "fails"
description = "It fails."

[[step]]
id = "run"
kind = "command"
script = "exit 3"
timeout = "30s"
"#;

/// A command that takes longer than it may.
pub(crate) const LATE: &str = r#"
name = "late"
description = "It is late."

[[step]]
id = "run"
kind = "command"
script = "sleep 60"
timeout = "1s"
"#;

/// Orders of every pace, good and bad, budgets, and requests that are refused.
pub(crate) async fn load(stack: &Stack, mailbox: SocketAddr) {
    for (key, budget) in [
        json!({ "scope": "all", "period": "day", "limit": "100" }),
        json!({ "scope": "agent", "name": "chief", "period": "day", "limit": "5" }),
    ]
    .iter()
    .enumerate()
    {
        let status = post(stack, "/api/budgets", Some(&stack.key), budget, &format!("budget-{key}")).await;
        assert!((200..300).contains(&status), "a budget is taken: {status}");
    }
    let busy = Rule { fault: "429; retry-after-ms=50".to_owned(), times: Some(3), ..Rule::default() };
    stack.emulator.script(&busy).unwrap();

    // One answer of a batch is lost on the way.
    let lost = Rule { fault: "item-missing".to_owned(), times: Some(1), ..Rule::default() };
    stack.emulator.script(&lost).unwrap();

    let mut bodies = Vec::new();
    for number in 0..8 {
        let mut mixed = order(&format!("주문 {number}: 겨울 예약을 늘릴 방법"), "mixed");
        mixed["deliver"] = json!([{ "kind": "webhook", "url": format!("http://{mailbox}/") }]);
        bodies.push(mixed);
    }
    for number in 0..3 {
        bodies.push(order(&format!("보고 {number}: 경쟁사 가격 비교"), "report"));
        let mut batch = order(&format!("여유 {number}: 봄 상품 구상"), "report");
        batch["pace"] = "batch".into();
        bodies.push(batch);
    }
    for number in 0..2 {
        bodies.push(order(&format!("실패 {number}"), "fails"));
        let mut auto = order(&format!("내일까지 {number}: 여름 행사 정리"), "mixed");
        auto["pace"] = "auto".into();
        bodies.push(auto);
    }
    bodies.push(order("너무 늦은 명령", "late"));
    let given = stream::iter(bodies.iter().enumerate())
        .map(|(number, body)| async move { stack.order(body, &format!("order-{number}")).await })
        .buffer_unordered(8)
        .count()
        .await;
    assert_eq!(given, bodies.len());
    board(stack).await;
    assert_eq!(post(stack, "/api/tasks", None, &json!({ "title": "열쇠 없이" }), "none").await, 401);
    assert_eq!(post(stack, "/api/tasks", Some(&stack.key), &json!({ "title": "" }), "bad").await, 422);
}

/// Two tasks on the board: an agent fails at one, the master cancels the other. Nobody but the gateway sees their ends.
async fn board(stack: &Stack) {
    let mut ids = Vec::new();
    for (title, key) in [("아무나 할 일", "open-0"), ("그만둘 일", "open-1")] {
        let task = stack.order(&json!({ "title": title }), key).await;
        ids.push(task["id"].as_str().unwrap().to_owned());
    }
    for (id, verb, body) in [
        (&ids[0], "claim", json!({ "agent_name": "claude" })),
        (&ids[0], "fail", json!({ "agent_name": "claude", "reason": "못 했습니다" })),
        (&ids[1], "cancel", json!({})),
    ] {
        let path = format!("/api/tasks/{id}/{verb}");
        assert_eq!(post(stack, &path, Some(&stack.key), &body, &path).await, 200, "{path}");
    }
}

async fn post(stack: &Stack, path: &str, key: Option<&str>, body: &Value, idempotency: &str) -> u16 {
    let mut request = stack.http.post(format!("http://{}{path}", stack.gateway)).header("idempotency-key", idempotency);
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    request.json(body).send().await.unwrap().status().as_u16()
}

/// Gives one more order, whose batch does not end while Prometheus looks.
pub(crate) async fn leave_one_under_way(stack: &Stack) {
    let stuck = Rule { fault: "batch-stuck".to_owned(), ..Rule::default() };
    stack.emulator.script(&stuck).unwrap();
    let mut body = order("밤새: 가을 행사 구상", "mixed");
    body["pace"] = "batch".into();
    stack.order(&body, "stuck").await;
}

/// Waits until every order has ended.
pub(crate) async fn until_ended(stack: &Stack) {
    let start = Instant::now();
    let live =
        "select count(*) from tasks where parent_id is null and state not in ('completed', 'failed', 'cancelled')";
    while stack.count(live).await > 0 {
        if start.elapsed() > PATIENCE {
            let tasks = "select title, kind, state, pace, held_for, progress::text from tasks where state in ('queued', 'in_progress', 'held') order by id limit 40";
            panic!("orders do not end: {:?}", stack.sql(tasks).await);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
