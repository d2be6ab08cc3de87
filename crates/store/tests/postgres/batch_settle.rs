//! Settling: an item ends once, its money is booked once, and its task moves if it still waits.

use crate::{
    batch::{LONG, NONE, answered, batch_charge, close, wanted},
    fixture::{Fixture, LEASE, STALE},
};
use domain::{
    advance::Work,
    batch::{BatchState, ItemState},
    money::Nanos,
    pace::Pace,
    task::{Cause, Failure, Kind, State},
};
use serde_json::Value;
use store::{ItemEnd, ItemThen, JobEnd, Settled, Wanted};
use uuid::Uuid;

fn end(seq: i32, state: ItemState, then: ItemThen) -> ItemEnd {
    ItemEnd { seq, state, reason: Some("사유".to_owned()), charge: None, then }
}

fn correct() -> ItemThen {
    ItemThen::Correct {
        body: r#"{"물음":"고쳐 답해라"}"#.to_owned(),
        bytes: 222,
        estimate: Nanos(7_777),
        reason: "배열이 아니다".to_owned(),
    }
}

fn now() -> ItemThen {
    ItemThen::Now { reason: "세 번 실패했다".to_owned() }
}

#[tokio::test]
async fn each_item_ends_and_its_task_goes_where_it_is_sent() {
    let fixture = Fixture::new().await;
    let (batch, claimed) = fixture.running(6).await;
    let failure = Failure::new(Cause::Refused, "너무 길다");
    let cancel = Failure::new(Cause::Cancelled, "묶음을 거뒀다");
    let ends = [
        answered(0),
        end(1, ItemState::FailedPermanent, ItemThen::Fail(failure.clone())),
        end(2, ItemState::Expired, ItemThen::Again),
        ItemEnd { charge: Some(batch_charge(9)), ..end(3, ItemState::Succeeded, correct()) },
        end(4, ItemState::Missing, now()),
        end(5, ItemState::Cancelled, ItemThen::Cancel(cancel.clone())),
    ];
    let mut settled = fixture.store.batch_settle(batch.id, batch.hold, &ends).await.unwrap();
    settled.sort_by_key(|item| item.seq);
    use Settled::{Again, Cancelled, Completed, Failed, Now};
    assert_eq!(
        settled.iter().map(|item| item.then).collect::<Vec<_>>(),
        [Completed, Failed, Again, Again, Now, Cancelled]
    );
    for (item, task) in settled.iter().zip(&claimed) {
        assert_eq!((item.name.id, item.name.root_id, item.name.kind), (task.id, task.root_id, Kind::Ask));
        assert_eq!((&item.name.traceparent, item.name.priority), (&task.traceparent, task.priority));
    }
    assert_eq!(settled[4].name.pace, Pace::Now);

    let mut tasks = Vec::new();
    for task in &claimed {
        tasks.push(fixture.task(task.id).await);
    }
    use State::{InProgress, Queued};
    assert_eq!(
        tasks.iter().map(|task| task.state).collect::<Vec<_>>(),
        [State::Completed, State::Failed, InProgress, InProgress, Queued, State::Cancelled]
    );
    assert_eq!((tasks[0].nanos, tasks[0].calls, tasks[0].emulated), (Nanos(500), 1, true));
    assert_eq!(tasks[0].model.as_deref(), Some("anthropic/claude"));
    assert_eq!((&tasks[1].failure, &tasks[5].failure), (&Some(failure), &Some(cancel)));
    assert_eq!(tasks[4].pace, Pace::Now);
    let attempts = "select array_agg(attempt order by item) from tasks where step is not null";
    assert_eq!(fixture.value::<Vec<i32>>(attempts).await, [1, 1, 2, 2, 1, 1]);
    assert_eq!(fixture.count("tasks where pace_reason = '세 번 실패했다' and worker is null").await, 1);
    assert_eq!(fixture.count("tasks where settled_at is null and ended_at is not null").await, 3, "to be settled");
    let results = fixture.store.results(claimed[0].root_id).await.unwrap();
    let text = serde_json::to_string(&results.iter().find(|one| one.id == claimed[0].id).unwrap().result).unwrap();
    assert!(text.contains(r#""data":{"zeta":1,"alpha":2}"#), "{text}");

    let ended =
        "batch_items where batch_id is not null and body is null and ended_at is not null and state <> 'submitted'";
    assert_eq!(fixture.count(ended).await, 6);
    assert_eq!(
        fixture.count("batch_items where state = 'succeeded' and (nanos, list_nanos) in ((500, 1000), (9, 18))").await,
        2
    );
    assert_eq!(fixture.count("charges where pace = 'batch' and list_nanos = 2 * nanos").await, 2);
    let again =
        "batch_items where state = 'queued' and attempt = 2 and tries = 2 and batch_id is null and ended_at is null";
    assert_eq!(fixture.count(&format!("{again} and misfits = 0 and bytes = 100 and body like '%겨울 예약%'")).await, 1);
    assert_eq!(
        fixture
            .count(&format!("{again} and misfits = 1 and bytes = 222 and body like '%고쳐%' and estimate_nanos = 7777"))
            .await,
        1
    );
    assert_eq!(fixture.store.claim(&[claimed[4].id], Kind::Ask, "w", LEASE, false).await.unwrap()[0].attempt, 2);
    fixture.store.sweep(STALE, 100, true).await.unwrap();
    assert_eq!(fixture.store.batch_close(&close(NONE)).await.unwrap().unwrap().items, 2, "they ride again");
}

#[tokio::test]
async fn a_line_that_comes_twice_changes_nothing() {
    let fixture = Fixture::new().await;
    let (batch, claimed) = fixture.running(2).await;
    let (id, hold) = (batch.id, batch.hold);
    let dear = ItemEnd { charge: Some(batch_charge(7_000)), ..answered(0) };
    // Twice in one slice: the first counts.
    let settled = fixture.store.batch_settle(id, hold, &[answered(0), dear.clone()]).await.unwrap();
    assert_eq!(settled.len(), 1);
    for again in [answered(0), dear, end(0, ItemState::Missing, ItemThen::Again), answered(99)] {
        assert!(fixture.store.batch_settle(id, hold, &[again]).await.unwrap().is_empty());
    }
    assert_eq!(fixture.task(claimed[0].id).await.nanos, Nanos(500));
    assert_eq!((fixture.count("charges").await, fixture.count("batch_items").await), (1, 2));
    assert!(fixture.store.batch_settle(id, hold, &[]).await.unwrap().is_empty());
    assert!(fixture.store.batch_settle(Uuid::now_v7(), 0, &[answered(1)]).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_comes_late_is_paid_for_and_otherwise_ignored() {
    let fixture = Fixture::new().await;
    let (batch, claimed) = fixture.running(4).await;
    // Cancelled; abandoned and queued at pace now; abandoned, and asked again; and one that still waits.
    fixture.store.cancel(claimed[0].id, "하나만").await.unwrap();
    fixture.sql("update batch_items set give_up_at = now() - interval '1 s' where seq in (1, 2)").await;
    assert_eq!(fixture.store.batch_give_up("마감이 가깝다", 10).await.unwrap().asks.len(), 2);
    assert_eq!(fixture.claim(&[claimed[2].id]).await[0].attempt, 2);
    let ends: Vec<ItemEnd> = (0..3)
        .map(answered)
        .chain([ItemEnd { charge: Some(batch_charge(9)), ..end(3, ItemState::Succeeded, now()) }])
        .collect();
    let mut settled = fixture.store.batch_settle(batch.id, batch.hold, &ends).await.unwrap();
    settled.sort_by_key(|item| item.seq);
    use Settled::{Late, Now};
    assert_eq!(settled.iter().map(|item| item.then).collect::<Vec<_>>(), [Late, Late, Late, Now]);
    let mut states = Vec::new();
    for task in &claimed {
        let task = fixture.task(task.id).await;
        states.push((task.state, task.nanos.0));
    }
    assert_eq!(states, [(State::Cancelled, 500), (State::Queued, 500), (State::InProgress, 500), (State::Queued, 9)]);
    assert_eq!(fixture.count("charges where attempt = 1").await, 4);
    assert_eq!(fixture.count("batch_items where state = 'succeeded'").await, 4);
    // The charge of the late attempt does not stand in the way of the next one's.
    let outcome = crate::fixture::completed(&fixture.claim(&[claimed[1].id]).await[0]);
    fixture.store.finish(&[outcome]).await.unwrap();
    assert_eq!(fixture.task(claimed[1].id).await.nanos, Nanos(1_500));
}

#[tokio::test]
async fn late_ends_of_every_kind_move_nothing_and_make_nothing() {
    let fixture = Fixture::new().await;
    let (batch, claimed) = fixture.running(5).await;
    fixture.store.cancel(claimed[0].root_id, "모두").await.unwrap();
    let thens =
        [ItemThen::Again, correct(), now(), ItemThen::Fail(Failure::new(Cause::Refused, "아니")), ItemThen::Again];
    let ends: Vec<ItemEnd> = thens.into_iter().zip(0..).map(|(then, seq)| end(seq, ItemState::Expired, then)).collect();
    let settled = fixture.store.batch_settle(batch.id, batch.hold, &ends).await.unwrap();
    assert_eq!(settled.iter().filter(|item| item.then == Settled::Late).count(), 5);
    assert_eq!(fixture.count("tasks where state = 'cancelled' and attempt = 1 and step is not null").await, 5);
    assert_eq!((fixture.count("batch_items").await, fixture.count("charges").await), (5, 0));
}

#[tokio::test]
async fn an_ask_that_rides_twice_is_booked_for_both_attempts() {
    let fixture = Fixture::new().await;
    let (first, claimed) = fixture.running(1).await;
    let misfit = ItemEnd { charge: Some(batch_charge(300)), ..end(0, ItemState::Succeeded, correct()) };
    fixture.store.batch_settle(first.id, first.hold, &[misfit]).await.unwrap();
    let second = fixture.store.batch_close(&close(NONE)).await.unwrap().unwrap();
    let lines = fixture.store.batch_lines(second.id, -1, 10, i64::MAX).await.unwrap();
    assert_eq!(lines, [(0, r#"{"물음":"고쳐 답해라"}"#.to_owned())]);
    let taken = fixture.store.batch_take("test", LEASE, 10).await.unwrap();
    let hold = taken.iter().find(|row| row.id == second.id).unwrap().hold;
    // The first batch has nothing to say any more.
    assert!(fixture.store.batch_settle(first.id, first.hold, &[answered(0)]).await.unwrap().is_empty());
    let settled = fixture.store.batch_settle(second.id, hold, &[answered(0)]).await.unwrap();
    assert_eq!(settled[0].then, Settled::Completed);
    let task = fixture.task(claimed[0].id).await;
    assert_eq!((task.nanos, task.calls, task.state), (Nanos(800), 2, State::Completed));
    assert_eq!(fixture.value::<Vec<i32>>("select array_agg(attempt order by attempt) from charges").await, [1, 2]);
    assert_eq!(fixture.value::<Vec<i32>>("select array_agg(tries order by attempt) from batch_items").await, [1, 2]);
}

#[tokio::test]
async fn money_set_aside_is_spent_kept_for_the_next_ride_or_given_back() {
    let fixture = Fixture::new().await;
    fixture
        .sql(
            "insert into budgets (scope, name, period, limit_nanos)
             values ('all', 'all', 'total', 900000), ('agent', 'bora', 'day', 900000), ('provider', 'openai', 'day', 1)",
        )
        .await;
    let claimed = fixture.claimed(5).await;
    let wishes: Vec<Wanted> = claimed.iter().map(|task| wanted(task, 4_000)).collect();
    assert!(fixture.store.budget_reserve(&wishes).await.unwrap().is_empty());
    fixture.collect(&claimed).await;
    let batch = fixture.store.batch_close(&close(NONE)).await.unwrap().unwrap();
    let hold = fixture.store.batch_take("test", LEASE, 1).await.unwrap()[0].hold;
    let money = async || {
        let text = "select array_agg(array[spent_nanos, reserved_nanos] order by scope, name) from budgets";
        let (client, _driver) = fixture.client().await;
        let row = client.query_one(&format!("select ({text})::text"), &[]).await.unwrap();
        row.get::<_, String>(0)
    };
    assert_eq!(money().await, "{{0,20000},{0,20000},{0,0}}");
    let ends = [
        answered(0),
        end(1, ItemState::Expired, ItemThen::Again),
        ItemEnd { charge: Some(batch_charge(300)), ..end(2, ItemState::Succeeded, correct()) },
        end(3, ItemState::Missing, now()),
    ];
    fixture.store.batch_settle(batch.id, hold, &ends).await.unwrap();
    assert_eq!(money().await, "{{800,12000},{800,12000},{0,0}}", "one waits, two ride again, two are over");
    assert_eq!(fixture.count("reservations where attempt = 2").await, 4);
    fixture.store.budget_mend().await.unwrap();
    assert_eq!(money().await, "{{800,12000},{800,12000},{0,0}}", "nothing of it is stray");
    // A task that is gone gives its money back only when its item has ended.
    fixture.store.cancel(claimed[0].root_id, "그만").await.unwrap();
    fixture.store.budget_mend().await.unwrap();
    assert_eq!(money().await, "{{800,12000},{800,12000},{0,0}}");
    fixture.store.batch_settle(batch.id, hold, &[end(4, ItemState::Missing, ItemThen::Again)]).await.unwrap();
    assert_eq!(money().await, "{{800,8000},{800,8000},{0,0}}");
    assert!(fixture.store.batch_close(&close(NONE)).await.unwrap().is_none());
    assert_eq!(money().await, "{{800,0},{800,0},{0,0}}");
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
async fn nul_in_an_answer_is_replaced() {
    let fixture = Fixture::new().await;
    let (batch, claimed) = fixture.running(1).await;
    let mut end = answered(0);
    end.reason = Some("끝\0".to_owned());
    end.then = ItemThen::Complete {
        result: serde_json::json!({"text": "출력\0끝"}),
        model: "anthropic/\0".to_owned(),
        emulated: false,
    };
    fixture.store.batch_settle(batch.id, batch.hold, &[end]).await.unwrap();
    let results = fixture.store.results(claimed[0].root_id).await.unwrap();
    let result = results.into_iter().find(|one| one.id == claimed[0].id).unwrap().result;
    assert_eq!(result, Some(serde_json::json!({"text": "출력\u{FFFD}끝"})));
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
