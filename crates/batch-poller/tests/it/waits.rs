//! What does not go straight on: deadlines, budgets, providers that cannot serve, masters who change their minds.

use crate::{
    poller::Poller,
    world::{ASK, MODELS, World, asks},
};
use domain::{
    batch::CancelThen,
    pace::Pace,
    task::{HeldFor, Kind, State},
};
use std::time::Duration;
use time::OffsetDateTime;

#[tokio::test]
async fn what_would_miss_its_deadline_is_asked_at_once_and_a_late_result_is_booked() {
    let world = World::new().await;
    world.fault("batch-stuck; done=50; times=1");
    let mut told = world.listen(ASK);
    let poller = Poller::start(&world).await;
    let ids = world.order_by(Some(OffsetDateTime::now_utc() + Duration::from_secs(8)), &asks(MODELS[1], 4)).await;
    world.announce(&ids, Kind::Ask).await;
    let tasks = world.elsewhere(&ids).await;
    assert!(tasks.iter().all(|task| (task.pace, task.attempt) == (Pace::Now, 1)), "{tasks:#?}");
    assert!(tasks[0].pace_reason.as_deref().unwrap().contains("deadline"));
    for _ in &ids {
        assert!(ids.contains(&told.next().await.id));
    }
    // Nobody waits for the batch any more: it is cancelled, and what it had done is booked and nothing else.
    world.done().await;
    assert_eq!(world.texts("select distinct remote_state from batches").await, ["cancelled"]);
    world.audit().await;
    assert!(world.store.names(&ids).await.unwrap().iter().all(|row| row.state == State::Queued));
    assert_eq!(poller.number("chavion_batch_poller_abandoned_total", ""), 4);
    assert!(poller.number("chavion_batch_poller_late_total", "") >= 2);
    poller.stop().await;
}

#[tokio::test]
async fn a_slow_batch_is_cancelled_when_patience_ends() {
    let world = World::new().await;
    world.fault("batch-stuck; done=50; times=1");
    let poller = Poller::with(&world, &[("BATCH_PATIENCE_SECONDS", "1.5")]).await;
    let ids = world.order(&asks(MODELS[0], 6)).await;
    let tasks = world.ended(&ids).await;
    assert!(tasks.iter().all(|task| (task.state, task.calls) == (State::Completed, 1)), "{tasks:#?}");
    assert!(tasks.iter().any(|task| task.attempt == 2));
    world.done().await;
    world.audit().await;
    poller.stop().await;
}

#[tokio::test]
async fn an_ask_without_money_is_held_before_it_is_sent() {
    let world = World::new().await;
    world.sql("insert into budgets (scope, name, period, limit_nanos) values ('all', 'all', 'total', 1)").await;
    let poller = Poller::start(&world).await;
    let ids = world.order(&asks(MODELS[1], 2)).await;
    let tasks = world.until(&ids, &[State::Held]).await;
    assert!(tasks.iter().all(|task| task.held_for == Some(HeldFor::Budget) && task.held_nanos.unwrap().0 > 1));
    assert_eq!(world.count("select count(*) from batch_items").await, 0);

    world.sql("update budgets set limit_nanos = 1000000000").await;
    let names = world.store.unhold(&store::Release::Budgets).await.unwrap();
    assert_eq!(names.len(), 2);
    world.announce(&ids, Kind::Ask).await;
    assert!(world.ended(&ids).await.iter().all(|task| task.state == State::Completed));
    world.done().await;
    world.audit().await;
    let spent = world.count("select spent_nanos from budgets").await;
    assert_eq!(spent, world.count("select sum(nanos)::bigint from charges").await);
    assert_eq!(world.count("select reserved_nanos from budgets").await, 0);
    poller.stop().await;
}

