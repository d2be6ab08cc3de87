//! Asks that wait: for money, for a provider. And those that are stopped: a loop, a row that nobody can read.

use crate::fixture::{Fixture, order, states, step};
use domain::{
    money::Nanos,
    order::Order,
    task::{Cause, HeldFor, State},
};
use store::Task;
use uuid::Uuid;

/// Two asks, the second after the first.
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
prompt = "둘째: {{ steps.first.text }}"
"#;

async fn held(fixture: &Fixture, root: Uuid, place: &str) -> Task {
    testkit::until("the ask is held", || async {
        step(&fixture.tree(root).await, place).first().is_some_and(|task| task.state == State::Held)
    })
    .await;
    step(&fixture.tree(root).await, place)[0].clone()
}

#[tokio::test]
async fn an_order_without_money_enough_waits_and_goes_on_when_there_is_more() {
    let fixture = Fixture::start(&[("pair.toml", PAIR)], &[]).await;
    let root = fixture.give(Order { budget: Some(Nanos(1_000)), ..order("예산이 적은 일", "pair") }).await;
    let task = held(&fixture, root, "first").await;
    assert_eq!(task.held_for, Some(HeldFor::Budget));
    let asked = task.held_nanos.unwrap();
    assert!(asked > Nanos(1_000));
    let reason = task.progress.unwrap();
    for part in [asked.to_string().as_str(), "$0.000001 for the order", "raise it to at least"] {
        assert!(reason.contains(part), "{part} is missing in {reason}");
    }
    assert_eq!(fixture.emulator.ledger().answered, 0, "nothing is spent before there is money");
    assert_eq!(fixture.store.task(root).await.unwrap().unwrap().state, State::InProgress, "the order waits");

    fixture.database.sql(&format!("update budgets set limit_nanos = {}", asked.0 * 10)).await;
    let tree = fixture.ended(root).await;
    assert_eq!(tree[0].state, State::Completed, "{:?}", tree[0].failure);
    assert!(tree[1..].iter().all(|task| task.held_for.is_none() && task.progress.is_none()));
    fixture
        .database
        .sql(&format!(
            "do $$ begin assert (select spent_nanos = {} and reserved_nanos = 0 from budgets); end $$",
            tree[0].nanos.0
        ))
        .await;
    fixture.stop().await;
}

#[tokio::test]
async fn what_others_did_not_use_lets_a_held_ask_go_on_by_itself() {
    const MANY: &str = r#"
name = "many"

[[step]]
id = "all"
agent = "assistant"
for_each = "range(12)"
prompt = "{{ item }}번째: {{ order.text }}"
"#;
    let fixture = Fixture::start(&[("many.toml", MANY)], &[]).await;
    let probe = fixture.give(Order { budget: Some(Nanos(1)), ..order("값을 묻는 일", "many") }).await;
    let one = held(&fixture, probe, "all").await.held_nanos.unwrap();
    // Enough for three at once by what is reckoned, and for all by what they cost.
    let root = fixture.give(Order { budget: Some(Nanos(one.0 * 4)), ..order("나눠 쓰는 일", "many") }).await;
    let tree = fixture.ended(root).await;
    assert_eq!(tree[0].state, State::Completed, "{:?}", tree[0].failure);
    assert!(tree[0].nanos.0 <= one.0 * 4, "it never spends more than it may");
    assert!(tree[1..].iter().any(|task| task.attempt > 1), "some had to wait: {one}");
    fixture.stop().await;
}

