//! What goes right, and what a handler may do wrong.

use bus::{ConsumerOptions, Entry, Lane};
use tokio::sync::Semaphore;

use crate::setup::{Record, Side, TOPIC, ids, options};

#[tokio::test]
async fn an_entry_arrives_as_it_was_announced() {
    let redis = testkit::Redis::create();
    let side = Side::new(&redis.url, &redis.prefix, "a");
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
    let id = ids(1)[0];
    side.bus.announce(&[(TOPIC, Lane::Express, Entry::new(id, "질문", Some(trace.clone())))]).await.unwrap();
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let running = side.consume(ConsumerOptions::default(), move |deliveries| {
        for delivery in deliveries {
            sender.send((delivery.entry.clone(), delivery.deliveries, delivery.lane())).unwrap();
            delivery.ack();
        }
        std::future::ready(())
    });
    let (entry, deliveries, lane) = receiver.recv().await.unwrap();
    assert_eq!((entry.id, entry.kind.as_str(), entry.traceparent.as_deref()), (id, "질문", Some(trace.as_str())));
    assert!(entry.sent_at_ms > 1_600_000_000_000);
    assert_eq!((deliveries, lane), (1, Lane::Express));
    side.settled().await;
    running.stop().await;
    assert_eq!(side.number("chavion_bus_entries_acked_total"), 1);
    assert_eq!(side.number("chavion_bus_deliveries_in_flight"), 0);
    assert!(*side.bus.up().borrow());
}

#[tokio::test]
async fn a_panic_is_counted_and_its_deliveries_come_again() {
    let redis = testkit::Redis::create();
    let side = Side::new(&redis.url, &redis.prefix, "a");
    let record = Record::default();
    let seen = record.clone();
    let running = side.consume(options(200, 8), move |deliveries| {
        let seen = seen.clone();
        async move {
            for delivery in &deliveries {
                seen.note(delivery.entry.id);
            }
            tokio::task::yield_now().await;
            assert!(deliveries.iter().all(|delivery| delivery.deliveries > 1), "놀라지 마세요");
            for delivery in deliveries {
                delivery.ack();
            }
        }
    });
    let all = ids(3);
    side.announce(Lane::Normal, &all).await;
    record.reaches(3).await;
    side.settled().await;
    running.stop().await;
    assert!(all.iter().all(|id| record.of(*id) == 2));
    assert!(side.number("chavion_bus_handler_panics_total") >= 1);
    assert_eq!(side.number("chavion_bus_entries_failed_total"), 3);
    assert_eq!(side.depth().await.dead, 0);
}

