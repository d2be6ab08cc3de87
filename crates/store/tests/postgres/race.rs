//! Many at once, on purpose in the wrong order: nothing is lost, nothing happens twice, nobody waits for ever.

use crate::fixture::{Fixture, ask, child, completed, create, created, ended};
use domain::{
    money::Nanos,
    task::{Cause, Failure, State},
};
use std::{collections::HashSet, time::Duration};
use store::{Cancelled, Claimed, End, Store, Write};
use tokio::task::JoinSet;
use uuid::Uuid;

/// Puts a slice into an order of its own, the same for the same seed.
pub(crate) fn shuffle<T>(slice: &mut [T], mut seed: u64) {
    for place in (1..slice.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        slice.swap(place, usize::try_from((seed >> 33) % (place as u64 + 1)).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_claims_each_task_has_one_winner() {
    let fixture = Fixture::new().await;
    let (_, ids) = fixture.asks(200).await;
    let mut workers = JoinSet::new();
    for worker in 0..8 {
        let (store, mut ids) = (fixture.store.clone(), ids.clone());
        workers.spawn(async move {
            shuffle(&mut ids, worker);
            let mut won = Vec::new();
            for slice in ids.chunks(50) {
                let name = worker.to_string();
                won.extend(
                    store.claim(slice, domain::task::Kind::Ask, &name, Duration::from_secs(60), false).await.unwrap(),
                );
            }
            won
        });
    }
    let won: Vec<Claimed> = workers.join_all().await.into_iter().flatten().collect();
    assert_eq!(won.len(), 200);
    assert_eq!(won.iter().map(|task| task.id).collect::<HashSet<_>>().len(), 200);
    assert!(won.iter().all(|task| task.attempt == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_cancel_and_finish_one_wins_and_the_money_is_booked_once_either_way() {
    let fixture = Fixture::new().await;
    let (root, ids) = fixture.asks(100).await;
    let claimed = fixture.claim(&ids).await;
    let mut calls = JoinSet::new();
    for task in claimed {
        for performer in 0..2 {
            let (store, outcome) = (fixture.store.clone(), completed(&task));
            calls.spawn(async move {
                if performer == 0 {
                    store.finish(&[outcome]).await.unwrap().len()
                } else {
                    let advance = store.begin(&[], &[outcome]).await.unwrap();
                    let moved = advance.finished.len();
                    advance.commit(&[]).await.unwrap();
                    moved
                }
            });
        }
        let store = fixture.store.clone();
        calls.spawn(async move {
            match store.cancel(task.id, "그만").await.unwrap() {
                Cancelled::Done { ids, .. } => ids.len(),
                Cancelled::AlreadyEnded { state } => {
                    assert_eq!(state, State::Completed);
                    0
                }
                Cancelled::Unknown => panic!("it is there"),
            }
        });
    }
    assert_eq!(calls.join_all().await.iter().sum::<usize>(), 100, "each task ended once");
    let root = fixture.task(root).await;
    assert_eq!((root.calls, root.nanos), (100, Nanos(100_000)));
    let live = "select count(*) from tasks where parent_id is not null and state not in ('completed', 'cancelled')";
    assert_eq!(fixture.value::<i64>(live).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_root_that_is_cancelled_while_it_grows_leaves_no_child_alive() {
    let fixture = Fixture::new().await;
    let mut calls = JoinSet::new();
    let mut roots = Vec::new();
    for _ in 0..40 {
        let root = fixture.order().await;
        roots.push(root);
        let store = fixture.store.clone();
        calls.spawn(async move {
            let advance = store.begin(&[root], &[]).await.unwrap();
            tokio::task::yield_now().await;
            let writes = [Write::Start(root), create(root, child("a", 0, State::Queued))];
            advance.commit(&writes).await.unwrap();
        });
        let store = fixture.store.clone();
        calls.spawn(async move {
            assert!(matches!(store.cancel(root, "그만").await.unwrap(), Cancelled::Done { .. }));
        });
    }
    calls.join_all().await;
    assert_eq!(fixture.value::<i64>("select count(*) from tasks where state <> 'cancelled' or live").await, 0);
}

/// Takes one step of a slice of orders: whatever ended queues the next of the chain, the last completes the order.
async fn step(store: &Store, roots: &[Uuid], claimed: &[Claimed]) -> Result<Vec<Uuid>, store::Error> {
    let outcomes: Vec<_> = claimed.iter().map(completed).collect();
    let advance = store.begin(roots, &outcomes).await?;
    let (mut writes, mut queued) = (Vec::new(), Vec::new());
    for tree in &advance.trees {
        let root = tree.root.id;
        if tree.root.state == State::Pending {
            let chain: Vec<Write> = (0..3)
                .map(|item| create(root, child("s", item, if item == 0 { State::Queued } else { State::Pending })))
                .collect();
            queued.extend(created(&chain[..1]));
            writes.extend(chain);
            writes.push(Write::Start(root));
        } else if tree.root.state == State::InProgress {
            let live = tree.children.iter().filter(|view| !view.state.is_terminal()).collect::<Vec<_>>();
            match live.iter().find(|view| view.state == State::Pending) {
                Some(next) if live.iter().all(|view| view.state == State::Pending) => {
                    queued.push(next.id);
                    writes.push(Write::Queue {
                        id: next.id,
                        agent: None,
                        title: "다음".to_owned(),
                        work: ask("다음"),
                        pace: domain::pace::Pace::Now,
                        pace_reason: None,
                    });
                }
                None if live.is_empty() => writes.push(Write::Complete { root, report: format!("보고 {root}") }),
                _ => {}
            }
        }
    }
    advance.commit(&writes).await?;
    Ok(queued)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_replicas_that_advance_the_same_orders_in_any_order_lose_nothing() {
    let fixture = Fixture::with_connections(12).await;
    let mut roots = Vec::new();
    for _ in 0..60 {
        roots.push(fixture.order().await);
    }
    let mut replicas = JoinSet::new();
    for replica in 0..8_u64 {
        let (store, mut roots) = (fixture.store.clone(), roots.clone());
        replicas.spawn(async move {
            let mut retried = 0_u32;
            // Every replica drives every order: claims whatever is queued, in its own order, until all have ended.
            for round in 0.. {
                shuffle(&mut roots, replica * 1_000 + round);
                let page = store::Filter { state: Some(State::Queued), ..store::Filter::default() };
                let mut ids: Vec<Uuid> =
                    store.list(&page, None, 500).await.unwrap().tasks.iter().map(|task| task.id).collect();
                shuffle(&mut ids, round);
                let name = replica.to_string();
                let claimed =
                    store.claim(&ids, domain::task::Kind::Ask, &name, Duration::from_secs(60), false).await.unwrap();
                let mut held: Vec<(Uuid, i32)> = claimed.iter().map(|task| (task.id, task.attempt)).collect();
                shuffle(&mut held, round + 1);
                assert_eq!(store.renew(&name, &held, Duration::from_secs(60)).await.unwrap().len(), held.len());
                while let Err(error) = step(&store, &roots[..20], &claimed).await {
                    assert!(error.is_transient(), "{error}");
                    retried += 1;
                }
                if store.counts().await.unwrap().live.is_empty() {
                    break;
                }
            }
            retried
        });
    }
    let retried: u32 = replicas.join_all().await.into_iter().sum();
    assert_eq!(retried, 0, "the lock order leaves no ring to break");
    let (client, _driver) = fixture.client().await;
    let row = client
        .query_one(
            "select count(*) filter (where parent_id is null and state = 'completed'),
                count(*) filter (where parent_id is not null and state = 'completed' and attempt = 1),
                (select count(*) from charges), (select count(*) from reports), count(*) filter (where live)
             from tasks",
            &[],
        )
        .await
        .unwrap();
    let found: Vec<i64> = (0..5).map(|column| row.get(column)).collect();
    assert_eq!(found, [60, 180, 180, 60, 0]);
    // What no foreign key watches.
    let orphans = "select (select count(*) from tasks t where not exists (
            select from tasks r where r.id = t.root_id and r.parent_id is null))
        + (select count(*) from charges c where not exists (select from tasks t where t.id = c.task_id))";
    assert_eq!(fixture.value::<i64>(orphans).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cancels_sweeps_renewals_and_failing_orders_do_not_block_each_other() {
    let fixture = Fixture::with_connections(12).await;
    let mut orders = Vec::new();
    for _ in 0..20 {
        let (root, ids) = fixture.asks(10).await;
        orders.push((root, fixture.claim(&ids).await));
    }
    let held: Vec<(Uuid, i32)> =
        orders.iter().flat_map(|(_, claimed)| claimed.iter().map(|task| (task.id, task.attempt))).collect();
    let mut calls = JoinSet::new();
    for (place, (root, claimed)) in orders.iter().cloned().enumerate() {
        let store = fixture.store.clone();
        calls.spawn(async move {
            let failure = Failure::new(Cause::Exhausted, "끝");
            let outcome = ended(&claimed[9], End::Failed(failure.clone()));
            let advance = store.begin(&[root], &[outcome]).await.unwrap();
            advance.commit(&[Write::Fail { root, failure }]).await.unwrap();
        });
        let (store, mut held) = (fixture.store.clone(), held.clone());
        calls.spawn(async move {
            shuffle(&mut held, place as u64);
            store.renew("test", &held, Duration::from_secs(60)).await.unwrap();
            store.sweep(Duration::ZERO, 1_000, true).await.unwrap();
        });
        let store = fixture.store.clone();
        calls.spawn(async move {
            store.cancel(root, "그만").await.unwrap();
        });
        let (store, mut slice) = (fixture.store.clone(), orders[place].1.clone());
        calls.spawn(async move {
            shuffle(&mut slice, place as u64);
            store.finish(&slice.iter().map(completed).collect::<Vec<_>>()).await.unwrap();
        });
    }
    calls.join_all().await;
    assert_eq!(fixture.value::<i64>("select count(*) from tasks where ended_at is null").await, 0);
    let booked = "select count(*) from charges c join tasks t on t.id = c.task_id and t.attempt = c.attempt";
    assert_eq!(fixture.value::<i64>(booked).await, 200);
}
