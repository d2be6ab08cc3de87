//! Redis emptied, restarted, cut.

use std::time::Duration;

use bus::{Entry, Lane};

use crate::server::Server;
use crate::setup::{Record, Side, TOPIC, ids, options};

#[tokio::test]
async fn an_emptied_redis_is_noticed_and_new_entries_flow() {
    let server = Server::start(false).await;
    let side = Side::new(&server.url(), "붙임:", "a");
    let record = Record::default();
    let running = side.consume(options(1_000, 8), record.handler());
    let mut emptied = side.bus.emptied();
    for round in 1..=3_u64 {
        side.announce(Lane::Normal, &ids(20)).await;
        record.reaches(usize::try_from(round).unwrap() * 20).await;
        server.flush().await;
        tokio::time::timeout(testkit::PATIENCE, emptied.wait_for(|count| *count >= round)).await.unwrap().unwrap();
    }
    side.announce(Lane::Express, &ids(20)).await;
    record.reaches(80).await;
    side.settled().await;
    running.stop().await;
    assert_eq!(record.len(), 80);
    assert_eq!(side.number("chavion_bus_emptied_total"), *emptied.borrow());
}

#[tokio::test]
async fn deliveries_in_hand_survive_an_emptied_redis() {
    let server = Server::start(false).await;
    let side = Side::new(&server.url(), "p:", "a");
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let running = side.consume(options(300, 2), move |deliveries| {
        deliveries.into_iter().for_each(|delivery| sender.send(delivery).unwrap());
        std::future::ready(())
    });
    side.announce(Lane::Normal, &ids(2)).await;
    let held = [receiver.recv().await.unwrap(), receiver.recv().await.unwrap()];
    server.flush().await;
    side.announce(Lane::Normal, &ids(1)).await;
    // All places are taken until these are gone; their acknowledgement finds nothing and says nothing.
    held.into_iter().for_each(bus::Delivery::ack);
    receiver.recv().await.unwrap().ack();
    side.settled().await;
    running.stop().await;
    assert!(*side.bus.emptied().borrow() >= 1);
}

#[tokio::test]
async fn a_restarted_redis_that_kept_its_data_loses_nothing() {
    let mut server = Server::start(true).await;
    let side = Side::new(&server.url(), "p:", "a");
    let record = Record::default();
    let seen = record.clone();
    let running = side.consume(options(2_000, 16), move |deliveries| {
        let seen = seen.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            for delivery in deliveries {
                seen.note(delivery.entry.id);
                delivery.ack();
            }
        }
    });
    let all = ids(400);
    side.announce(Lane::Normal, &all).await;
    record.reaches(50).await;
    server.kill();
    testkit::until("the outage is noticed", async || !*side.bus.up().borrow()).await;
    let refused = side.bus.announce(&[(TOPIC, Lane::Normal, Entry::new(all[0], "ask", None))]).await.unwrap_err();
    assert!(refused.is_transient(), "{refused}");
    assert!(side.bus.ping().await.is_err());
    server.restart().await;
    record.reaches(400).await;
    testkit::until("Redis is seen up", async || *side.bus.up().borrow()).await;
    side.settled().await;
    running.stop().await;
    assert_eq!(record.distinct(), 400);
    assert_eq!(*side.bus.emptied().borrow(), 0);
}

#[tokio::test]
async fn a_restarted_redis_that_lost_its_data_counts_as_emptied() {
    let mut server = Server::start(false).await;
    let side = Side::new(&server.url(), "p:", "a");
    let record = Record::default();
    let running = side.consume(options(2_000, 16), record.handler());
    side.announce(Lane::Normal, &ids(10)).await;
    record.reaches(10).await;
    server.kill();
    server.restart().await;
    let mut emptied = side.bus.emptied();
    tokio::time::timeout(testkit::PATIENCE, emptied.wait_for(|count| *count > 0)).await.unwrap().unwrap();
    side.announce(Lane::Normal, &ids(10)).await;
    record.reaches(20).await;
    running.stop().await;
    assert!(side.number("chavion_bus_reconnects_total") > 0);
}

#[tokio::test]
async fn a_cut_under_load_loses_nothing() {
    let redis = testkit::Redis::create();
    let proxy = testkit::Proxy::before(&redis.url).await;
    let side = Side::new(&proxy.through(&redis.url), &redis.prefix, "a");
    let outside = Side::new(&redis.url, &redis.prefix, "outside");
    let record = Record::default();
    let seen = record.clone();
    let running = side.consume(options(1_000, 16), move |deliveries| {
        let seen = seen.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            for delivery in deliveries {
                seen.note(delivery.entry.id);
                delivery.ack();
            }
        }
    });
    outside.announce(Lane::Normal, &ids(3_000)).await;
    for round in 1..=4 {
        record.reaches(round * 300).await;
        proxy.cut();
        testkit::until("the cut is noticed", async || !*side.bus.up().borrow()).await;
        proxy.heal();
    }
    record.reaches(3_000).await;
    outside.settled().await;
    running.stop().await;
    assert_eq!(outside.depth().await.dead, 0);
}

#[tokio::test]
async fn a_consumer_that_starts_before_redis_works_when_it_is_there() {
    let mut server = Server::start(false).await;
    server.kill();
    let side = Side::new(&server.url(), "p:", "a");
    let record = Record::default();
    let running = side.consume(options(1_000, 8), record.handler());
    assert!(side.bus.ping().await.is_err());
    assert!(!*side.bus.up().borrow());
    server.restart().await;
    testkit::until("an announcement goes through", async || {
        side.bus.announce(&[(TOPIC, Lane::Normal, Entry::new(ids(1)[0], "ask", None))]).await.is_ok()
    })
    .await;
    record.reaches(1).await;
    running.stop().await;
    assert_eq!(*side.bus.emptied().borrow(), 0);
}

#[tokio::test]
async fn a_stop_while_redis_is_away_still_ends() {
    let mut server = Server::start(false).await;
    let side = Side::new(&server.url(), "p:", "a");
    let record = Record::default();
    let running = side.consume(options(1_000, 8), record.handler());
    side.announce(Lane::Normal, &ids(1)).await;
    record.reaches(1).await;
    server.kill();
    running.stop().await;
}
