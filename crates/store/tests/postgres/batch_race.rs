//! Several batch-pollers at once: whatever they do at the same moment happens once.

use crate::{
    batch::{LONG, NONE, answered, close, item},
    fixture::{Fixture, LEASE},
};
use domain::{
    batch::ItemState,
    task::{Cause, Failure, Kind, State},
};
use std::time::Duration;
use store::{ItemEnd, ItemThen, NewItem, Settled};
use tokio::task::JoinSet;
use uuid::Uuid;

const ROUNDS: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn asks_collected_together_go_into_one_batch_whoever_closes_it() {
    let fixture = Fixture::new().await;
    for round in 0..ROUNDS {
        let claimed = fixture.claimed(24).await;
        fixture.collect(&claimed).await;
        let mut replicas = JoinSet::new();
        for _ in 0..3 {
            let store = fixture.store.clone();
            replicas.spawn(async move { store.batch_close(&close(NONE)).await.unwrap() });
        }
        let closed: Vec<i32> = replicas.join_all().await.into_iter().flatten().map(|batch| batch.items).collect();
        assert_eq!(closed, [24], "round {round}");
    }
    let gaps = "select count(*) from (select batch_id from batch_items group by 1
        having count(distinct seq) <> 24 or min(seq) <> 0 or max(seq) <> 23) g";
    assert_eq!(fixture.value::<i64>(gaps).await, 0);
}

/// What arrives while a group is being closed waits for the next batch, and is not sent before its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_arrives_during_a_close_is_neither_lost_nor_hurried() {
    let fixture = Fixture::new().await;
    for _ in 0..ROUNDS {
        let claimed = fixture.claimed(30).await;
        fixture.collect(&claimed[..20]).await;
        fixture.sql("update batch_items set collected_at = now() - interval '1 h' where state = 'queued'").await;
        let mut calls = JoinSet::new();
        let late: Vec<NewItem> = claimed[20..].iter().map(item).collect();
        let store = fixture.store.clone();
        calls.spawn(async move { drop(store.batch_collect("test", &late).await.unwrap()) });
        for _ in 0..3 {
            let store = fixture.store.clone();
            calls.spawn(async move { drop(store.batch_close(&close(LONG / 2)).await.unwrap()) });
        }
        calls.join_all().await;
        let left: i64 = fixture.count("batch_items where state = 'queued'").await;
        let sent: i64 = fixture.count("batch_items where state = 'submitted'").await;
        assert_eq!(sent + left, 30);
        assert_eq!(fixture.count("batches").await, 1, "one was due");
        fixture.sql("delete from batch_items; delete from batches").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_batch_is_taken_by_one() {
    let fixture = Fixture::new().await;
    for _ in 0..6 {
        let batch = fixture.closed(1).await;
        assert_eq!(batch.0.items, 1);
    }
    for round in 1..=ROUNDS {
        let mut replicas = JoinSet::new();
        for replica in 0..4 {
            let store = fixture.store.clone();
            replicas.spawn(async move { store.batch_take(&replica.to_string(), LEASE, 3).await.unwrap() });
        }
        let taken: Vec<_> = replicas.join_all().await.into_iter().flatten().collect();
        assert_eq!(taken.len(), 6);
        assert!(taken.iter().all(|row| row.hold == i32::try_from(round).unwrap()), "each once a round");
        for row in taken {
            assert!(fixture.store.batch_release(row.id, row.hold, NONE, None).await.unwrap());
        }
    }
}

/// Two replicas, one of which thinks that it still holds the batch, read the same results in different slices; some
/// items are to ride again; others are cancelled or given up at the same moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn items_end_once_and_are_booked_once_whoever_settles_them() {
    let fixture = Fixture::with_connections(12).await;
    fixture
        .sql("insert into budgets (scope, name, period, limit_nanos) values ('all', 'all', 'total', 1000000000)")
        .await;
    let mut expected = 0;
    for round in 0..ROUNDS {
        let (batch, claimed) = fixture.running(24).await;
        let wishes: Vec<store::Wanted> = claimed.iter().map(|task| crate::batch::wanted(task, 100)).collect();
        assert!(fixture.store.budget_reserve(&wishes).await.unwrap().is_empty());
        fixture.sql("update batch_items set give_up_at = now() where state = 'submitted' and seq % 4 = 0").await;
        let mut calls = JoinSet::new();
        for replica in 0..2_usize {
            let store = fixture.store.clone();
            let (id, hold) = (batch.id, batch.hold);
            calls.spawn(async move {
                let mut ends: Vec<ItemEnd> = (0..24).map(end).collect();
                ends.rotate_left(replica * 7 + round % 5);
                let mut settled = Vec::new();
                for slice in ends.chunks(5 + replica * 3) {
                    settled.extend(store.batch_settle(id, hold, slice).await.unwrap());
                }
                settled.iter().map(|item| (item.seq, item.then)).collect::<Vec<_>>()
            });
        }
        let (store, task) = (fixture.store.clone(), claimed[5].id);
        calls.spawn(async move {
            store.cancel(task, "그만").await.unwrap();
            Vec::new()
        });
        let store = fixture.store.clone();
        calls.spawn(async move {
            store.batch_give_up("마감", 100).await.unwrap();
            Vec::new()
        });
        let store = fixture.store.clone();
        calls.spawn(async move {
            store.sweep(Duration::ZERO, 1_000, true).await.unwrap();
            Vec::new()
        });
        let mut settled: Vec<(i32, Settled)> = calls.join_all().await.into_iter().flatten().collect();
        settled.sort_by_key(|(seq, _)| *seq);
        assert_eq!(settled.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), (0..24).collect::<Vec<_>>(), "once each");
        expected += 24 - 8;
        assert_eq!(fixture.count("charges").await, expected, "every third has none");
        assert_eq!(fixture.count("batch_items where state = 'submitted'").await, 0);
        // Whatever waits again is one item of the task's very attempt, and nothing else is.
        let strays = "batch_items i join tasks t on t.id = i.task_id
            where i.state = 'queued' and (i.attempt <> t.attempt or t.state not in ('in_progress', 'cancelled'))";
        assert_eq!(fixture.count(strays).await, 0);
        let lost = "tasks t where state = 'in_progress' and parent_id is not null and not exists (
            select from batch_items i where i.task_id = t.id and i.attempt = t.attempt and i.state = 'queued')";
        assert_eq!(fixture.count(lost).await, 0, "every task that waits has an item");
        // None of them rides: the next round begins with an empty group.
        fixture.store.batch_close(&close(NONE)).await.unwrap();
        fixture.sql("update batch_items set state = 'cancelled', body = null where state = 'submitted'; update batches set cleaned_at = now()").await;
        fixture.sql("update tasks set state = 'cancelled', ended_at = now() where state = 'in_progress' and parent_id is not null").await;
    }
    let spent = "select spent_nanos = (select sum(nanos) from charges) from budgets";
    assert!(fixture.value::<bool>(spent).await);
    let aside = "select reserved_nanos = (select coalesce(sum(nanos), 0) from reservations) from budgets";
    assert!(fixture.value::<bool>(aside).await);
}

