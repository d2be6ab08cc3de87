//! Budgets: set aside before, booked after, never beyond, whoever spends.

use crate::fixture::{Fixture, charge, completed, connect, ended};
use domain::{
    money::Nanos,
    task::{Cause, Failure, HeldFor, State},
};
use std::time::Duration;
use store::{Claimed, End, Held, Hold, Release, Store, Wanted};
use tokio::task::JoinSet;
use uuid::Uuid;

fn wanted(task: &Claimed, nanos: i64) -> Wanted {
    Wanted {
        task: (task.id, task.attempt),
        root_id: task.root_id,
        agent: task.agent.clone(),
        provider: "anthropic".to_owned(),
        nanos: Nanos(nanos),
    }
}

fn hold(nanos: i64, until: Option<Duration>) -> Hold {
    Hold {
        held_for: HeldFor::Budget,
        provider: Some("anthropic".to_owned()),
        nanos: Nanos(nanos),
        reason: "예산이 모자랍니다.".to_owned(),
        until,
    }
}

impl Fixture {
    async fn budget(&self, scope: &str, name: &str, period: &str, limit: i64) {
        self.sql(&format!(
            "insert into budgets (scope, name, period, limit_nanos) values ('{scope}', '{name}', '{period}', {limit})
             on conflict (scope, name, period) do update set limit_nanos = excluded.limit_nanos"
        ))
        .await;
    }

    /// What a budget has spent and set aside.
    async fn sums(&self, scope: &str) -> (i64, i64) {
        let sum = |column: &str| format!("select {column} from budgets where scope = '{scope}'");
        (self.value(&sum("spent_nanos")).await, self.value(&sum("reserved_nanos")).await)
    }
}

#[tokio::test]
async fn without_budgets_nothing_is_refused_and_claims_say_so() {
    let fixture = Fixture::new().await;
    let (_, ids) = fixture.asks(2).await;
    let claimed = fixture.claim(&ids).await;
    assert!(claimed.iter().all(|task| !task.budgeted && !task.blackouts && task.asked == 1));
    let wants: Vec<Wanted> = claimed.iter().map(|task| wanted(task, i64::MAX / 4)).collect();
    assert!(fixture.store.budget_reserve(&wants).await.unwrap().is_empty());
    assert_eq!(fixture.value::<i64>("select count(*) from reservations").await, 0);
}

#[tokio::test]
async fn what_fits_is_set_aside_in_order_and_what_does_not_is_named() {
    let fixture = Fixture::new().await;
    let (root, ids) = fixture.asks(4).await;
    fixture.budget("order", &root.to_string(), "total", 1_000).await;
    fixture.budget("provider", "anthropic", "day", 5_000).await;
    let claimed = fixture.claim(&ids).await;
    assert!(claimed.iter().all(|task| task.budgeted));
    let amounts = [600, 700, 300, 200];
    let wants: Vec<Wanted> = claimed.iter().zip(amounts).map(|(task, nanos)| wanted(task, nanos)).collect();
    let refused = fixture.store.budget_reserve(&wants).await.unwrap();
    let shown: Vec<_> = refused.iter().map(|one| (one.task.0, one.scope.as_str(), one.left, one.asked)).collect();
    let expected = [(claimed[1].id, Nanos(400), 700), (claimed[3].id, Nanos(100), 200)];
    assert_eq!(shown, expected.map(|(id, left, asked)| (id, "order", left, Nanos(asked))));
    let reason = refused[0].reason();
    for part in ["$0.0000007", "$0.000001 for the order", "only $0.0000004 is left", "at least $0.0000013"] {
        assert!(reason.contains(part), "{part} is missing in {reason}");
    }
    assert_eq!((fixture.sums("order").await, fixture.sums("provider").await), ((0, 900), (0, 900)));
    // Asked twice, for the answer was lost, it is set aside once.
    assert_eq!(fixture.store.budget_reserve(&wants).await.unwrap().len(), 2);
    assert_eq!(fixture.sums("order").await, (0, 900));
}

