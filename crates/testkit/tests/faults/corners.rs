//! Half price in single tight corners, on real processes: batches of one size in doubt at once, a provider's budget
//! that is used up, a key that is revoked, broadcasts that must share their batches, and a backlog of long questions.

use crate::{
    half_price::{check_money, until_clean, wait},
    stack::{Shape, Stack, order},
    worse::{Thaw, post},
};
use emulator::{Options, Rule};
use futures_util::{StreamExt as _, stream};
use serde_json::json;
use std::time::Duration;

/// Starts a stack of one provider whose batches take a while.
async fn alone(provider: &'static [&'static str], window: &'static [(&'static str, &'static str)]) -> Stack {
    let shape = Shape {
        emulator: Options {
            brief: true,
            batch_time: Duration::from_secs(4),
            batch_day: Duration::from_secs(60),
            ..Options::default()
        },
        providers: provider,
        orchestrators: 1,
        pollers: 2,
        variables: window,
    };
    Stack::start(shape, &[("one.toml", ONE)]).await
}

/// One ask.
const ONE: &str = r#"
name = "one"
description = "One ask."

[[step]]
id = "only"
agent = "market-analyst"
prompt = "{{ order.text }}"
"#;

const QUICK: &[(&str, &str)] = &[
    ("BATCH_WINDOW_SECONDS", "0.3"),
    ("BATCH_POLL_SECONDS", "0.5"),
    ("BATCH_PATIENCE_SECONDS", "60"),
    ("LOOKUP_GRACE_SECONDS", "2"),
];

/// Anthropic puts no label on a batch. Two of one size are in doubt at once: one that was never created, and one that
/// was and is not listed at first. The first must not take the second for its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_of_one_size_are_not_taken_for_each_other() {
    let stack = alone(&["ANTHROPIC"], QUICK).await;
    for fault in [
        "503; at=create; match=첫째; times=1",
        "503; at=create; committed=true; match=둘째; times=1",
        "batch-unlisted; ms=1500; match=둘째; times=1",
    ] {
        stack.emulator.script(&Rule { fault: fault.to_owned(), ..Rule::default() }).unwrap();
    }
    for (number, name) in ["첫째", "둘째"].iter().enumerate() {
        let mut body = order(&format!("{name}: 겨울 예약을 늘릴 방법"), "one");
        body["pace"] = "batch".into();
        stack.order(&body, &format!("order-{number}")).await;
        let closed = "select count(*) from batches";
        wait(&stack, "its batch is made", closed, i64::try_from(number).unwrap() + 1, testkit::PATIENCE).await;
    }
    let completed = "select count(*) from tasks where parent_id is null and state = 'completed'";
    wait(&stack, "both are answered", completed, 2, Duration::from_secs(60)).await;
    until_clean(&stack, Duration::from_secs(60)).await;
    let batches = "select submission, remote_id, items from batches order by id";
    eprintln!("{:?}", stack.sql(batches).await);
    let (items, _) = check_money(&stack).await;
    assert_eq!(items, 2, "each was answered once");
    stack.stop().await;
}

/// An ask that a provider's budget refuses is held once, not at every sweep.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_providers_budget_holds_stays_held() {
    let stack = alone(&["ANTHROPIC"], QUICK).await;
    let budget = json!({"scope": "provider", "name": "anthropic", "limit": "0.000001"});
    assert_eq!(post(&stack, "/api/budgets", &budget).await, 201);
    let mut body = order("겨울 예약을 늘릴 방법", "one");
    body["pace"] = "batch".into();
    stack.order(&body, "order").await;
    let held = "select count(*) from tasks where state = 'held' and held_for = 'budget'";
    wait(&stack, "it is held", held, 1, testkit::PATIENCE).await;
    // Several sweeps.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let attempts = "select coalesce(max(attempt), 0) from tasks where kind = 'ask'";
    assert_eq!(stack.count(attempts).await, 1, "it is not claimed again and again");
    let provider = "select count(*) from tasks where held_provider = 'anthropic'";
    assert_eq!(stack.count(provider).await, 1, "it says whose budget it is");
    post(&stack, "/api/budgets", &json!({"scope": "provider", "name": "anthropic", "limit": "10"})).await;
    let completed = "select count(*) from tasks where parent_id is null and state = 'completed'";
    wait(&stack, "it goes on", completed, 1, Duration::from_secs(60)).await;
    stack.stop().await;
}

/// A key that does not hold any more must not keep asks for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_revoked_keeps_no_ask_for_ever() {
    const HASTY: &[(&str, &str)] = &[
        ("BATCH_WINDOW_SECONDS", "0.3"),
        ("BATCH_POLL_SECONDS", "0.1"),
        ("BATCH_PATIENCE_SECONDS", "2"),
        ("LOOKUP_GRACE_SECONDS", "1"),
    ];
    let stack = alone(&["ANTHROPIC"], HASTY).await;
    let rule = Rule { fault: "bad-key; at=status".to_owned(), ..Rule::default() };
    stack.emulator.script(&rule).unwrap();
    let mut body = order("겨울 예약을 늘릴 방법", "one");
    body["pace"] = "batch".into();
    stack.order(&body, "order").await;
    let moved = "select count(*) from batch_items where state not in ('queued', 'submitted')";
    wait(&stack, "the item goes another way", moved, 1, Duration::from_secs(40)).await;
    stack.stop().await;
}

