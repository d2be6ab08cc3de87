//! How asks are asked: as ordered where it can be, and with the reason where it cannot.

use crate::fixture::{Fixture, order, states, step};
use domain::{
    order::Order,
    pace::Pace,
    task::{Kind, State},
};
use std::time::Duration;
use store::{End, Outcome, Task};
use time::OffsetDateTime;
use uuid::Uuid;

const HOTEL: &str = "우리 애견호텔의 겨울 예약을 늘릴 방법을 보고서로 써줘";

/// Two rounds of asks, of an agent whose first model has batches and a slower tier.
const PAIR: &str = r#"
name = "pair"
description = "One after the other."

[[step]]
id = "first"
agent = "business-modeller"
prompt = "첫째: {{ order.text }}"

[[step]]
id = "second"
agent = "business-modeller"
needs = ["first"]
fallback = "none"
prompt = "둘째: {{ steps.first.text }}"
"#;

fn within(pace: Pace, time: Duration) -> Order {
    Order { pace, deadline: Some(OffsetDateTime::now_utc() + time), ..order("언제까지 될까?", "pair") }
}

async fn first(fixture: &Fixture, root: Uuid) -> Task {
    testkit::until("the plan is made", || async { fixture.tree(root).await.len() == 3 }).await;
    step(&fixture.tree(root).await, "first")[0].clone()
}

#[tokio::test]
async fn without_a_deadline_auto_goes_by_batch_and_says_why() {
    let fixture = Fixture::start(&[("pair.toml", PAIR)], &[]).await;
    let root = fixture.give(Order { pace: Pace::Auto, ..order("천천히", "pair") }).await;
    let task = first(&fixture, root).await;
    assert_eq!((task.pace, task.state), (Pace::Batch, State::Queued));
    assert_eq!(task.pace_reason.as_deref(), Some("auto: there is no deadline, and batch costs half"));
    assert_eq!(fixture.emulator.ledger().answered, 0);
    fixture.stop().await;
}

#[tokio::test]
async fn auto_takes_the_slower_tier_when_batches_would_be_late_and_pays_its_price() {
    let fixture = Fixture::start(&[("pair.toml", PAIR)], &[]).await;
    let root = fixture.give(within(Pace::Auto, Duration::from_mins(40))).await;
    let tree = fixture.ended(root).await;
    assert_eq!(tree[0].state, State::Completed, "{:?}", tree[0].failure);
    for task in &tree[1..] {
        assert_eq!(task.pace, Pace::Flex, "{:?}", task.pace_reason);
        let reason = task.pace_reason.as_deref().unwrap();
        assert!(reason.contains("flex costs half") && reason.contains("nothing is known yet"), "{reason}");
        assert_eq!(task.nanos.0 * 2, task.list_nanos.0, "booked at half of what it costs now");
    }
    assert!(tree[0].list_nanos.0 > tree[0].nanos.0 && tree[0].nanos.0 > 0, "the order knows what it saved");
    fixture.stop().await;
}

#[tokio::test]
async fn auto_goes_by_what_batches_lately_took() {
    let fixture = Fixture::start(&[("pair.toml", PAIR)], &[]).await;
    fixture
        .database
        .sql(
            "insert into batches (id, provider, state, items, bytes, created_at, ended_at)
             values (gen_random_uuid(), 'gemini', 'settled', 9, 9, now() - interval '70 min', now() - interval '1 h')",
        )
        .await;
    let root = fixture.give(within(Pace::Auto, Duration::from_mins(40))).await;
    let task = first(&fixture, root).await;
    assert_eq!(task.pace, Pace::Batch, "{:?}", task.pace_reason);
    assert!(task.pace_reason.unwrap().contains("gemini's batches lately take up to 17 min"));
    fixture.stop().await;
}

#[tokio::test]
async fn a_deadline_that_no_batch_can_meet_is_met_now() {
    let fixture = Fixture::start(&[("pair.toml", PAIR)], &[]).await;
    let root = fixture.give(within(Pace::Batch, Duration::from_secs(40))).await;
    let tree = fixture.ended(root).await;
    assert_eq!(tree[0].state, State::Completed, "{:?}", tree[0].failure);
    let first = step(&tree, "first")[0];
    assert_eq!(first.pace, Pace::Now);
    assert!(first.pace_reason.as_deref().unwrap().contains("before the deadline, so it is asked at once"));
    fixture.stop().await;
}

#[tokio::test]
async fn an_ask_at_now_says_nothing_of_its_pace_and_saves_nothing() {
    let fixture = Fixture::start(&[("pair.toml", PAIR)], &[]).await;
    let root = fixture.give(order("지금", "pair")).await;
    let tree = fixture.ended(root).await;
    assert!(tree.iter().all(|task| task.pace == Pace::Now && task.pace_reason.is_none()));
    assert_eq!(tree[0].nanos, tree[0].list_nanos);
    fixture.stop().await;
}

/// Answers what is queued at pace batch, as the batch-poller would, and returns how many that were.
async fn answer_batches(fixture: &Fixture, root: Uuid) -> usize {
    let queued: Vec<Uuid> = fixture
        .tree(root)
        .await
        .iter()
        .filter(|task| task.kind == Kind::Ask && task.state == State::Queued && task.pace == Pace::Batch)
        .map(|task| task.id)
        .collect();
    let claimed = fixture.store.claim(&queued, Kind::Ask, "poller", Duration::from_mins(5), false).await.unwrap();
    let outcomes: Vec<Outcome> = claimed
        .iter()
        .map(|task| {
            let data = serde_json::json!({
                "department": "marketing", "reason": "예약", "verdict": "sound", "summary": "좋음", "findings": [],
            });
            let result = serde_json::json!({ "text": format!("{}의 답", task.title), "data": data });
            Outcome::plain(task.id, task.root_id, Some(task.attempt), End::Completed { result })
        })
        .collect();
    for done in fixture.store.finish(&outcomes).await.unwrap() {
        fixture.announce_settled(done.id).await;
    }
    outcomes.len()
}

#[tokio::test]
async fn a_report_and_a_broadcast_run_entirely_in_rounds_of_batches() {
    let fixture = Fixture::start(&[], &[]).await;
    for (playbook, asks) in [("report", vec![1, 4, 1, 1]), ("broadcast", vec![24, 6, 1])] {
        let root = fixture.give(Order { pace: Pace::Batch, ..order(HOTEL, playbook) }).await;
        let mut rounds = Vec::new();
        testkit::until("the order has ended", || async {
            fixture.store.task(root).await.unwrap().is_some_and(|task| task.state.is_terminal())
                || fixture.tree(root).await.iter().any(|task| task.kind == Kind::Ask && task.state == State::Queued)
        })
        .await;
        while !fixture.store.task(root).await.unwrap().unwrap().state.is_terminal() {
            let answered = answer_batches(&fixture, root).await;
            if answered > 0 {
                rounds.push(answered);
            }
            tokio::task::yield_now().await;
        }
        let tree = fixture.tree(root).await;
        assert_eq!(tree[0].state, State::Completed, "{:?}", tree[0].failure);
        assert_eq!(rounds, asks, "{playbook}");
        assert!(tree[1..].iter().all(|task| task.pace == Pace::Batch && task.pace_reason.is_none()));
        assert_eq!(states(&step(&tree, "synthesise")), [State::Completed]);
    }
    assert_eq!(fixture.emulator.ledger().answered, 0, "nothing was asked at once");
    fixture.stop().await;
}