#[tokio::test]
async fn a_poisoned_entry_dies_at_once_and_blocks_nobody() {
    let redis = testkit::Redis::create();
    let side = Side::new(&redis.url, &redis.prefix, "a");
    let mut raw = redis::Client::open(redis.url.as_str()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let key = format!("{}{}", redis.prefix, TOPIC.name());
    let id = ids(1)[0].to_string();
    let mut poison = redis::pipe();
    poison.cmd("XADD").arg(&key).arg("*").arg("무엇").arg("독");
    poison.cmd("XADD").arg(&key).arg("*").arg("id").arg("일곱").arg("kind").arg("ask").arg("sent_at").arg(1);
    poison.cmd("XADD").arg(&key).arg("*").arg("id").arg(id).arg("kind").arg(&[0xff_u8, 0xfe][..]).arg("sent_at").arg(1);
    poison.exec_async(&mut raw).await.unwrap();
    let good = ids(5);
    side.announce(Lane::Normal, &good).await;
    let record = Record::default();
    let running = side.consume(options(30_000, 1), record.handler());
    record.reaches(5).await;
    side.settled().await;
    running.stop().await;
    let dead = side.bus.dead(TOPIC, 10).await.unwrap();
    let causes: Vec<_> = dead.iter().rev().map(|dead| dead.cause.as_str()).collect();
    assert_eq!(causes, ["field id is missing", "field id is not a UUID", "field kind is not UTF-8"]);
    assert_eq!(dead[2].raw.as_deref(), Some("무엇 독"));
    assert_eq!(side.depth().await.dead, 3);
    assert_eq!(record.len(), 5);
}

#[tokio::test]
async fn express_goes_before_normal() {
    let redis = testkit::Redis::create();
    let side = Side::new(&redis.url, &redis.prefix, "a");
    let (normal, express) = (ids(50), ids(5));
    side.announce(Lane::Normal, &normal).await;
    side.announce(Lane::Express, &express).await;
    let record = Record::default();
    let running = side.consume(options(30_000, 1), record.handler());
    record.reaches(55).await;
    running.stop().await;
    assert_eq!(record.all()[..5], express);
    assert_eq!(record.all()[5..], normal);

    // With more places than one the lanes share each read, express first; slices at work together
    // may overtake each other.
    side.announce(Lane::Normal, &normal).await;
    side.announce(Lane::Express, &express).await;
    let record = Record::default();
    let running = side.consume(options(30_000, 4), record.handler());
    record.reaches(55).await;
    running.stop().await;
    let last = record.all().iter().rposition(|id| express.contains(id)).unwrap();
    assert!(last < 4 * express.len(), "{last}");
}

#[tokio::test]
async fn a_single_place_serves_both_lanes_when_they_race_for_it() {
    let redis = testkit::Redis::create();
    let [side, express, normal] = ["a", "e", "n"].map(|replica| Side::new(&redis.url, &redis.prefix, replica));
    let record = Record::default();
    let running = side.consume(options(30_000, 1), record.handler());
    let all = ids(2000);
    let (first, second) = all.split_at(1000);
    let one_by_one = async |side: &Side, lane, ids: &[uuid::Uuid]| {
        for id in ids {
            side.announce(lane, &[*id]).await;
        }
    };
    tokio::join!(one_by_one(&express, Lane::Express, first), one_by_one(&normal, Lane::Normal, second));
    record.reaches(2000).await;
    side.settled().await;
    running.stop().await;
    assert_eq!(record.len(), 2000);
}

#[tokio::test]
async fn idle_consumers_are_silent() {
    let server = crate::server::Server::start(false).await;
    let sides: Vec<_> = (0..6).map(|number| Side::new(&server.url(), "p:", &format!("r{number}"))).collect();
    let record = Record::default();
    let running: Vec<_> = sides.iter().map(|side| side.consume(options(30_000, 8), record.handler())).collect();
    sides[0].announce(Lane::Normal, &ids(100)).await;
    record.reaches(100).await;
    sides[0].settled().await;
    let mut raw = server.connection().await.unwrap();
    let mut field = async |section: &str, name: &str| -> u64 {
        let info: String = redis::cmd("INFO").arg(section).query_async(&mut raw).await.unwrap();
        info.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
    };
    let limit = std::time::Instant::now() + testkit::PATIENCE;
    while field("clients", "blocked_clients:").await < 6 {
        assert!(std::time::Instant::now() < limit);
    }
    let before = field("stats", "total_commands_processed:").await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    // The look before, and nothing else.
    assert_eq!(field("stats", "total_commands_processed:").await - before, 1);
    for running in running {
        running.stop().await;
    }
}

#[tokio::test]
async fn no_more_are_in_flight_than_allowed_wherever_they_were_moved() {
    let redis = testkit::Redis::create();
    let side = Side::new(&redis.url, &redis.prefix, "a");
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let running = side.consume(options(30_000, 10), move |deliveries| {
        for delivery in deliveries {
            sender.send(delivery).unwrap();
        }
        std::future::ready(())
    });
    side.announce(Lane::Normal, &ids(100)).await;
    side.announce(Lane::Express, &ids(100)).await;
    let mut held = std::collections::VecDeque::new();
    for _ in 0..190 {
        while held.len() < 10 {
            held.push_back(receiver.recv().await.unwrap());
        }
        assert_eq!(side.number("chavion_bus_deliveries_in_flight"), 10);
        assert!(receiver.is_empty());
        held.pop_front().unwrap().ack();
    }
    held.push_back(receiver.recv().await.unwrap());
    held.into_iter().for_each(bus::Delivery::ack);
    side.settled().await;
    running.stop().await;
}

#[tokio::test]
async fn replicas_share_and_nothing_is_delivered_twice() {
    let redis = testkit::Redis::create();
    let all = ids(2000);
    let sides = ["a", "b"].map(|replica| Side::new(&redis.url, &redis.prefix, replica));
    let records = [Record::default(), Record::default()];
    let both = std::sync::Arc::new(Semaphore::new(0));
    let running: Vec<_> = sides
        .iter()
        .zip(&records)
        .map(|(side, record)| {
            let (record, both) = (record.clone(), both.clone());
            side.consume(options(30_000, 8), move |deliveries| {
                let (record, both) = (record.clone(), both.clone());
                async move {
                    for delivery in &deliveries {
                        record.note(delivery.entry.id);
                    }
                    // Held until both have some.
                    drop(both.acquire().await.unwrap());
                    deliveries.into_iter().for_each(bus::Delivery::ack);
                }
            })
        })
        .collect();
    sides[0].announce(Lane::Normal, &all).await;
    testkit::until("both have some", async || records.iter().all(|record| record.len() > 0)).await;
    both.add_permits(1);
    testkit::until("all are delivered", async || records[0].len() + records[1].len() >= 2000).await;
    sides[0].settled().await;
    for running in running {
        running.stop().await;
    }
    assert_eq!(records[0].len() + records[1].len(), 2000);
    assert!(all.iter().all(|id| records[0].of(*id) + records[1].of(*id) == 1));
}

#[tokio::test]
async fn memory_stays_flat_over_a_hundred_thousand_entries() {
    let redis = testkit::Redis::create();
    let side = Side::new(&redis.url, &redis.prefix, "a");
    let record = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let seen = record.clone();
    let running = side.consume(ConsumerOptions::default(), move |deliveries| {
        seen.fetch_add(deliveries.len(), std::sync::atomic::Ordering::Relaxed);
        deliveries.into_iter().for_each(bus::Delivery::ack);
        std::future::ready(())
    });
    let mut resident = Vec::new();
    for round in 1..=10 {
        side.announce(Lane::Normal, &ids(10_000)).await;
        let delivered = || record.load(std::sync::atomic::Ordering::Relaxed);
        testkit::until("a round is delivered", async || delivered() >= round * 10_000).await;
        side.settled().await;
        let pages: u64 =
            std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        resident.push(pages * 4096);
    }
    running.stop().await;
    assert_eq!(record.load(std::sync::atomic::Ordering::Relaxed), 100_000);
    assert!(resident[9] < resident[1] + (8 << 20), "resident bytes by round: {resident:?}");
}