/// Batches that hold asks of the same orders in different mixtures are settled at once, each order with a budget of its
/// own: what one books another gives back.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn budgets_that_several_batches_share_are_waited_for_in_one_order() {
    let fixture = Fixture::with_connections(12).await;
    fixture
        .sql("insert into budgets (scope, name, period, limit_nanos) values ('agent', 'bora', 'day', 100000000)")
        .await;
    for round in 0..10_u64 {
        let mut claimed = Vec::new();
        for _ in 0..8 {
            claimed.extend(fixture.claimed(6).await);
        }
        let own = "insert into budgets (scope, name, period, limit_nanos)
            select 'order', id::text, 'total', 1000000 from tasks where parent_id is null on conflict do nothing";
        fixture.sql(own).await;
        let wishes: Vec<store::Wanted> = claimed.iter().map(|task| crate::batch::wanted(task, 100)).collect();
        assert!(fixture.store.budget_reserve(&wishes).await.unwrap().is_empty());
        crate::race::shuffle(&mut claimed, round);
        let mut batches = Vec::new();
        for some in claimed.chunks(12) {
            fixture.collect(some).await;
            batches.push(fixture.store.batch_close(&close(NONE)).await.unwrap().unwrap().id);
        }
        let taken = fixture.store.batch_take("test", LEASE, 10).await.unwrap();
        assert_eq!(taken.len(), batches.len());
        let mut calls = JoinSet::new();
        for row in taken {
            let store = fixture.store.clone();
            calls.spawn(async move {
                let ends: Vec<ItemEnd> = (0..12).map(mixed).collect();
                for slice in ends.chunks(6) {
                    assert_eq!(store.batch_settle(row.id, row.hold, slice).await.unwrap().len(), 6);
                }
                assert!(store.batch_release(row.id, row.hold, LONG, None).await.unwrap());
            });
        }
        calls.join_all().await;
        // What rides again is dropped, and gives its money back.
        fixture.sql("update tasks set state = 'cancelled', ended_at = now() where state = 'in_progress' and parent_id is not null").await;
        assert!(fixture.store.batch_close(&close(NONE)).await.unwrap().is_none());
    }
    assert_eq!(fixture.count("reservations").await, 0);
    assert_eq!(fixture.count("budgets where reserved_nanos <> 0").await, 0);
    let untrue = "budgets b where scope = 'order' and spent_nanos <> (
        select sum(c.nanos) from charges c join tasks t on t.id = c.task_id where t.root_id::text = b.name)";
    assert_eq!(fixture.count(untrue).await, 0);
}