/// A batch that its provider has no quota for lets its asks go: they are held, say for whom, and go on when the
/// provider serves again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_sent_is_held_until_it_can() {
    let stack = alone(&["ANTHROPIC"], QUICK).await;
    let rule = Rule { fault: "insufficient-quota; at=create; times=1".to_owned(), ..Rule::default() };
    stack.emulator.script(&rule).unwrap();
    for number in 0..3 {
        let mut body = order(&format!("주문 {number}: 겨울 예약을 늘릴 방법"), "one");
        body["pace"] = "batch".into();
        stack.order(&body, &format!("order-{number}")).await;
    }
    let held =
        "select count(*) from tasks where state = 'held' and held_for = 'blackout' and held_provider = 'anthropic'";
    wait(&stack, "all are held", held, 3, testkit::PATIENCE).await;
    assert_eq!(post(&stack, "/api/blackouts/anthropic/end", &json!({})).await, 200);
    let completed = "select count(*) from tasks where parent_id is null and state = 'completed'";
    wait(&stack, "all are answered", completed, 3, Duration::from_secs(60)).await;
    until_clean(&stack, Duration::from_secs(60)).await;
    let now = "select count(*) from charges where pace <> 'batch'";
    assert_eq!(stack.count(now).await, 0, "at half price after all");
    check_money(&stack).await;
    stack.stop().await;
}

/// A broadcast is one batch for each provider in the round of its specialists, however often, with two batch-pollers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broadcast_is_one_batch_a_provider() {
    let shape = Shape {
        emulator: Options { brief: true, batch_time: Duration::from_millis(300), ..Options::default() },
        providers: &["ANTHROPIC", "OPENAI", "GEMINI"],
        orchestrators: 2,
        pollers: 2,
        variables: &[("BATCH_WINDOW_SECONDS", "1.5"), ("BATCH_POLL_SECONDS", "0.3")],
    };
    let stack = Stack::start(shape, &[]).await;
    let rounds = crate::variable("BROADCASTS", 3);
    for number in 0..rounds {
        let mut body = order(&format!("방송 {number}: 우리 애견호텔의 겨울 예약을 늘릴 방법"), "broadcast");
        body["pace"] = "batch".into();
        let task = stack.order(&body, &format!("order-{number}")).await;
        let id = task["id"].as_str().unwrap().to_owned();
        let ended = format!("select count(*) from tasks where id = '{id}' and state = 'completed'");
        wait(&stack, "it is completed", &ended, 1, Duration::from_secs(60)).await;
        let rows = format!(
            "select t.step, i.provider, count(*), count(distinct i.batch_id) from batch_items i join tasks t on t.id = i.task_id where i.root_id = '{id}' group by 1, 2 order by 1, 2"
        );
        let rows = stack.sql(&rows).await;
        eprintln!("{rows:?}");
        for row in &rows {
            assert_eq!(row[3], "1", "one batch a provider and round: {rows:?}");
        }
    }
    stack.stop().await;
}

/// A backlog of the longest questions there are is collected without being held in memory as a whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_of_long_questions_fits_into_memory() {
    let shape = Shape {
        emulator: Options { brief: true, batch_time: Duration::from_millis(500), ..Options::default() },
        providers: &["ANTHROPIC"],
        orchestrators: 1,
        pollers: 1,
        variables: &[("BATCH_WINDOW_SECONDS", "3"), ("BATCH_POLL_SECONDS", "1"), ("LEASE_SECONDS", "20")],
    };
    let stack = Stack::start(shape, &[("one.toml", ONE)]).await;
    let poller = stack.services.iter().find(|(name, _)| *name == "batch-poller").unwrap().1.id();
    let idle = peak(poller);
    let pid = rustix::process::Pid::from_raw(i32::try_from(poller).unwrap()).unwrap();
    let thaw = Thaw(pid);
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let orders = crate::variable("LONG_ORDERS", 300);
    let all = stream::iter(0..orders).map(|number| {
        let stack = &stack;
        async move {
            let mut body = order(&format!("주문 {number}"), "one");
            body["description"] = "겨울 예약을 늘릴 방법을 길게 ".repeat(5_800).into();
            body["pace"] = "batch".into();
            stack.order(&body, &format!("order-{number}")).await
        }
    });
    assert_eq!(all.buffer_unordered(4).count().await, orders);
    let queued = "select count(*) from tasks where kind = 'ask' and state = 'queued'";
    let total = i64::try_from(orders).unwrap();
    wait(&stack, "all asks wait", queued, total, Duration::from_secs(60)).await;
    drop(thaw);
    let completed = "select count(*) from tasks where parent_id is null and state = 'completed'";
    wait(&stack, "all are answered", completed, total, Duration::from_secs(120)).await;
    let most = peak(poller);
    eprintln!("{orders} questions of {} KB: {} MB above {} MB", 5_800 * 43 / 1000, most - idle, idle);
    assert!(most - idle <= 128, "{} MB above idle", most - idle);
    stack.stop().await;
}

/// Returns the most memory that a process has had, in MB.
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}
