//! Leases: who holds an entry, for how long, and who gets it next.

use std::sync::Arc;
use std::time::Duration;

use bus::Lane;
use tokio::sync::{Notify, mpsc};

use crate::setup::{Record, Side, TOPIC, ids, options};

#[tokio::test]
async fn a_handler_slower_than_its_lease_is_not_overtaken() {
    let redis = testkit::Redis::create();
    let sides = ["a", "b"].map(|replica| Side::new(&redis.url, &redis.prefix, replica));
    let record = Record::default();
    let all = ids(20);
    let running: Vec<_> = sides
        .iter()
        .map(|side| {
            let record = record.clone();
            // A lease that a busy machine renews in time.
            side.consume(options(1_500, 64), move |deliveries| {
                let record = record.clone();
                async move {
                    deliveries.iter().for_each(|delivery| record.note(delivery.entry.id));
                    // Four leases long.
                    tokio::time::sleep(Duration::from_secs(6)).await;
                    deliveries.into_iter().for_each(bus::Delivery::ack);
                }
            })
        })
        .collect();
    sides[0].announce(Lane::Normal, &all[..10]).await;
    sides[0].announce(Lane::Express, &all[10..]).await;
    record.reaches(20).await;
    sides[0].settled().await;
    for running in running {
        running.stop().await;
    }
    assert_eq!(record.len(), 20);
}

#[tokio::test]
async fn a_failed_delivery_goes_to_the_dead_after_the_last_try() {
    let redis = testkit::Redis::create();
    let side = Side::new(&redis.url, &redis.prefix, "a");
    let record = Record::default();
    let seen = record.clone();
    let mut options = options(100, 8);
    options.max_deliveries = 3;
    let running = side.consume(options, move |deliveries| {
        for delivery in deliveries {
            seen.note(delivery.entry.id);
            let cause = format!("고장 {}", delivery.deliveries);
            delivery.fail(cause);
        }
        std::future::ready(())
    });
    let all = ids(2);
    side.announce(Lane::Normal, &all[..1]).await;
    side.announce(Lane::Express, &all[1..]).await;
    testkit::until("both are dead", async || side.depth().await.dead == 2).await;
    side.settled().await;
    running.stop().await;
    assert!(all.iter().all(|id| record.of(*id) == 3));
    for dead in side.bus.dead(TOPIC, 10).await.unwrap() {
        assert_eq!((dead.deliveries, dead.cause.as_str()), (3, "고장 3"));
        assert!(all.contains(&dead.entry.unwrap().id));
    }
    assert_eq!(side.number("chavion_bus_entries_dead_total"), 2);
    assert!(side.bus.dead(bus::Topic::new("other", "doer"), 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_entry_that_kills_every_reader_dies_too() {
    let redis = testkit::Redis::create();
    let side = Side::new(&redis.url, &redis.prefix, "a");
    side.announce(Lane::Normal, &ids(1)).await;
    let mut raw = redis::Client::open(redis.url.as_str()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let key = format!("{}{}", redis.prefix, TOPIC.name());
    let mut lives = redis::pipe();
    lives.cmd("XGROUP").arg("CREATE").arg(&key).arg(TOPIC.group()).arg(0);
    lives.cmd("XREADGROUP").arg("GROUP").arg(TOPIC.group()).arg("a").arg("STREAMS").arg(&key).arg(">");
    for _ in 0..4 {
        // Each restart of the replica reads its own pending entries, and dies of them.
        lives.cmd("XREADGROUP").arg("GROUP").arg(TOPIC.group()).arg("a").arg("STREAMS").arg(&key).arg(0);
    }
    lives.exec_async(&mut raw).await.unwrap();
    let record = Record::default();
    let running = side.consume(options(30_000, 8), record.handler());
    testkit::until("it is dead", async || side.depth().await.dead == 1).await;
    running.stop().await;
    assert_eq!(record.len(), 0);
    let dead = side.bus.dead(TOPIC, 1).await.unwrap().remove(0);
    assert_eq!((dead.deliveries, dead.cause.as_str()), (5, "delivered 5 times and never acknowledged"));
}

#[tokio::test]
async fn a_late_ack_does_not_take_an_entry_from_the_replica_that_claimed_it() {
    let redis = testkit::Redis::create();
    let proxy = testkit::Proxy::before(&redis.url).await;
    let slow = Side::new(&proxy.through(&redis.url), &redis.prefix, "slow");
    let quick = Side::new(&redis.url, &redis.prefix, "quick");
    let hold = |side: &Side| {
        let (sender, receiver) = mpsc::unbounded_channel();
        let running = side.consume(options(1_500, 8), move |deliveries| {
            deliveries.into_iter().for_each(|delivery| sender.send(delivery).unwrap());
            std::future::ready(())
        });
        (running, receiver)
    };
    let (slow_running, mut slow_deliveries) = hold(&slow);
    quick.announce(Lane::Normal, &ids(1)).await;
    let late = slow_deliveries.recv().await.unwrap();

    proxy.cut();
    let (quick_running, mut quick_deliveries) = hold(&quick);
    let taken = quick_deliveries.recv().await.unwrap();
    assert_eq!((taken.entry.id, taken.deliveries), (late.entry.id, 2));
    late.ack();
    proxy.heal();
    // The slow side's acknowledgement went through: its consumer stops only after that.
    slow_running.stop().await;
    assert_eq!(slow.number("chavion_bus_entries_acked_total"), 0);
    assert_eq!((quick.depth().await.pending, quick.depth().await.waiting), (1, 0));

    taken.ack();
    quick.settled().await;
    quick_running.stop().await;
    assert_eq!(quick.number("chavion_bus_entries_acked_total"), 1);
    assert!(slow_deliveries.recv().await.is_none() && quick_deliveries.recv().await.is_none());
}

#[tokio::test]
async fn what_is_in_hand_is_not_delivered_again_to_the_same_replica_after_a_cut() {
    let redis = testkit::Redis::create();
    let proxy = testkit::Proxy::before(&redis.url).await;
    let side = Side::new(&proxy.through(&redis.url), &redis.prefix, "a");
    let (record, release) = (Record::default(), Arc::new(Notify::new()));
    let (seen, wait) = (record.clone(), release.clone());
    let running = side.consume(options(200, 8), move |deliveries| {
        deliveries.iter().for_each(|delivery| seen.note(delivery.entry.id));
        let wait = wait.clone();
        async move {
            wait.notified().await;
            deliveries.into_iter().for_each(bus::Delivery::ack);
        }
    });
    side.announce(Lane::Normal, &ids(1)).await;
    record.reaches(1).await;
    for round in 1..=3 {
        proxy.cut();
        testkit::until("the cut is noticed", async || !*side.bus.up().borrow()).await;
        // Longer than the lease.
        tokio::time::sleep(Duration::from_millis(300)).await;
        proxy.heal();
        testkit::until("the reader is back", async || side.number("chavion_bus_reconnects_total") >= round).await;
        testkit::until("the bus is up", async || *side.bus.up().borrow()).await;
    }
    release.notify_one();
    side.settled().await;
    running.stop().await;
    assert_eq!(record.len(), 1);
    assert_eq!(side.number("chavion_bus_entries_acked_total"), 1);
}