#[tokio::test]
async fn a_booking_takes_the_place_of_what_was_set_aside() {
    let fixture = Fixture::new().await;
    let (_, ids) = fixture.asks(3).await;
    fixture.budget("all", "all", "total", 10_000).await;
    fixture.budget("agent", "bora", "day", 10_000).await;
    let claimed = fixture.claim(&ids).await;
    let wants: Vec<Wanted> = claimed.iter().map(|task| wanted(task, 3_000)).collect();
    assert!(fixture.store.budget_reserve(&wants).await.unwrap().is_empty());
    let failed = ended(&claimed[1], End::Failed(Failure::new(Cause::Exhausted, "대답 없음")));
    let again = ended(&claimed[2], End::Again { not_before_ms: 0, reason: "나중에".to_owned() });
    fixture.store.finish(&[completed(&claimed[0]), failed, again]).await.unwrap();
    assert_eq!((fixture.sums("all").await, fixture.sums("agent").await), ((1_000, 0), (1_000, 0)));
    assert_eq!(fixture.value::<i64>("select count(*) from reservations").await, 0);
    // Booked once, however often it is told.
    fixture.store.finish(&[completed(&claimed[0])]).await.unwrap();
    assert_eq!(fixture.sums("all").await, (1_000, 0));
}

#[tokio::test]
async fn a_budget_that_is_taken_away_takes_what_was_set_aside_with_it() {
    let fixture = Fixture::new().await;
    let (_, ids) = fixture.asks(1).await;
    fixture.budget("all", "all", "total", 10_000).await;
    let claimed = fixture.claim(&ids).await;
    assert!(fixture.store.budget_reserve(&[wanted(&claimed[0], 3_000)]).await.unwrap().is_empty());
    fixture.sql("delete from budgets").await;
    fixture.budget("all", "all", "total", 10_000).await;
    fixture.store.finish(&[completed(&claimed[0])]).await.unwrap();
    assert_eq!(fixture.sums("all").await, (1_000, 0), "a new budget owes nothing to the old one");
}

#[tokio::test]
async fn a_held_ask_that_is_cancelled_waits_for_nothing() {
    let fixture = Fixture::new().await;
    let (root, ids) = fixture.asks(1).await;
    let claimed = fixture.claim(&ids).await;
    fixture.store.hold(&[Held { task: (ids[0], claimed[0].attempt), hold: hold(5, None) }]).await.unwrap();
    fixture.store.cancel(root, "그만").await.unwrap();
    let task = fixture.task(ids[0]).await;
    assert_eq!((task.state, task.held_for, task.held_nanos), (State::Cancelled, None, None));
    assert!(fixture.store.unhold(&Release::Budgets).await.unwrap().is_empty());
}

#[tokio::test]
async fn yesterdays_spending_does_not_count_today() {
    let fixture = Fixture::new().await;
    let (_, ids) = fixture.asks(2).await;
    fixture.budget("all", "all", "day", 1_000).await;
    fixture.sql("update budgets set spent_nanos = 1000, day = day - 1").await;
    let claimed = fixture.claim(&ids).await;
    assert!(fixture.store.budget_reserve(&[wanted(&claimed[0], 900)]).await.unwrap().is_empty());
    let refused = fixture.store.budget_reserve(&[wanted(&claimed[1], 900)]).await.unwrap();
    assert!(refused[0].ends_with_the_day() && refused[0].reason().contains("tomorrow"), "{}", refused[0].reason());
    fixture.sql("update budgets set day = day - 1").await;
    fixture.store.finish(&[completed(&claimed[0])]).await.unwrap();
    assert_eq!(fixture.sums("all").await, (1_000, 0), "the first booking of a day begins anew");
    // Something of the next day was booked already when this, begun before midnight, is.
    fixture.sql("update budgets set day = day + 1").await;
    fixture.store.finish(&[completed(&claimed[1])]).await.unwrap();
    assert_eq!(fixture.sums("all").await, (2_000, 0));
    let day = "budgets where day > (now() at time zone 'utc')::date";
    assert_eq!(fixture.count(day).await, 1, "a day that has begun does not begin again");
}

