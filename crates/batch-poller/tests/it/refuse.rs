//! What becomes of asks of pace batch, seen in the rows, on the streams and in the metrics.

use crate::world::{TRACE, World, ask, command};
use batch_poller::{Config, Service};
use boot::Life;
use bus::{EVENTS, EventId};
use domain::task::{Cause, Kind, State};
use std::collections::BTreeSet;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A batch-poller in this process.
struct Poller {
    life: Life,
    running: JoinSet<anyhow::Result<()>>,
}

impl Poller {
    async fn start(world: &World) -> Self {
        let life = Life::embedded("batch-poller", CancellationToken::new());
        let service = Service::build(Config::read(&world.vars).unwrap(), &life).unwrap();
        let mut running = JoinSet::new();
        let own = life.clone();
        running.spawn(async move { own.run(service.run()).await });
        tokio::time::timeout(testkit::PATIENCE, life.ready.wait()).await.expect("it gets ready");
        Self { life, running }
    }

    /// Reads one of its numbers.
    fn number(&self, name: &str) -> f64 {
        let families = self.life.registry.gather();
        let family = families.iter().find(|family| family.name() == name).expect("it is registered");
        family.get_metric()[0].get_counter().get_value()
    }

    async fn stop(mut self) {
        self.life.stop.cancel();
        let ended = self.running.join_next().await.unwrap().unwrap();
        self.life.finish(ended).await.unwrap();
    }
}

#[tokio::test]
async fn an_ask_of_pace_batch_fails_with_the_reason() {
    let world = World::new().await;
    let ids = world.order(&[ask(), ask(), ask()]).await;
    let poller = Poller::start(&world).await;
    let mut settled = world.settled();
    world.announce(&ids, Kind::Ask).await;
    let mut told = BTreeSet::new();
    for _ in &ids {
        let entry = settled.next().await;
        assert_eq!((entry.kind.as_str(), entry.traceparent.as_deref()), ("ask", Some(TRACE)));
        told.insert(entry.id);
    }
    assert_eq!(told, ids.iter().copied().collect());
    for id in &ids {
        let task = world.store.task(*id).await.unwrap().unwrap();
        let failure = task.failure.unwrap();
        assert_eq!((task.state, failure.cause), (State::Failed, Cause::Unsupported));
        assert!(failure.reason.contains("order again with pace now or flex"), "{}", failure.reason);
        assert_eq!((task.attempt, task.calls), (0, 0), "nothing was claimed and nothing spent");
    }
    world.until_quiet().await;
    let events = world.bus.range(&EVENTS, EventId::START, 100).await.unwrap().events;
    let named: BTreeSet<Uuid> = events.iter().map(|(_, entry)| entry.id).collect();
    assert_eq!((events.len(), named), (3, told));
    assert!(events.iter().all(|(_, entry)| entry.kind == "task.failed"));
    assert!((poller.number("chavion_batch_poller_refused_total") - 3.0).abs() < f64::EPSILON);
    poller.stop().await;
    assert!(settled.rest().await.is_empty());
}

#[tokio::test]
async fn a_second_delivery_changes_nothing() {
    let world = World::new().await;
    let ids = world.order(&[ask()]).await;
    let poller = Poller::start(&world).await;
    let mut settled = world.settled();
    world.announce(&ids, Kind::Ask).await;
    settled.next().await;
    let before = world.store.task(ids[0]).await.unwrap();
    world.announce(&[ids[0], ids[0]], Kind::Ask).await;
    world.until_quiet().await;
    assert_eq!(world.store.task(ids[0]).await.unwrap(), before);
    poller.stop().await;
    assert!(settled.rest().await.is_empty(), "it is announced once");
}

#[tokio::test]
async fn what_is_not_its_own_is_left_alone() {
    let world = World::new().await;
    let ids = world.order(&[command(), ask()]).await;
    world.store.cancel(ids[1], "그만").await.unwrap();
    let poller = Poller::start(&world).await;
    let settled = world.settled();
    world.announce(&[ids[0], ids[1], Uuid::now_v7()], Kind::Ask).await;
    testkit::until("the entries were handled", || async {
        (poller.number("chavion_batch_poller_passed_over_total") - 3.0).abs() < f64::EPSILON
    })
    .await;
    world.until_quiet().await;
    assert_eq!(world.store.task(ids[0]).await.unwrap().unwrap().state, State::Queued);
    assert_eq!(world.store.task(ids[1]).await.unwrap().unwrap().state, State::Cancelled);
    poller.stop().await;
    assert!(settled.rest().await.is_empty());
}

#[tokio::test]
async fn a_slice_is_refused_whole() {
    let world = World::new().await;
    let ids = world.order(&vec![ask(); 300]).await;
    world.announce(&ids, Kind::Ask).await;
    let poller = Poller::start(&world).await;
    world.until_quiet().await;
    let counts = world.store.names(&ids).await.unwrap();
    assert_eq!(counts.iter().filter(|row| row.state == State::Failed).count(), 300);
    poller.stop().await;
}
