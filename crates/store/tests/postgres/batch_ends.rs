//! Ends of batches and of items that nobody settles: cleaned, given up, sent back, halved.

use crate::{
    batch::{LONG, NONE, answered, close, wanted},
    fixture::{Fixture, LEASE},
};
use domain::{
    advance::Work,
    batch::{BatchState, ItemState},
    pace::Pace,
    task::Kind,
};
use serde_json::Value;
use store::{ItemEnd, ItemThen, JobEnd, Settled, Wanted};
use uuid::Uuid;

fn end(seq: i32, state: ItemState, then: ItemThen) -> ItemEnd {
    ItemEnd { seq, state, reason: Some("사유".to_owned()), charge: None, then }
}

fn now() -> ItemThen {
    ItemThen::Now { reason: "세 번 실패했다".to_owned() }
}

#[tokio::test]
async fn a_batch_is_settled_when_its_last_item_has_ended_and_then_cleaned() {
    let fixture = Fixture::new().await;
    let (batch, _) = fixture.running(3).await;
    let (id, hold, store) = (batch.id, batch.hold, &fixture.store);
    store.batch_settle(id, hold, &[answered(0), answered(1)]).await.unwrap();
    assert!(!store.batch_settled(id, hold).await.unwrap(), "it has not ended");
    assert!(store.batch_ended(id, hold, &JobEnd::default()).await.unwrap());
    assert!(!store.batch_settled(id, hold).await.unwrap(), "one item is left");
    assert!(!store.batch_failed(id, hold, "모두").await.unwrap() && !store.batch_cleaned(id, hold).await.unwrap());
    let rest = store.batch_rest(id, -1, 10).await.unwrap();
    assert_eq!(rest.iter().map(|item| item.seq).collect::<Vec<_>>(), [2]);
    store.batch_settle(id, hold, &[end(2, ItemState::Missing, ItemThen::Again)]).await.unwrap();
    assert!(store.batch_rest(id, -1, 10).await.unwrap().is_empty());
    assert!(store.batch_settled(id, hold).await.unwrap());
    assert!(!store.batch_settled(id, hold).await.unwrap());
    let tally: Value = fixture.value("select tally from batches").await;
    assert_eq!(tally["counts"], serde_json::json!({"missing": 1, "succeeded": 2}));
    assert_eq!((&tally["nanos"], &tally["list_nanos"]), (&1_000.into(), &2_000.into()));
    assert!(store.batch_release(id, hold, NONE, None).await.unwrap());
    let row = store.batch_take("test", LEASE, 10).await.unwrap().remove(0);
    assert_eq!(row.state, BatchState::Settled, "its files are still to be cleaned up");
    assert!(store.batch_cleaned(id, row.hold).await.unwrap());
    assert!(store.batch_take("test", LEASE, 10).await.unwrap().is_empty());
    assert!(store.batch_counts().await.unwrap().batches.is_empty());
}

#[tokio::test]
async fn a_batch_that_failed_as_a_whole_ends_once_its_items_went_other_ways() {
    let fixture = Fixture::new().await;
    let (batch, _) = fixture.running(2).await;
    let (id, hold, store) = (batch.id, batch.hold, &fixture.store);
    assert!(!store.batch_failed(id, hold, "파일이 잘못됐다").await.unwrap());
    let ends = [end(0, ItemState::FailedRetryable, ItemThen::Again), end(1, ItemState::FailedRetryable, now())];
    store.batch_settle(id, hold, &ends).await.unwrap();
    assert!(store.batch_failed(id, hold, "파일이 잘못됐다").await.unwrap());
    let tally: Value = fixture.value("select tally from batches where state = 'failed' and ended_at is not null").await;
    assert_eq!(tally["counts"], serde_json::json!({"failed_retryable": 2}));
    assert!(store.batch_cleaned(id, hold).await.unwrap());
}

