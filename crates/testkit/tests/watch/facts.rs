//! What is read from Postgres for everybody: an approval that waits is told, and while nobody can read them the facts are
//! gone instead of frozen.

use crate::{
    live::{PATIENCE, array, ask},
    stack::Stack,
    watchers::Watchers,
};
use std::time::{Duration, Instant};

/// One figure of each kind of facts.
const FACTS: [&str; 6] = [
    "chavion_tasks_live",
    "chavion_blackout_seconds",
    "chavion_budget_limit_nanodollars",
    "chavion_money_booked_nanodollars",
    "chavion_batches",
    "chavion:approvals_waiting",
];

/// The first value of a query; `None` when it has none.
async fn value(watchers: &mut Watchers, query: &str) -> Option<f64> {
    let data = ask(watchers, "query", &[("query", query)]).await;
    array(&data, "result").first().map(|series| series["value"][1].as_str().unwrap().parse().unwrap())
}

/// Waits until a query has this value, or none.
pub(crate) async fn until(watchers: &mut Watchers, query: &str, wanted: Option<f64>) {
    let start = Instant::now();
    loop {
        let found = value(watchers, query).await;
        let fits = match (found, wanted) {
            (Some(found), Some(wanted)) => (found - wanted).abs() < 1e-9,
            (found, wanted) => found.is_none() && wanted.is_none(),
        };
        if fits {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{query} is {found:?} and not {wanted:?}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Two approvals: one whose turn it is, and a command that is held until somebody agrees. No playbook asks for any yet,
/// so the rows are written by hand, as they will be.
pub(crate) async fn an_approval_that_waits_is_told(stack: &Stack, watchers: &mut Watchers) {
    until(watchers, "chavion:approvals_waiting", Some(0.0)).await;
    for (kind, state, held_for, age) in [
        ("approval", "queued", "null", "2 hours"),
        ("command", "held", "'approval'", "3 hours"),
        ("approval", "pending", "null", "9 hours"),
    ] {
        let id = uuid::Uuid::now_v7();
        stack
            .sql(&format!(
                "insert into tasks (id, root_id, kind, state, held_for, title, live, queued_at, created_at, announced_at)
                 values ('{id}', '{id}', '{kind}', '{state}', {held_for}, '승인', true,
                     case when '{state}' <> 'pending' then now() - interval '{age}' end, now() - interval '{age}', now())"
            ))
            .await;
    }
    until(watchers, "chavion:approvals_waiting", Some(2.0)).await;
    until(
        watchers,
        "chavion:approvals_oldest_seconds >= bool 10800 and chavion:approvals_oldest_seconds < 20000",
        Some(1.0),
    )
    .await;
    until(watchers, "count(ALERTS{alertname=\"ApprovalWaiting\", alertstate=\"firing\"})", Some(1.0)).await;
    stack.sql("update tasks set state = 'cancelled', live = false, held_for = null, ended_at = now(), settled_at = now() where title = '승인'").await;
    until(watchers, "chavion:approvals_waiting", Some(0.0)).await;
    until(watchers, "count(ALERTS{alertname=\"ApprovalWaiting\"})", None).await;
}

/// Cuts Postgres off from the services.
pub(crate) async fn facts_that_cannot_be_read_are_gone(stack: &Stack, watchers: &mut Watchers) {
    for fact in FACTS {
        assert!(value(watchers, &format!("count({fact})")).await.is_some(), "{fact} is there");
    }
    stack.postgres.cut();
    for fact in FACTS {
        until(watchers, &format!("count({fact})"), None).await;
    }
    // What Redis knows is still known, and for how long the rest is not.
    assert!(value(watchers, "count(chavion_topic_entries)").await.is_some());
    until(watchers, "count(ALERTS{alertname=\"FactsStale\"})", Some(5.0)).await;
    let of_redis = "time() - max(chavion_facts_read_timestamp_seconds{facts=\"topics\"}) < bool 60";
    assert_eq!(value(watchers, of_redis).await, Some(1.0));
    stack.postgres.heal();
    for fact in FACTS {
        until(watchers, &format!("count({fact}) > bool 0"), Some(1.0)).await;
    }
    until(watchers, "count(ALERTS{alertname=\"FactsStale\"})", None).await;
    stack.until_ready().await;
}
