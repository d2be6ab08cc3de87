//! Throughput, to be run by hand: `cargo nextest run -p store --run-ignored only --no-capture --release smoke`.

use crate::fixture::{Fixture, ask, child, completed, create, created, new_task};
use domain::task::State;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};
use store::{Accepted, Write};
use tokio::task::JoinSet;
use uuid::Uuid;

static ORDERS: AtomicUsize = AtomicUsize::new(0);

/// One order of three chained asks for each of a slice: 1 begin+commit to plan, then for each ask a claim and a
/// begin+commit that ends it.
async fn slice_of_orders(fixture: &Fixture, slice: usize) {
    let store = &fixture.store;
    let tasks: Vec<_> = (0..slice).map(|_| new_task("부하 시험")).collect();
    let accepts = tasks.iter().map(async |task| assert_eq!(store.accept(task).await.unwrap(), Accepted::Created));
    futures_util::future::join_all(accepts).await;
    let roots: Vec<Uuid> = tasks.iter().map(|task| task.id).collect();
    let advance = store.begin(&roots, &[]).await.unwrap();
    let mut writes: Vec<Write> = roots.iter().map(|root| Write::Start(*root)).collect();
    let states = [State::Queued, State::Pending, State::Pending];
    for (item, state) in states.into_iter().enumerate() {
        writes.extend(roots.iter().map(|root| create(*root, child("s", item, state))));
    }
    let ids = created(&writes);
    advance.commit(&writes).await.unwrap();
    for round in 0..3 {
        let claimed = fixture.claim(&ids[round * slice..(round + 1) * slice]).await;
        assert_eq!(claimed.len(), slice);
        let outcomes: Vec<_> = claimed.iter().map(completed).collect();
        let advance = store.begin(&roots, &outcomes).await.unwrap();
        let writes: Vec<Write> = if round == 2 {
            roots.iter().map(|root| Write::Complete { root: *root, report: "# 보고서".to_owned() }).collect()
        } else {
            let read: Vec<Uuid> = claimed.iter().map(|task| task.id).collect();
            assert_eq!(advance.results(&read).await.unwrap().len(), slice);
            ids[(round + 1) * slice..(round + 2) * slice]
                .iter()
                .map(|id| Write::Queue {
                    id: *id,
                    agent: None,
                    title: "다음".to_owned(),
                    work: ask("다음"),
                    pace: domain::pace::Pace::Now,
                    pace_reason: None,
                })
                .collect()
        };
        advance.commit(&writes).await.unwrap();
    }
    ORDERS.fetch_add(slice, Ordering::Relaxed);
}

#[expect(clippy::print_stderr, reason = "a measurement is for reading")]
async fn measure(slice: usize, lanes: usize, rounds: usize) {
    let fixture = std::sync::Arc::new(Fixture::with_connections(16).await);
    slice_of_orders(&fixture, slice).await;
    ORDERS.store(0, Ordering::Relaxed);
    let started = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..lanes {
        let fixture = fixture.clone();
        running.spawn(async move {
            for _ in 0..rounds {
                slice_of_orders(&fixture, slice).await;
            }
        });
    }
    running.join_all().await;
    let seconds = started.elapsed().as_secs_f64();
    let orders = ORDERS.load(Ordering::Relaxed) as f64;
    let (client, _driver) = fixture.client().await;
    client.batch_execute("select pg_stat_force_next_flush()").await.unwrap();
    let row = client
        .query_one(
            "select n_tup_hot_upd, n_tup_upd, pg_relation_size(relid), n_live_tup from pg_stat_user_tables
             where relid = 'tasks'::regclass",
            &[],
        )
        .await
        .unwrap();
    let [hot, updates, bytes, rows]: [i64; 4] = std::array::from_fn(|column| row.get(column));
    eprintln!(
        "slice {slice:3} × {lanes:2} lanes: {:6.0} orders/s, {:6.0} claims/s, {:5.0} advance slices/s, \
         {hot}/{updates} HOT, {} bytes a row",
        orders / seconds,
        3.0 * orders / seconds,
        4.0 * orders / seconds / slice as f64,
        bytes / rows.max(1),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, run by hand"]
async fn one_order_at_a_time() {
    measure(1, 1, 600).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, run by hand"]
async fn small_slices() {
    measure(4, 12, 60).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, run by hand"]
async fn large_slices() {
    measure(32, 4, 40).await;
}
