//! A replica that dies between its commit and its acknowledgement: a real process, killed.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use bus::{ConsumerOptions, Lane};

use crate::setup::{Record, Side, ids, options};

/// Starts this test program once more, as a replica that holds what it gets for ever.
fn replica(url: &str, prefix: &str, name: &str) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["deaths::holds_what_it_gets", "--exact", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.as_mut().unwrap(), "{url}\n{prefix}\n{name}").unwrap();
    child
}

/// Reads on until the replica has committed so many entries.
fn commits(child: &mut Child, count: usize) {
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert_eq!(lines.filter(|line| line.as_ref().unwrap().contains("committed ")).take(count).count(), count);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child of the other tests"]
async fn holds_what_it_gets() {
    let mut lines = std::io::stdin().lines();
    let (Some(Ok(url)), Some(Ok(prefix)), Some(Ok(name))) = (lines.next(), lines.next(), lines.next()) else {
        return;
    };
    let side = Side::new(&url, &prefix, &name);
    let running = side.consume(options(500, 64), |deliveries| async move {
        for delivery in &deliveries {
            writeln!(std::io::stdout(), "\ncommitted {}", delivery.entry.id).unwrap();
        }
        std::future::pending::<()>().await;
        drop(deliveries);
    });
    std::future::pending::<()>().await;
    running.stop().await;
}

#[tokio::test]
async fn a_death_between_commit_and_ack_leads_to_one_more_delivery_elsewhere() {
    let redis = testkit::Redis::create();
    let side = Side::new(&redis.url, &redis.prefix, "survivor");
    let all = ids(20);
    side.announce(Lane::Normal, &all[..10]).await;
    side.announce(Lane::Express, &all[10..]).await;
    let mut child = replica(&redis.url, &redis.prefix, "victim");
    commits(&mut child, 20);
    child.kill().unwrap();
    child.wait().unwrap();

    let record = Record::default();
    let (seen, twice) = (record.clone(), Record::default());
    let second = twice.clone();
    let running = side.consume(options(500, 64), move |deliveries| {
        for delivery in deliveries {
            seen.note(delivery.entry.id);
            if delivery.deliveries == 2 {
                second.note(delivery.entry.id);
            }
            delivery.ack();
        }
        std::future::ready(())
    });
    record.reaches(20).await;
    side.settled().await;
    running.stop().await;
    assert_eq!((record.len(), twice.len()), (20, 20));
    assert_eq!(side.number("chavion_bus_entries_claimed_total"), 20);
}

#[tokio::test]
async fn a_replica_that_comes_back_takes_up_its_own_entries_at_once() {
    let redis = testkit::Redis::create();
    let side = Side::new(&redis.url, &redis.prefix, "phoenix");
    let all = ids(30);
    side.announce(Lane::Normal, &all[..20]).await;
    let mut child = replica(&redis.url, &redis.prefix, "phoenix");
    commits(&mut child, 20);
    child.kill().unwrap();
    child.wait().unwrap();
    side.announce(Lane::Express, &all[20..]).await;

    // A lease longer than the test's patience: only the restart can bring them back. As many places
    // as a slice has: slices at work together may overtake each other.
    let (record, tries) = (Record::default(), Arc::new(Mutex::new(Vec::new())));
    let (seen, counts) = (record.clone(), tries.clone());
    let running = side.consume(ConsumerOptions { slice: 4, ..options(120_000, 4) }, move |deliveries| {
        for delivery in deliveries {
            seen.note(delivery.entry.id);
            counts.lock().unwrap().push(delivery.deliveries);
            delivery.ack();
        }
        std::future::ready(())
    });
    record.reaches(30).await;
    side.settled().await;
    running.stop().await;
    assert_eq!(record.len(), 30);
    let tries = tries.lock().unwrap();
    assert!(tries.iter().filter(|tries| **tries == 2).count() >= 20);
    assert!(tries.iter().rev().is_sorted(), "its own come first: {tries:?}");
}