#[tokio::test]
async fn with_nobody_left_an_ask_waits_for_the_end_of_a_blackout() {
    let fixture = Fixture::start(&[("pair.toml", PAIR)], &[]).await;
    fixture.fault("첫째", "402", None);
    let root = fixture.give(order("아무도 없을 때", "pair")).await;
    let task = held(&fixture, root, "first").await;
    assert_eq!(task.held_for, Some(HeldFor::Blackout));
    assert!(task.progress.as_deref().unwrap().contains("which cannot serve"), "{:?}", task.progress);
    assert!(task.not_before.is_some());
    let blackouts = fixture.store.blackouts().await.unwrap();
    let shown: Vec<_> = blackouts.iter().map(|one| (one.provider.as_str(), one.cause.as_str())).collect();
    assert_eq!(shown, [("anthropic", "billing"), ("gemini", "billing")]);

    // A try that fails makes it longer and asks nobody else.
    let due = "update blackouts set probe_at = now() - interval '1 s';
               update tasks set not_before = now() - interval '1 s' where state = 'held'";
    fixture.database.sql(due).await;
    testkit::until("a try has failed", || async {
        fixture.store.blackouts().await.unwrap().iter().any(|one| one.probes == 1)
    })
    .await;
    held(&fixture, root, "first").await;

    // One that is answered ends it.
    fixture.emulator.clear_faults();
    fixture.database.sql(due).await;
    let tree = fixture.ended(root).await;
    assert_eq!(tree[0].state, State::Completed, "{:?}", tree[0].failure);
    assert_eq!(fixture.emulator.ledger().answered, 2, "each ask is paid for once");
    assert!(fixture.store.blackouts().await.unwrap().len() < 2, "whoever answered is no longer in blackout");
    fixture.stop().await;
}

#[tokio::test]
async fn a_blackout_spares_its_provider_the_next_asks() {
    let fixture = Fixture::start(&[("pair.toml", PAIR)], &[]).await;
    fixture.fault("첫째", "402", Some(1));
    let root = fixture.give(order("다른 이가 답한다", "pair")).await;
    let tree = fixture.ended(root).await;
    assert_eq!(tree[0].state, State::Completed, "{:?}", tree[0].failure);
    for task in &tree[1..] {
        assert!(task.model.as_deref().unwrap().starts_with("anthropic/"), "{:?}", task.model);
    }
    fixture.stop().await;
}

#[tokio::test]
async fn an_order_that_repeats_itself_is_stopped() {
    const LOOP: &str = r#"
name = "loop"

[[step]]
id = "again"
agent = "assistant"
for_each = "range(24)"
prompt = "늘 같은 물음"
tolerate = "some"
"#;
    let fixture = Fixture::start(&[("loop.toml", LOOP)], &[]).await;
    let root = fixture.give(order("되풀이", "loop")).await;
    let tree = fixture.ended(root).await;
    let stopped: Vec<_> = tree[1..].iter().filter(|task| task.state == State::Failed).collect();
    assert_eq!((stopped.len(), fixture.emulator.ledger().answered), (4, 20));
    let failure = stopped[0].failure.as_ref().unwrap();
    assert_eq!(failure.cause, Cause::Looped);
    assert!(failure.reason.contains("21 times"), "{}", failure.reason);
    fixture.stop().await;
}

#[tokio::test]
async fn a_task_that_is_begun_again_and_again_is_stopped() {
    let fixture = Fixture::start(&[("pair.toml", PAIR)], &[]).await;
    fixture.fault("첫째", "slow; ms=8000", None);
    let root = fixture.give(order("끝없이", "pair")).await;
    testkit::until("the ask runs", || async {
        step(&fixture.tree(root).await, "first").first().is_some_and(|task| task.state == State::InProgress)
    })
    .await;
    fixture
        .database
        .sql("update tasks set attempt = 20, state = 'queued', worker = null, lease_until = null where step = 'first'")
        .await;
    let tree = fixture.ended(root).await;
    assert_eq!(step(&tree, "first")[0].failure.as_ref().unwrap().cause, Cause::Looped);
    assert_eq!(states(&step(&tree, "second")), [State::Cancelled]);
    fixture.stop().await;
}

#[tokio::test]
async fn work_that_cannot_be_read_fails_its_task_once() {
    let fixture = Fixture::start(&[("pair.toml", PAIR)], &[]).await;
    fixture.fault("첫째", "402", None);
    let root = fixture.give(order("읽을 수 없는 일", "pair")).await;
    held(&fixture, root, "first").await;
    let spoil = r#"update tasks set work = '{"kind": "riddle"}', not_before = now() where step = 'first'"#;
    fixture.database.sql(spoil).await;
    let tree = fixture.ended(root).await;
    let task = step(&tree, "first")[0];
    assert_eq!((task.state, task.attempt), (State::Failed, 2), "it is not claimed after every lease");
    let failure = task.failure.as_ref().unwrap();
    assert_eq!(failure.cause, Cause::Internal);
    assert!(failure.reason.contains("cannot read"), "{}", failure.reason);
    fixture.stop().await;
}
