//! Blackouts: one ask tries, the others wait, and an end wakes them all. And what batches lately took.

use crate::fixture::{Fixture, connect};
use domain::{
    money::Nanos,
    task::{HeldFor, State},
};
use std::time::Duration;
use store::{BlackoutCache, Held, Hold};
use time::OffsetDateTime;
use tokio::task::JoinSet;

const HALF_A_MINUTE: Duration = Duration::from_secs(30);

fn held(task: &store::Claimed, provider: &str, until: Duration) -> Held {
    Held {
        task: (task.id, task.attempt),
        hold: Hold {
            held_for: HeldFor::Blackout,
            provider: Some(provider.to_owned()),
            nanos: Nanos(0),
            reason: "기다립니다.".to_owned(),
            until: Some(until),
        },
    }
}

#[tokio::test]
async fn a_blackout_grows_with_each_failed_try_and_not_with_what_was_under_way() {
    let fixture = Fixture::new().await;
    let first = fixture.store.blackout_put("gemini", "quota", "오늘 몫을 다 썼습니다\0").await.unwrap();
    assert!(first.new);
    let wait = Duration::try_from(first.probe_at - OffsetDateTime::now_utc()).unwrap();
    assert!(wait > Duration::from_secs(25) && wait <= HALF_A_MINUTE, "{wait:?}");
    let under_way = fixture.store.blackout_put("gemini", "quota", "또").await.unwrap();
    assert_eq!((under_way.new, under_way.probe_at), (false, first.probe_at));
    assert!(!fixture.store.blackout_probe("gemini").await.unwrap(), "it is too early");
    let mut last = HALF_A_MINUTE;
    for probes in 1..=9 {
        fixture.sql("update blackouts set probe_at = now() - interval '1 ms'").await;
        assert!(fixture.store.blackout_probe("gemini").await.unwrap());
        let put = fixture.store.blackout_put("gemini", "billing", "아직").await.unwrap();
        let wait = Duration::try_from(put.probe_at - OffsetDateTime::now_utc()).unwrap();
        let wanted = (last * 2).min(Duration::from_hours(1));
        assert!(!put.new && wait <= wanted && wait > wanted - Duration::from_secs(5), "{probes}: {wait:?}");
        last = wanted;
        let seen = fixture.store.blackouts().await.unwrap().remove(0);
        assert_eq!((seen.probes, seen.probing_until, seen.cause.as_str()), (probes, None, "billing"));
    }
    assert_eq!(fixture.store.blackout_end("gemini").await.unwrap(), Some(Vec::new()));
    assert_eq!(fixture.store.blackout_end("gemini").await.unwrap(), None);
}

#[tokio::test]
async fn one_of_many_may_try() {
    let fixture = Fixture::new().await;
    fixture.store.blackout_put("gemini", "key", "열쇠가 틀립니다").await.unwrap();
    fixture.sql("update blackouts set probe_at = now() - interval '1 s'").await;
    let mut tries = JoinSet::new();
    for _ in 0..12 {
        let store = connect(&fixture.database, 1);
        tries.spawn(async move { store.blackout_probe("gemini").await.unwrap() });
    }
    let winners = tries.join_all().await.into_iter().filter(|won| *won).count();
    assert_eq!(winners, 1);
    let seen = fixture.store.blackouts().await.unwrap().remove(0);
    let now = OffsetDateTime::now_utc();
    assert!(!seen.may_be_probed(now) && seen.wait(now) > HALF_A_MINUTE, "while one tries, the others wait for it");
    fixture.sql("update blackouts set probing_until = now() - interval '1 s'").await;
    assert!(fixture.store.blackout_probe("gemini").await.unwrap(), "one that died is followed by another");
}

#[tokio::test]
async fn the_sweep_wakes_one_to_try_and_the_end_wakes_all() {
    let fixture = Fixture::new().await;
    let (_, ids) = fixture.asks(6).await;
    let claimed = fixture.claim(&ids).await;
    fixture.store.blackout_put("gemini", "quota", "몫").await.unwrap();
    fixture.store.blackout_put("openai", "quota", "몫").await.unwrap();
    let holds: Vec<Held> = claimed
        .iter()
        .enumerate()
        .map(|(place, task)| held(task, ["gemini", "openai", "gone"][place / 2], Duration::ZERO))
        .collect();
    fixture.store.hold(&holds).await.unwrap();
    let swept = fixture.store.sweep(Duration::from_hours(1), 100, true).await.unwrap();
    let woken: Vec<_> = swept.ask.iter().map(|name| name.id).collect();
    assert_eq!(woken, [ids[0], ids[2], ids[4], ids[5]], "one for each blackout, all where there is none");
    let swept = fixture.store.sweep(Duration::from_hours(1), 100, true).await.unwrap();
    assert_eq!(swept.ask.len(), 2, "what tries now is followed by the next, should it be lost");
    let claimed = fixture.claim(&ids).await;
    assert!(claimed.iter().all(|task| task.blackouts && task.asked == 1));
    let holds: Vec<Held> = claimed.iter().take(4).map(|task| held(task, "gemini", Duration::from_hours(1))).collect();
    fixture.store.hold(&holds).await.unwrap();
    let names = fixture.store.blackout_end("gemini").await.unwrap().unwrap();
    assert_eq!(names.len(), 4);
    for name in &names {
        let task = fixture.task(name.id).await;
        assert_eq!((task.state, task.held_for, task.not_before), (State::Queued, None, None));
    }
}

#[tokio::test]
async fn a_cached_reading_is_shared_and_forgotten_on_demand() {
    let fixture = Fixture::new().await;
    let cache = BlackoutCache::default();
    assert!(cache.now(&fixture.store).await.is_empty());
    fixture.store.blackout_put("gemini", "quota", "몫").await.unwrap();
    cache.forget();
    assert!(cache.now(&fixture.store).await.contains_key("gemini"));
    fixture.sql("delete from blackouts").await;
    testkit::until("the reading is renewed", || async { cache.now(&fixture.store).await.is_empty() }).await;
}

#[tokio::test]
async fn what_batches_took_is_known_by_provider() {
    let fixture = Fixture::new().await;
    assert!(fixture.store.batch_took().await.unwrap().is_empty());
    let batches = |provider: &str, minutes: i32, state: &str, ago: &str| {
        format!(
            "insert into batches (id, provider, state, items, bytes, created_at, ended_at)
             select gen_random_uuid(), '{provider}', '{state}', 1, 1, now() - interval '{ago}' - m * interval '1 min',
                 now() - interval '{ago}'
             from generate_series(1, {minutes}) m;"
        )
    };
    fixture.sql(&batches("gemini", 10, "settled", "1 h")).await;
    fixture.sql(&batches("gemini", 40, "settled", "5 days")).await;
    fixture.sql(&batches("openai", 100, "ended", "1 h")).await;
    fixture.sql(&batches("openai", 900, "failed", "1 h")).await;
    fixture.sql("insert into batches (id, provider, items, bytes) values (gen_random_uuid(), 'anthropic', 1, 1)").await;
    let took = fixture.store.batch_took().await.unwrap();
    let minutes = |provider: &str| took.get(provider).map(|took| took.as_secs() / 60);
    assert_eq!([minutes("gemini"), minutes("openai"), minutes("anthropic")], [Some(9), Some(90), None]);
}