/// Answered, riding again, or failed without a charge.
fn mixed(seq: i32) -> ItemEnd {
    let failure = Failure::new(Cause::Refused, "거절");
    match seq % 3 {
        0 => answered(seq),
        1 => ItemEnd { seq, ..end(0) },
        _ => {
            ItemEnd { charge: None, state: ItemState::FailedPermanent, then: ItemThen::Fail(failure), ..answered(seq) }
        }
    }
}

/// Answered, or expired and riding again (uncharged).
fn end(seq: i32) -> ItemEnd {
    if seq % 3 == 0 {
        ItemEnd { state: ItemState::Expired, charge: None, then: ItemThen::Again, ..answered(seq) }
    } else {
        answered(seq)
    }
}

/// A worker renews its leases while another collects, and the sweep takes away what has none: none of these may take an
/// ask back from its batch.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_late_renewal_gives_no_lease_to_what_a_batch_keeps() {
    let fixture = Fixture::new().await;
    for _ in 0..ROUNDS {
        let claimed = fixture.claimed(10).await;
        let held: Vec<(Uuid, i32)> = claimed.iter().map(|task| (task.id, task.attempt)).collect();
        let mut calls = JoinSet::new();
        let store = fixture.store.clone();
        calls.spawn(async move { drop(store.renew("test", &held, Duration::from_millis(1)).await.unwrap()) });
        let (store, items) = (fixture.store.clone(), claimed.iter().map(item).collect::<Vec<_>>());
        calls.spawn(async move { assert_eq!(store.batch_collect("test", &items).await.unwrap().len(), 10) });
        calls.join_all().await;
        assert_eq!(fixture.count("tasks where lease_until is not null").await, 0);
    }
    assert_eq!(fixture.store.sweep(Duration::ZERO, 10_000, true).await.unwrap().batch.len(), 0);
    assert_eq!(fixture.count("tasks where kind = 'ask' and state <> 'in_progress'").await, 0);
}

/// What a crash cuts off is done again: each step is safe to repeat, by whoever takes the batch next.
#[tokio::test]
async fn a_batch_whose_holder_dies_at_any_step_is_carried_on_by_the_next() {
    let fixture = Fixture::new().await;
    let claimed = fixture.claimed(3).await;
    let items: Vec<NewItem> = claimed.iter().map(item).collect();
    for _ in 0..2 {
        fixture.store.batch_collect("test", &items).await.unwrap();
    }
    let batch = fixture.store.batch_close(&close(NONE)).await.unwrap().unwrap();
    assert!(fixture.store.batch_close(&close(NONE)).await.unwrap().is_none());
    let store = &fixture.store;
    let next = async || {
        fixture.sql("update batches set lease_until = now() - interval '1 s', due_at = now()").await;
        store.batch_take("다음", LEASE, 1).await.unwrap().remove(0)
    };
    let row = next().await;
    assert!(store.batch_uploaded(row.id, row.hold, "file").await.unwrap());
    let row = next().await;
    assert_eq!(row.input_file.as_deref(), Some("file"));
    assert!(store.batch_intent(row.id, row.hold).await.unwrap());
    let row = next().await;
    assert!(row.intent_at.is_some() && row.remote_id.is_none(), "to be looked up");
    assert!(store.batch_created(row.id, row.hold, &crate::batch::created("msgbatch")).await.unwrap());
    let row = next().await;
    assert!(store.batch_ended(row.id, row.hold, &store::JobEnd::default()).await.unwrap());
    let row = next().await;
    assert_eq!(store.batch_settle(row.id, row.hold, &[answered(0)]).await.unwrap().len(), 1);
    let row = next().await;
    let all: Vec<ItemEnd> = (0..3).map(answered).collect();
    assert_eq!(store.batch_settle(row.id, row.hold, &all).await.unwrap().len(), 2);
    let row = next().await;
    assert!(store.batch_settled(row.id, row.hold).await.unwrap());
    let row = next().await;
    assert!(store.batch_cleaned(row.id, row.hold).await.unwrap());
    assert_eq!((row.id, row.hold), (batch.id, 8));
    assert!(store.batch_take("다음", LEASE, 1).await.unwrap().is_empty());
    assert_eq!((fixture.count("charges").await, fixture.count("tasks where state = 'completed'").await), (3, 3));
    assert!(fixture.store.claim(&[claimed[0].id], Kind::Ask, "w", LEASE, false).await.unwrap().is_empty());
    assert_eq!(fixture.state(claimed[0].id).await, State::Completed);
}
