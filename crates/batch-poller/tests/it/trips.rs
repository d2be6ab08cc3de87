//! Round trips: from the stream through a provider's batch API and back, by window, by flush, by several replicas.

use crate::{
    poller::Poller,
    world::{ASK, MODELS, SETTLED, TRACE, World, asks},
};
use bus::{EVENTS, EventId};
use domain::{
    pace::Pace,
    task::{Kind, State},
};
use std::collections::BTreeSet;
use uuid::Uuid;

#[tokio::test]
async fn asks_of_three_providers_go_as_one_batch_each() {
    let world = World::new().await;
    let (mut settled, told) = (world.listen(SETTLED), world.listen(ASK));
    let works: Vec<_> = MODELS.iter().flat_map(|model| asks(model, 8)).collect();
    let ids = world.order(&works).await;
    let poller = Poller::start(&world).await;
    let tasks = world.ended(&ids).await;
    for task in &tasks {
        assert_eq!((task.state, task.attempt, task.calls), (State::Completed, 1, 1), "{:?}", task.failure);
        assert!(task.emulated && task.pace == Pace::Batch && task.nanos.0 > 0);
        assert_eq!(task.list_nanos.0, task.nanos.0 * 2, "batches cost half: {task:?}");
        let text = world.store.results(task.id).await.unwrap();
        assert!(text[0].result.as_ref().unwrap()["text"].as_str().unwrap().contains("요약"), "{text:?}");
    }
    world.done().await;
    assert_eq!(world.count("select count(*) from batches where state = 'settled' and items = 8").await, 3);
    assert_eq!(world.count("select count(*) from batch_items where state = 'succeeded' and body is null").await, 24);
    let mut heard = BTreeSet::new();
    for _ in &ids {
        let entry = settled.next().await;
        assert_eq!((entry.kind.as_str(), entry.traceparent.as_deref()), (Kind::Ask.as_str(), Some(TRACE)));
        heard.insert(entry.id);
    }
    assert_eq!(heard, ids.iter().copied().collect());
    let events = world.bus.range(&EVENTS, EventId::START, 1000).await.unwrap().events;
    for (word, wanted) in [
        ("task.in_progress", 24),
        ("task.completed", 24),
        ("batch.submitting", 3),
        ("batch.ended", 3),
        ("batch.settled", 3),
    ] {
        let named: BTreeSet<Uuid> =
            events.iter().filter(|(_, entry)| entry.kind == word).map(|(_, entry)| entry.id).collect();
        assert_eq!(named.len(), wanted, "{word}");
    }
    assert!(events.iter().any(|(_, entry)| entry.kind == "batch.running"));
    assert_eq!(poller.number("chavion_batch_poller_items_ended_total", "succeeded"), 24);
    assert_eq!(poller.number("chavion_batch_poller_created_total", ""), 3);
    let (spent, saved) = ("chavion_batch_poller_spent_nanos_total", "chavion_batch_poller_saved_nanos_total");
    assert_eq!(poller.number(spent, ""), poller.number(saved, ""));
    world.until_quiet().await;
    world.audit().await;
    poller.stop().await;
    assert!(settled.rest().await.is_empty() && told.rest().await.is_empty());
}

#[tokio::test]
async fn a_flush_does_not_wait_for_the_window() {
    let world = World::new().await;
    let poller = Poller::with(&world, &[("BATCH_WINDOW_SECONDS", "3600")]).await;
    let ids = world.order(&asks(MODELS[1], 3)).await;
    testkit::until("they wait for a batch", || async {
        world.count("select count(*) from batch_items where state = 'queued'").await == 3
    })
    .await;
    assert_eq!(world.count("select count(*) from batches").await, 0);
    assert_eq!(world.store.batch_flush(Some("openai")).await.unwrap().len(), 1);
    world.nudge("flush", Uuid::nil()).await;
    assert!(world.ended(&ids).await.iter().all(|task| task.state == State::Completed));
    world.done().await;
    world.audit().await;
    poller.stop().await;
}

#[tokio::test]
async fn replicas_share_the_work_and_send_nothing_twice() {
    let world = World::new().await;
    let first = Poller::start(&world).await;
    let second = Poller::with(&world, &[("REPLICA", "시험-2")]).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        for model in MODELS {
            ids.extend(world.order(&asks(model, 7)).await);
        }
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    }
    let tasks = world.ended(&ids).await;
    assert!(tasks.iter().all(|task| task.state == State::Completed && task.attempt == 1));
    world.done().await;
    world.audit().await;
    assert_eq!(world.count("select coalesce(max(submission), 0)::bigint from batches").await, 1);
    for poller in [first, second] {
        assert_eq!(poller.number("chavion_batch_poller_late_total", ""), 0);
        poller.stop().await;
    }
}

#[tokio::test]
async fn a_second_delivery_changes_nothing() {
    let world = World::new().await;
    let ids = world.order(&asks(MODELS[0], 2)).await;
    world.announce(&[ids[0], ids[0], ids[1]], Kind::Ask).await;
    let poller = Poller::start(&world).await;
    let before = world.ended(&ids).await;
    world.announce(&ids, Kind::Ask).await;
    world.until_quiet().await;
    assert_eq!(world.ended(&ids).await, before);
    world.done().await;
    world.audit().await;
    poller.stop().await;
}
