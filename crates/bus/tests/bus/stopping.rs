//! Stopping: nothing is lost, nothing comes after.

use bus::{ConsumerOptions, Lane};
use tokio::sync::mpsc;

use crate::setup::{Record, Side, ids, options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_loses_nothing_and_delivers_nothing_afterwards() {
    let redis = testkit::Redis::create();
    let first = Side::new(&redis.url, &redis.prefix, "a");
    let all = ids(10_000);
    let record = Record::default();
    let running = first.consume(options(30_000, 200), record.handler());
    first.announce(Lane::Normal, &all[..4_000]).await;
    record.reaches(3_000).await;
    let mut announcing = tokio::task::JoinSet::new();
    let (side, rest) = (first.clone(), all[4_000..].to_vec());
    announcing.spawn(async move { side.announce(Lane::Normal, &rest).await });
    record.reaches(4_500).await;
    running.stop().await;
    let at_return = record.len();
    announcing.join_next().await.unwrap().unwrap();
    let depth = first.depth().await;
    assert_eq!(depth.pending, 0);
    assert_eq!(depth.waiting, 10_000 - u64::try_from(at_return).unwrap());
    assert_eq!(record.len(), at_return);

    let second = Side::new(&redis.url, &redis.prefix, "b");
    let running = second.consume(ConsumerOptions::default(), record.handler());
    record.reaches(10_000).await;
    second.settled().await;
    running.stop().await;
    assert_eq!(record.len(), 10_000);
    assert!(all.iter().all(|id| record.of(*id) == 1));
}

#[tokio::test]
async fn a_stop_waits_for_deliveries_that_were_moved_on() {
    let redis = testkit::Redis::create();
    let side = Side::new(&redis.url, &redis.prefix, "a");
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let mut running = side.consume(options(30_000, 8), move |deliveries| {
        deliveries.into_iter().for_each(|delivery| sender.send(delivery).unwrap());
        std::future::ready(())
    });
    side.announce(Lane::Normal, &ids(2)).await;
    let (one, two) = (receiver.recv().await.unwrap(), receiver.recv().await.unwrap());
    running.stop.cancel();
    one.ack();
    testkit::until("the first is acknowledged", async || side.depth().await.pending == 1).await;
    assert!(running.task.try_join_next().is_none());
    two.ack();
    running.stop().await;
    assert_eq!(side.depth().await.pending, 0);
}

#[tokio::test]
async fn an_idle_consumer_stops_without_swallowing_the_next_entry() {
    let redis = testkit::Redis::create();
    let side = Side::new(&redis.url, &redis.prefix, "a");
    let record = Record::default();
    for round in 0..50_usize {
        let running = side.consume(options(30_000, 8), record.handler());
        if round % 2 == 0 {
            // The read blocks already.
            let mut probe = ids(1);
            side.announce(Lane::Normal, &probe).await;
            testkit::until("the probe is delivered", async || record.of(probe[0]) == 1).await;
            probe.clear();
        }
        running.stop.cancel();
        side.announce(if round % 3 == 0 { Lane::Express } else { Lane::Normal }, &ids(1)).await;
        running.stop().await;
        assert_eq!(side.depth().await.pending, 0, "round {round}");
    }
    let running = side.consume(options(30_000, 8), record.handler());
    record.reaches(75).await;
    running.stop().await;
    assert_eq!(record.len(), 75);
}