#[tokio::test]
async fn a_provider_that_cannot_serve_is_left_alone_until_a_probe_succeeds() {
    let world = World::new().await;
    world.fault("insufficient-quota; at=create; times=1");
    let poller = Poller::start(&world).await;
    let ids = world.order(&asks(MODELS[1], 3)).await;
    testkit::until("the provider is in blackout", || async {
        world.count("select count(*) from blackouts where provider = 'openai'").await == 1
    })
    .await;
    // What comes now is held, and so is what was in the batch that met it.
    let late = world.order(&asks(MODELS[1], 2)).await;
    let all: Vec<_> = ids.into_iter().chain(late.clone()).collect();
    let tasks = world.until(&all, &[State::Held]).await;
    assert!(tasks.iter().all(|task| task.held_for == Some(HeldFor::Blackout)), "{tasks:#?}");
    assert!(tasks.iter().all(|task| task.held_provider.as_deref() == Some("openai")), "{tasks:#?}");
    assert_eq!(world.texts("select distinct state from batches").await, ["failed"]);

    // One of them tries, and the others follow when it has succeeded.
    world.sql("update blackouts set probe_at = now()").await;
    testkit::until("the probe is made", || async {
        let one = format!(
            "update tasks set state = 'queued', held_for = null, not_before = null where state = 'held' and id = '{}'",
            late[0]
        );
        world.sql(&one).await;
        world.announce(&late[..1], Kind::Ask).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        world.count("select count(*) from blackouts").await == 0
    })
    .await;
    assert!(world.ended(&all).await.iter().all(|task| task.state == State::Completed));
    world.done().await;
    world.audit().await;
    poller.stop().await;
}

#[tokio::test]
async fn a_cancelled_batch_does_with_its_asks_as_its_master_wishes() {
    for (then, wanted) in [
        (CancelThen::Now, State::Queued),
        (CancelThen::Cancel, State::Cancelled),
        (CancelThen::Batch, State::Completed),
    ] {
        let world = World::new().await;
        world.fault("batch-stuck; times=1");
        let poller = Poller::start(&world).await;
        let ids = world.order(&asks(MODELS[1], 3)).await;
        testkit::until("the batch runs", || async {
            world.count("select count(*) from batches where state = 'running'").await == 1
        })
        .await;
        let batch: uuid::Uuid = world.texts("select id::text from batches").await[0].parse().unwrap();
        world.store.batch_cancel_wish(batch, then).await.unwrap();
        world.nudge("batch", batch).await;
        let tasks = world.until(&ids, &[wanted]).await;
        let pace = if then == CancelThen::Now { Pace::Now } else { Pace::Batch };
        assert!(tasks.iter().all(|task| task.pace == pace), "{tasks:#?}");
        world.done().await;
        world.audit().await;
        poller.stop().await;
    }
}

#[tokio::test]
async fn a_cancelled_order_leaves_no_batch_behind() {
    let world = World::new().await;
    world.fault("batch-stuck; times=1");
    let poller = Poller::start(&world).await;
    let ids = world.order(&asks(MODELS[0], 3)).await;
    testkit::until("the batch runs", || async {
        world.count("select count(*) from batches where state = 'running'").await == 1
    })
    .await;
    for id in &ids {
        world.store.cancel(*id, "그만").await.unwrap();
    }
    world.done().await;
    assert_eq!(world.count("select count(*) from batch_items where state = 'cancelled'").await, 3);
    assert!(world.store.names(&ids).await.unwrap().iter().all(|row| row.state == State::Cancelled));
    world.audit().await;
    poller.stop().await;
}

#[tokio::test]
async fn a_provider_that_was_switched_off_keeps_nobody_waiting_for_ever() {
    let world = World::new().await;
    world.fault("batch-stuck; times=1");
    let poller = Poller::start(&world).await;
    let ids = world.order(&asks(MODELS[1], 2)).await;
    testkit::until("the batch runs", || async {
        world.count("select count(*) from batches where state = 'running'").await == 1
    })
    .await;
    poller.stop().await;
    let poller = Poller::with(
        &world,
        &[("OPENAI_API_KEY", ""), ("OPENAI_BASE_URL", ""), ("BATCH_TRIES", "1"), ("BATCH_PATIENCE_SECONDS", "1")],
    )
    .await;
    let tasks = world.elsewhere(&ids).await;
    assert!(tasks.iter().all(|task| task.pace == Pace::Now && task.pace_reason.is_some()), "{tasks:#?}");
    world.done().await;
    assert_eq!(world.texts("select state from batches").await, ["failed"]);
    poller.stop().await;
}
