//! Settling: an item ends once, its money is booked once, and its task moves if it still waits.

use crate::{
    batch::{NONE, answered, batch_charge, close, wanted},
    fixture::{Fixture, LEASE, STALE},
};
use domain::{
    batch::ItemState,
    money::Nanos,
    pace::Pace,
    task::{Cause, Failure, Kind, State},
};
use store::{ItemEnd, ItemThen, Settled, Wanted};
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