#[tokio::test]
async fn a_held_ask_says_what_it_waits_for_and_goes_on_when_there_is_money() {
    let fixture = Fixture::new().await;
    let (root, ids) = fixture.asks(4).await;
    fixture.budget("order", &root.to_string(), "total", 1_000).await;
    let claimed = fixture.claim(&ids).await;
    let amounts = [500, 5_000, 600, 700];
    let held: Vec<Held> = claimed
        .iter()
        .zip(amounts)
        .map(|(task, nanos)| Held { task: (task.id, task.attempt), hold: hold(nanos, None) })
        .collect();
    let moved = fixture.store.hold(&held).await.unwrap();
    assert!(moved.len() == 4 && moved.iter().all(|one| one.state == State::Held));
    let task = fixture.task(ids[0]).await;
    assert_eq!((task.state, task.held_for, task.held_nanos), (State::Held, Some(HeldFor::Budget), Some(Nanos(500))));
    assert_eq!(task.progress.as_deref(), Some("예산이 모자랍니다."));
    assert!(task.worker.is_none() && task.ended_at.is_none());
    let swept = fixture.store.sweep(Duration::ZERO, 100, true).await.unwrap();
    assert_eq!((swept.held_for_budget, swept.ask.len()), (4, 0), "nobody is woken in vain");

    let names = fixture.store.unhold(&Release::Budgets).await.unwrap();
    assert_eq!(names.iter().map(|name| name.id).collect::<Vec<_>>(), [ids[0]], "together they do not fit");
    fixture.budget("order", &root.to_string(), "total", 1_300).await;
    let names = fixture.store.unhold(&Release::Budgets).await.unwrap();
    assert_eq!(names.iter().map(|name| name.id).collect::<Vec<_>>(), [ids[2], ids[3]], "in the order of the ids");
    let task = fixture.task(ids[2]).await;
    assert_eq!((task.state, task.held_for, task.held_nanos, task.progress), (State::Queued, None, None, None));
    fixture.sql("delete from budgets").await;
    assert_eq!(fixture.store.unhold(&Release::Budgets).await.unwrap().len(), 1, "without a budget all go on");
    let again = fixture.claim(&ids).await;
    assert!(again.len() == 4 && again.iter().all(|task| task.attempt == 2 && task.asked == 1), "a hold is no repeat");
}

#[tokio::test]
async fn a_hold_with_a_time_ends_by_itself() {
    let fixture = Fixture::new().await;
    let (_, ids) = fixture.asks(2).await;
    let claimed = fixture.claim(&ids).await;
    let until = |task: &Claimed, time| Held { task: (task.id, task.attempt), hold: hold(1, Some(time)) };
    let held = [until(&claimed[0], Duration::ZERO), until(&claimed[1], Duration::from_hours(2))];
    fixture.store.hold(&held).await.unwrap();
    let swept = fixture.store.sweep(Duration::from_hours(1), 100, true).await.unwrap();
    assert_eq!(swept.ask.iter().map(|name| name.id).collect::<Vec<_>>(), [ids[0]]);
    let wait = swept.next_not_before.unwrap();
    assert!(wait > Duration::from_mins(119) && wait <= Duration::from_hours(2), "{wait:?}");
    assert_eq!((fixture.state(ids[0]).await, fixture.state(ids[1]).await), (State::Queued, State::Held));
}