#[tokio::test]
async fn items_carry_what_deciding_needs() {
    let fixture = Fixture::new().await;
    let (batch, claimed) = fixture.running(5).await;
    fixture.store.cancel(claimed[1].id, "하나만").await.unwrap();
    fixture.store.batch_settle(batch.id, batch.hold, &[answered(2)]).await.unwrap();
    fixture.sql("update batch_items set abandoned_at = now() where seq = 3").await;
    let items = fixture.store.batch_items(batch.id, &[4, 3, 2, 1, 0, 77]).await.unwrap();
    assert_eq!(items.iter().map(|item| item.seq).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert_eq!(items.iter().map(|item| item.waited_for).collect::<Vec<_>>(), [true, false, false, false, true]);
    assert_eq!(items[2].state, ItemState::Succeeded);
    let first = &items[0];
    assert_eq!((first.task, first.root_id), ((claimed[0].id, 1), claimed[0].root_id));
    assert_eq!(
        (first.agent.as_deref(), first.provider.as_str(), first.model.as_str()),
        (Some("bora"), "anthropic", "claude")
    );
    assert_eq!((first.tries, first.misfits, first.retry, first.fallback), (1, 0, 1, true));
    let schema = serde_json::to_string(first.schema.as_ref().unwrap()).unwrap();
    assert!(schema.contains(r#"{"z":{},"a":{},"bb":{}}"#), "{schema}");
    assert_eq!((first.priority, &first.traceparent), (claimed[0].priority, &claimed[0].traceparent));
    assert!(fixture.store.batch_items(batch.id, &[]).await.unwrap().is_empty());
    // The rest, slice by slice.
    let rest = fixture.store.batch_rest(batch.id, -1, 2).await.unwrap();
    assert_eq!(rest, items[..2]);
    let rest = fixture.store.batch_rest(batch.id, 1, 10).await.unwrap();
    assert_eq!(rest.iter().map(|item| item.seq).collect::<Vec<_>>(), [3, 4]);
    let ids = [claimed[0].id, claimed[0].root_id, Uuid::now_v7()];
    let works = fixture.store.batch_works(&ids).await.unwrap();
    assert_eq!(works.len(), 1);
    assert_eq!(Work::Ask(works[&claimed[0].id].clone()), claimed[0].work);
    fixture
        .sql("update tasks set work = jsonb_set(work::jsonb, '{fallback}', 'false')::json where work is not null")
        .await;
    assert!(!fixture.store.batch_items(batch.id, &[0]).await.unwrap()[0].fallback);
}

#[tokio::test]
async fn items_are_given_up_when_their_time_has_come() {
    let fixture = Fixture::new().await;
    fixture.sql("insert into budgets (scope, name, period, limit_nanos) values ('all', 'all', 'total', 900000)").await;
    let store = &fixture.store;
    let (running, first) = fixture.running(2).await;
    let (other, second) = fixture.running(2).await;
    assert!(store.batch_release(running.id, running.hold, LONG, None).await.unwrap());
    let queued = fixture.claimed(2).await;
    let wishes: Vec<Wanted> = queued.iter().map(|task| wanted(task, 4_000)).collect();
    assert!(store.budget_reserve(&wishes).await.unwrap().is_empty());
    fixture.collect(&queued).await;
    assert_eq!(store.batch_give_up("마감", 10).await.unwrap(), store::GivenUp::default());
    // Both of the first batch, one of the second, one that has no batch yet; and one whose task is gone.
    let due = [first[0].id, first[1].id, second[0].id, queued[0].id, queued[1].id];
    let list = due.map(|id| format!("'{id}'")).join(", ");
    fixture.sql(&format!("update batch_items set give_up_at = now() where task_id in ({list})")).await;
    store.cancel(queued[1].id, "하나만").await.unwrap();
    let mut given_up = store::GivenUp::default();
    for _ in 0..5 {
        let some = store.batch_give_up("마감이 가깝다", 1).await.unwrap();
        assert_eq!(some.items, 1);
        given_up.asks.extend(some.asks);
        given_up.unwanted.extend(some.unwanted);
    }
    assert_eq!(store.batch_give_up("마감이 가깝다", 1).await.unwrap().items, 0, "once is enough");
    let mut ids: Vec<Uuid> = given_up.asks.iter().map(|name| name.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, due[..4]);
    assert!(given_up.asks.iter().all(|name| (name.kind, name.pace) == (Kind::Ask, Pace::Now)));
    assert_eq!(given_up.unwanted, [running.id], "the other has an item that is waited for");
    assert_eq!(
        fixture.count("tasks where state = 'queued' and pace = 'now' and pace_reason = '마감이 가깝다'").await,
        4
    );
    assert_eq!(fixture.count("batch_items where state = 'submitted' and abandoned_at is not null").await, 3);
    assert_eq!(
        fixture.count("batch_items where state = 'cancelled' and body is null and ended_at is not null").await,
        2
    );
    assert_eq!(fixture.value::<i64>("select reserved_nanos from budgets").await, 0);
    assert_eq!(store.batch_unwanted(&[running.id, other.id]).await.unwrap(), [running.id]);
    // It is due at once, to be cancelled at its provider.
    let taken = store.batch_take("test", LEASE, 10).await.unwrap();
    assert_eq!(taken.iter().map(|row| row.id).collect::<Vec<_>>(), [running.id]);
    assert_eq!(fixture.claim(&due).await.len(), 4);
    store.cancel(second[1].id, "이것도").await.unwrap();
    let mut unwanted = store.batch_unwanted(&[running.id, other.id]).await.unwrap();
    unwanted.sort_unstable();
    assert_eq!(unwanted, [running.id, other.id]);
    assert!(store.batch_unwanted(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_answer_that_is_being_taken_in_is_not_given_up() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let (batch, _) = fixture.running(2).await;
    assert!(store.batch_ended(batch.id, batch.hold, &JobEnd::default()).await.unwrap());
    fixture.sql("update batch_items set give_up_at = now() - interval '1 s'").await;
    assert_eq!(store.batch_give_up("마감이 가깝다", 10).await.unwrap(), store::GivenUp::default());
    // Results that cannot be had are not waited for.
    fixture.sql("update batches set ended_at = now() - interval '2 min'").await;
    assert_eq!(store.batch_give_up("마감이 가깝다", 10).await.unwrap().asks.len(), 2);
}

#[tokio::test]
async fn an_ask_that_is_sent_back_is_queued_at_the_same_pace_and_sets_nothing_aside() {
    let fixture = Fixture::new().await;
    fixture.sql("insert into budgets (scope, name, period, limit_nanos) values ('all', 'all', 'total', 900000)").await;
    let claimed = fixture.claimed(2).await;
    let wishes: Vec<Wanted> = claimed.iter().map(|task| wanted(task, 4_000)).collect();
    assert!(fixture.store.budget_reserve(&wishes).await.unwrap().is_empty());
    fixture.collect(&claimed).await;
    let batch = fixture.store.batch_close(&close(NONE)).await.unwrap().unwrap();
    let hold = fixture.store.batch_take("test", LEASE, 1).await.unwrap()[0].hold;
    fixture.store.cancel(claimed[1].id, "하나만").await.unwrap();
    let back = || ItemThen::Back { reason: "쓸 돈이 없다".to_owned() };
    let ends = [0, 1].map(|seq| end(seq, ItemState::FailedRetryable, back()));
    let mut settled = fixture.store.batch_settle(batch.id, hold, &ends).await.unwrap();
    settled.sort_by_key(|item| item.seq);
    assert_eq!(settled.iter().map(|item| item.then).collect::<Vec<_>>(), [Settled::Back, Settled::Late]);
    assert_eq!((settled[0].name.pace, settled[0].name.id), (Pace::Batch, claimed[0].id));
    let queued = "tasks where state = 'queued' and pace = 'batch' and attempt = 1 and holds = 1 and worker is null";
    assert_eq!(fixture.count(&format!("{queued} and progress = '쓸 돈이 없다'")).await, 1);
    assert_eq!(fixture.value::<i64>("select reserved_nanos from budgets").await, 0);
    assert_eq!(fixture.claim(&[claimed[0].id]).await[0].attempt, 2);
}

#[tokio::test]
async fn a_batch_is_halved_and_thinned() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let (batch, claimed) = fixture.closed(5).await;
    let hold = store.batch_take("test", LEASE, 1).await.unwrap()[0].hold;
    store.cancel(claimed[1].id, "하나만").await.unwrap();
    assert_eq!(store.batch_thin(batch.id, hold).await.unwrap(), Some((4, 400)));
    assert_eq!(store.batch_thin(batch.id, hold).await.unwrap(), Some((4, 400)), "once is enough");
    assert_eq!(store.batch_thin(batch.id, hold + 1).await.unwrap(), None);
    assert_eq!(fixture.count("batch_items where batch_id is null and state = 'cancelled' and body is null").await, 1);
    let places = store.batch_places(batch.id, &[0, 1, 3, 9]).await.unwrap();
    let numbers = "select array_agg(seq order by seq) from batch_items where batch_id is not null";
    let numbers: Vec<i32> = fixture.value(numbers).await;
    assert_eq!((places[&0], places[&1], places[&3], places.len()), (numbers[0], numbers[1], numbers[3], 3));

    let halves = [Uuid::now_v7(), Uuid::now_v7()];
    assert!(store.batch_halve(batch.id, hold + 1, halves, "아니", 9).await.unwrap().is_empty());
    assert!(store.batch_halve(batch.id, hold, halves, "아니", 0).await.unwrap().is_empty(), "too many were refused");
    assert_eq!(store.batch_halve(batch.id, hold, halves, "누군가 잘못했다", 9).await.unwrap(), halves);
    assert!(store.batch_halve(batch.id, hold, halves, "또", 9).await.unwrap().is_empty());
    let rows = store.batch_take("test", LEASE, 10).await.unwrap();
    assert!(rows.iter().all(|row| (row.items, row.bytes, row.created_at) == (2, 200, batch.created_at)), "{rows:#?}");
    assert_eq!(rows.iter().map(|row| row.id).collect::<std::collections::BTreeSet<_>>(), halves.into());
    for half in &rows {
        let lines = store.batch_lines(half.id, -1, 10, i64::MAX).await.unwrap();
        assert_eq!(lines.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(fixture.count(&format!("batches where id = '{}' and origin = '{}'", half.id, batch.id)).await, 1);
    }
    assert_eq!(
        fixture.count("batches where state = 'failed' and note = '누군가 잘못했다' and tally is not null").await,
        1
    );
    assert!(fixture.value::<Value>("select tally from batches where state = 'failed'").await["counts"].is_object());
    // A piece of a piece is of the same origin, and its refusal counts.
    let halves = [Uuid::now_v7(), Uuid::now_v7()];
    assert_eq!(store.batch_halve(rows[0].id, rows[0].hold, halves, "또", 1).await.unwrap(), halves);
    let again = [Uuid::now_v7(), Uuid::now_v7()];
    assert!(store.batch_halve(rows[1].id, rows[1].hold, again, "또", 1).await.unwrap().is_empty());
    assert_eq!(fixture.count(&format!("batches where origin = '{}'", batch.id)).await, 4);
}
