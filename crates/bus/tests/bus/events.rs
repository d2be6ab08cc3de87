//! Following a feed.

use bus::{EVENTS, Entry, EventId, Range, Seen, Tail};
use uuid::Uuid;

use crate::server::Server;
use crate::setup::{Side, ids};

async fn publish(side: &Side, ids: &[Uuid]) {
    let entries: Vec<_> = ids.iter().map(|id| Entry::new(*id, "바뀜", None)).collect();
    side.bus.publish(&EVENTS, &entries).await.unwrap();
}

/// Reads on until so many entries came; a gap is a failure.
async fn take(tail: &mut Tail, count: usize) -> Vec<(EventId, Uuid)> {
    let mut all = Vec::new();
    while all.len() < count {
        match tokio::time::timeout(testkit::PATIENCE, tail.next()).await.expect("something comes") {
            Seen::Events(events) => all.extend(events.into_iter().map(|(id, entry)| (id, entry.id))),
            Seen::Gap => panic!("a gap after {} of {count}", all.len()),
        }
    }
    assert_eq!(all.len(), count);
    assert!(all.is_sorted());
    all
}

fn names(events: &[(EventId, Uuid)]) -> Vec<Uuid> {
    events.iter().map(|(_, id)| *id).collect()
}

#[tokio::test]
async fn followers_see_everything_once_and_resume_where_they_were() {
    let redis = testkit::Redis::create();
    let side = Side::new(&redis.url, &redis.prefix, "a");
    publish(&side, &ids(3)).await;
    let all = ids(1500);
    let (mut one, mut two) = (side.bus.tail(&EVENTS, None).await.unwrap(), side.bus.tail(&EVENTS, None).await.unwrap());
    publish(&side, &all[..700]).await;
    let seen = take(&mut one, 700).await;
    assert_eq!(names(&seen), all[..700]);
    publish(&side, &all[700..]).await;
    assert_eq!(names(&take(&mut one, 800).await), all[700..]);
    // The second never looked: it was far behind, and misses nothing.
    assert_eq!(names(&take(&mut two, 1500).await), all);

    let mut back = side.bus.tail(&EVENTS, Some(seen[99].0)).await.unwrap();
    assert_eq!(names(&take(&mut back, 1400).await), all[100..]);
    let Range { gap, events } = side.bus.range(&EVENTS, seen[99].0, 5).await.unwrap();
    assert!(!gap);
    assert_eq!(events.iter().map(|(_, entry)| entry.id).collect::<Vec<_>>(), all[100..105]);
    assert_eq!(events[0].1.kind, "바뀜");
    let whole = side.bus.range(&EVENTS, EventId::START, 10_000).await.unwrap();
    assert_eq!((whole.gap, whole.events.len()), (false, 1000));
    let rest = side.bus.range(&EVENTS, whole.events[999].0, 10_000).await.unwrap();
    assert_eq!((rest.gap, rest.events.len()), (false, 503));
}

#[tokio::test]
async fn a_gap_is_told() {
    let redis = testkit::Redis::create();
    let side = Side::new(&redis.url, &redis.prefix, "a");
    publish(&side, &ids(10)).await;
    let first = side.bus.range(&EVENTS, EventId::START, 1).await.unwrap().events[0].0;
    let mut raw = redis::Client::open(redis.url.as_str()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let key = format!("{}{}", redis.prefix, EVENTS.name());
    redis::cmd("XTRIM").arg(key).arg("MAXLEN").arg(5).exec_async(&mut raw).await.unwrap();

    let range = side.bus.range(&EVENTS, first, 100).await.unwrap();
    assert_eq!((range.gap, range.events.len()), (true, 5));
    let mut tail = side.bus.tail(&EVENTS, Some(first)).await.unwrap();
    assert_eq!(tail.next().await, Seen::Gap);
    let more = ids(2);
    publish(&side, &more).await;
    assert_eq!(names(&take(&mut tail, 2).await), more);
}

#[tokio::test]
async fn a_follower_misses_nothing_over_a_cut() {
    let redis = testkit::Redis::create();
    let proxy = testkit::Proxy::before(&redis.url).await;
    let side = Side::new(&proxy.through(&redis.url), &redis.prefix, "a");
    let outside = Side::new(&redis.url, &redis.prefix, "outside");
    let all = ids(40);
    let mut tail = side.bus.tail(&EVENTS, None).await.unwrap();
    publish(&outside, &all[..10]).await;
    assert_eq!(names(&take(&mut tail, 10).await), all[..10]);
    proxy.cut();
    publish(&outside, &all[10..20]).await;
    proxy.heal();
    assert_eq!(names(&take(&mut tail, 10).await), all[10..20]);
    publish(&outside, &all[20..]).await;
    assert_eq!(names(&take(&mut tail, 20).await), all[20..]);
}

#[tokio::test]
async fn a_follower_is_told_when_redis_was_lost_and_goes_on() {
    let mut server = Server::start(false).await;
    let side = Side::new(&server.url(), "p:", "a");
    let mut tail = side.bus.tail(&EVENTS, None).await.unwrap();
    let all = ids(3);
    publish(&side, &all[..1]).await;
    take(&mut tail, 1).await;
    server.kill();
    server.restart().await;
    assert_eq!(tokio::time::timeout(testkit::PATIENCE, tail.next()).await.unwrap(), Seen::Gap);
    publish(&side, &all[1..]).await;
    assert_eq!(names(&take(&mut tail, 2).await), all[1..]);
}

#[tokio::test]
async fn a_feed_keeps_about_twenty_thousand() {
    let server = Server::start(false).await;
    let side = Side::new(&server.url(), "p:", "a");
    for _ in 0..25 {
        publish(&side, &ids(1000)).await;
    }
    let (mut kept, mut after) = (0, EventId::START);
    loop {
        let range = side.bus.range(&EVENTS, after, 1000).await.unwrap();
        assert!(!range.gap);
        let Some((last, _)) = range.events.last() else { break };
        (kept, after) = (kept + range.events.len(), *last);
    }
    assert!((20_000..20_200).contains(&kept), "{kept}");
    assert_eq!(side.number("chavion_bus_entries_published_total"), 25_000);
}