#[tokio::test]
async fn money_set_aside_for_nobody_is_found() {
    let fixture = Fixture::new().await;
    let (root, ids) = fixture.asks(3).await;
    fixture.budget("all", "all", "total", 10_000).await;
    let claimed = fixture.claim(&ids).await;
    let wants: Vec<Wanted> = claimed.iter().map(|task| wanted(task, 1_000)).collect();
    assert!(fixture.store.budget_reserve(&wants).await.unwrap().is_empty());
    fixture.store.budget_mend().await.unwrap();
    assert_eq!(fixture.sums("all").await, (0, 3_000), "who is at work keeps it");
    fixture.sql(&format!("update tasks set lease_until = now() - interval '1 s' where id = '{}'", ids[0])).await;
    fixture.store.sweep(Duration::ZERO, 100, true).await.unwrap();
    assert_eq!(fixture.sums("all").await, (0, 2_000), "a dead performer's is free at once");
    fixture.store.cancel(root, "그만").await.unwrap();
    fixture.store.budget_mend().await.unwrap();
    assert_eq!(fixture.sums("all").await, (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn replicas_never_spend_more_than_the_limit() {
    const LIMIT: i64 = 100_000;
    let fixture = Fixture::new().await;
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.extend(fixture.asks(30).await.1);
    }
    fixture.budget("all", "all", "total", LIMIT).await;
    fixture.budget("agent", "bora", "day", LIMIT + 7_000).await;
    let mut replicas = JoinSet::new();
    for (replica, slice) in ids.chunks(60).enumerate() {
        let (store, slice) = (connect(&fixture.database, 1), slice.to_vec());
        replicas.spawn(async move { spend(&store, &slice, replica).await });
    }
    let beyond = "select count(*) from budgets where spent_nanos + reserved_nanos > limit_nanos or reserved_nanos < 0";
    let mut performed = 0;
    while !replicas.is_empty() {
        assert_eq!(fixture.value::<i64>(beyond).await, 0);
        while let Some(done) = replicas.try_join_next() {
            performed += done.unwrap();
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.value::<i64>(beyond).await, 0);
    let booked: i64 = fixture.value("select coalesce(sum(nanos), 0)::bigint from charges").await;
    assert_eq!((fixture.sums("all").await, fixture.sums("agent").await), ((booked, 0), (booked, 0)));
    assert!(booked <= LIMIT && booked > LIMIT - 2_000, "{booked}: what is left is less than one ask");
    let states = |state: State| format!("select count(*) from tasks where kind = 'ask' and state = '{state}'");
    assert_eq!(fixture.value::<i64>(&states(State::Completed)).await, performed);
    assert_eq!(fixture.value::<i64>(&states(State::Held)).await, 240 - performed, "nobody is lost");
}

/// Performs asks as a replica does, seven at a time, until all of them are done or held.
async fn spend(store: &Store, ids: &[Uuid], replica: usize) -> i64 {
    let mut performed = 0;
    for (round, slice) in ids.chunks(7).enumerate() {
        let claimed = store.claim(slice, domain::task::Kind::Ask, "test", crate::fixture::LEASE, false).await.unwrap();
        let wants: Vec<Wanted> = claimed.iter().map(|task| wanted(task, 2_000)).collect();
        let refused = store.budget_reserve(&wants).await.unwrap();
        let is_refused = |task: &&Claimed| refused.iter().any(|one| one.task.0 == task.id);
        let held: Vec<Held> = claimed
            .iter()
            .filter(is_refused)
            .map(|task| Held { task: (task.id, task.attempt), hold: hold(2_000, None) })
            .collect();
        store.hold(&held).await.unwrap();
        let done: Vec<_> = claimed
            .iter()
            .filter(|task| !is_refused(task))
            .map(|task| {
                let mut outcome = completed(task);
                // It costs less than was reckoned.
                outcome.charge = Some(charge(i64::try_from(500 + (replica * 131 + round * 37) % 1_500).unwrap()));
                outcome
            })
            .collect();
        performed += i64::try_from(done.len()).unwrap();
        store.finish(&done).await.unwrap();
        // What was held goes on when others cost less.
        for name in store.unhold(&Release::Budgets).await.unwrap() {
            let again =
                store.claim(&[name.id], domain::task::Kind::Ask, "test", crate::fixture::LEASE, false).await.unwrap();
            for task in &again {
                if store.budget_reserve(&[wanted(task, 2_000)]).await.unwrap().is_empty() {
                    performed += 1;
                    store.finish(&[completed(task)]).await.unwrap();
                } else {
                    store.hold(&[Held { task: (task.id, task.attempt), hold: hold(2_000, None) }]).await.unwrap();
                }
            }
        }
    }
    performed
}
