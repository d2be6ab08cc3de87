//! What becomes of an ask when providers refuse, answer badly, or the order is cancelled.

use crate::fixture::{Fixture, order, states, step};
use domain::{
    order::Order,
    pace::Pace,
    task::{Cause, State},
};

/// Two asks, the second after the first.
const PAIR: &str = r#"
name = "pair"
description = "One after the other."

[[step]]
id = "first"
agent = "assistant"
prompt = "첫째: {{ order.text }}"
timeout = "20s"

[[step]]
id = "second"
agent = "assistant"
needs = ["first"]
prompt = "둘째: {{ steps.first.text }}"
timeout = "20s"
"#;

#[tokio::test]
async fn the_next_model_stands_in_for_a_provider_that_cannot_serve() {
    let fixture = Fixture::start(&[("pair.toml", PAIR)], &[]).await;
    fixture.fault("gemini", "403", None);
    let root = fixture.give(order("누가 답할까?", "pair")).await;
    let tree = fixture.ended(root).await;
    assert_eq!(tree[0].state, State::Completed, "{:?}", tree[0].failure);
    for task in &tree[1..] {
        assert!(task.model.as_deref().unwrap().starts_with("anthropic/"), "{:?}", task.model);
    }
    fixture.stop().await;
}

#[tokio::test]
async fn a_passing_failure_is_tried_again_and_booked_once() {
    let fixture = Fixture::start(&[("pair.toml", PAIR)], &[]).await;
    fixture.fault("첫째", "429; retry-after-ms=10", Some(2));
    fixture.fault("둘째", "529", Some(1));
    let root = fixture.give(order("다시 해 봐", "pair")).await;
    let tree = fixture.ended(root).await;
    assert_eq!(tree[0].state, State::Completed, "{:?}", tree[0].failure);
    assert_eq!(fixture.emulator.ledger().answered, 2);
    assert_eq!(tree[0].calls, 2);
    fixture.stop().await;
}

#[tokio::test]
async fn a_refusal_for_good_fails_the_order_with_the_providers_reason() {
    let fixture = Fixture::start(&[("pair.toml", PAIR)], &[]).await;
    fixture.fault("첫째", "400", None);
    let root = fixture.give(order("안 되는 일", "pair")).await;
    let tree = fixture.ended(root).await;
    assert_eq!(tree[0].state, State::Failed);
    assert_eq!(step(&tree, "first")[0].failure.as_ref().unwrap().cause, Cause::Refused);
    let second = step(&tree, "second")[0];
    assert_eq!((second.state, second.failure.as_ref().unwrap().cause), (State::Cancelled, Cause::NeedFailed));
    fixture.stop().await;
}

#[tokio::test]
async fn without_a_provider_the_reason_says_what_to_set() {
    let none = [("ANTHROPIC_API_KEY", ""), ("GEMINI_API_KEY", ""), ("ANTHROPIC_BASE_URL", ""), ("GEMINI_BASE_URL", "")];
    let fixture = Fixture::start(&[], &none).await;
    let root = fixture.give(order("아무도 없나요?", "answer")).await;
    let tree = fixture.ended(root).await;
    assert_eq!(tree[0].state, State::Failed);
    let failure = step(&tree, "answer")[0].failure.clone().unwrap();
    assert_eq!(failure.cause, Cause::Unavailable);
    assert!(failure.reason.contains("set its key"), "{}", failure.reason);
    fixture.stop().await;
}

#[tokio::test]
async fn a_cancelled_ask_is_paid_for_and_not_followed_by_another() {
    let fixture = Fixture::start(&[("pair.toml", PAIR)], &[]).await;
    // Slow enough to be cancelled under way, also on a busy machine.
    fixture.fault("첫째", "slow; ms=5000", None);
    let root = fixture.give(order("그만둘 일", "pair")).await;
    testkit::until("the ask runs", || async {
        step(&fixture.tree(root).await, "first").first().is_some_and(|task| task.state == State::InProgress)
    })
    .await;
    assert!(matches!(fixture.store.cancel(root, "그만").await.unwrap(), store::Cancelled::Done { .. }));
    testkit::until("the answer is booked", || async { step(&fixture.tree(root).await, "first")[0].calls == 1 }).await;
    let tree = fixture.tree(root).await;
    assert_eq!(states(&step(&tree, "first")), [State::Cancelled]);
    assert_eq!(states(&step(&tree, "second")), [State::Cancelled]);
    let emulator = fixture.stop().await;
    assert_eq!(emulator.ledger().answered, 1);
}

#[tokio::test]
async fn a_stop_gives_asks_back_in_time() {
    let fixture = Fixture::start(&[("pair.toml", PAIR)], &[("DRAIN_SECONDS", "2")]).await;
    fixture.fault("첫째", "slow; ms=20000", None);
    let root = fixture.give(order("오래 걸릴 일", "pair")).await;
    testkit::until("the ask runs", || async {
        step(&fixture.tree(root).await, "first").first().is_some_and(|task| task.state == State::InProgress)
    })
    .await;
    let store = fixture.store.clone();
    let emulator = fixture.stop().await;
    let tree = store.tree(root).await.unwrap();
    assert_eq!(states(&step(&tree, "first")), [State::Queued], "whoever comes next asks again at once");
    assert_eq!(emulator.ledger().answered, 0);
}

#[tokio::test]
async fn a_name_that_comes_twice_is_asked_once() {
    let fixture = Fixture::start(&[("pair.toml", PAIR)], &[]).await;
    fixture.fault("첫째", "slow; ms=300", None);
    let root = fixture.give(order("두 번 불린 일", "pair")).await;
    for _ in 0..20 {
        fixture.announce(root).await;
        for task in fixture.tree(root).await.iter().filter(|task| task.step.is_some()) {
            fixture.announce_ask(task.id, 2).await;
        }
    }
    let tree = fixture.ended(root).await;
    assert_eq!(tree[0].state, State::Completed, "{:?}", tree[0].failure);
    let emulator = fixture.stop().await;
    assert_eq!(emulator.ledger().answered, 2);
}

#[tokio::test]
async fn an_ask_of_pace_batch_is_announced_to_the_batch_poller_alone() {
    let fixture = Fixture::start(&[("pair.toml", PAIR)], &[]).await;
    let root = fixture.give(Order { pace: Pace::Batch, ..order("천천히", "pair") }).await;
    testkit::until("the plan is made", || async { fixture.tree(root).await.len() == 3 }).await;
    let tree = fixture.tree(root).await;
    assert_eq!(states(&step(&tree, "first")), [State::Queued]);
    assert_eq!(fixture.emulator.ledger().answered, 0);
    fixture.stop().await;
}

#[tokio::test]
async fn a_lost_announcement_costs_delay_and_never_a_task() {
    let fixture = Fixture::start(&[("pair.toml", PAIR)], &[]).await;
    let id = uuid::Uuid::now_v7();
    let task = store::NewTask {
        id,
        order: order("아무도 알리지 않은 주문", "pair"),
        created_by: "test".to_owned(),
        traceparent: None,
        idempotency: None,
    };
    fixture.store.accept(&task).await.unwrap();
    let tree = fixture.ended(id).await;
    assert_eq!(tree[0].state, State::Completed, "{:?}", tree[0].failure);
    fixture.stop().await;
}
