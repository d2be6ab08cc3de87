//! Claims, leases and outcomes: each move happens once, and money is booked once.

use crate::fixture::{Fixture, LEASE, STALE, charge, child, completed, create, ended};
use domain::{
    money::Nanos,
    task::{Cause, Failure, Kind, Priority, State},
};
use serde_json::json;
use store::{Cancelled, End, Outcome};
use uuid::Uuid;

#[tokio::test]
async fn a_task_is_claimed_once_and_carries_what_it_needs() {
    let fixture = Fixture::new().await;
    let (root, ids) = fixture.asks(3).await;
    let claimed = fixture.claim(&ids).await;
    assert_eq!(claimed.len(), 3);
    let first = &claimed[0];
    assert_eq!((first.root_id, first.attempt, first.step.as_deref()), (root, 1, Some("ask")));
    // The order of a schema's properties survives the database.
    let work = serde_json::to_string(&first.work).unwrap();
    assert!(work.contains(r#""properties":{"z":{},"a":{},"bb":{}}"#), "{work}");
    assert!(work.contains("애견호텔"), "{work}");
    assert!(fixture.claim(&ids).await.is_empty());
    assert_eq!(fixture.state(ids[0]).await, State::InProgress);
}

#[tokio::test]
async fn a_claim_takes_its_kind_alone_and_the_urgent_first() {
    let fixture = Fixture::new().await;
    let root = fixture.order().await;
    let mut writes: Vec<_> = (0..3).map(|item| create(root, child("a", item, State::Queued))).collect();
    if let store::Write::Create { priority, .. } = &mut writes[2] {
        *priority = Priority::Urgent;
    }
    let ids = fixture.start(root, writes).await;
    assert!(fixture.store.claim(&ids, Kind::Command, "w", LEASE, true).await.unwrap().is_empty());
    let claimed = fixture.store.claim(&ids, Kind::Ask, "w", LEASE, true).await.unwrap();
    assert_eq!(claimed.iter().map(|task| task.id).collect::<Vec<_>>(), [ids[2], ids[0], ids[1]]);
    assert_eq!(claimed[0].priority, Priority::Urgent);
}

#[tokio::test]
async fn an_outcome_moves_once_and_is_booked_once() {
    let fixture = Fixture::new().await;
    let (root, ids) = fixture.asks(1).await;
    let claimed = fixture.claim(&ids).await;
    let outcome = completed(&claimed[0]);
    let finished = fixture.store.finish(std::slice::from_ref(&outcome)).await.unwrap();
    assert_eq!((finished.len(), finished[0].root_id, finished[0].state), (1, root, State::Completed));
    assert!(fixture.store.finish(&[outcome]).await.unwrap().is_empty());
    let task = fixture.task(ids[0]).await;
    assert_eq!((task.nanos, task.calls, task.usage.output), (Nanos(1_000), 1, 20));
    assert_eq!((task.model.as_deref(), task.emulated), (Some("anthropic/claude"), true));
    assert_eq!(fixture.task(root).await.nanos, Nanos(1_000));
    let unsettled = "select count(*) from tasks where settled_at is null and ended_at is not null";
    assert_eq!(fixture.value::<i64>(unsettled).await, 1);
}

#[tokio::test]
async fn a_zombie_whose_lease_ran_out_changes_nothing_and_books_nothing() {
    let fixture = Fixture::new().await;
    let (_, ids) = fixture.asks(1).await;
    let zombie = fixture.claim(&ids).await.remove(0);
    fixture.sql("update tasks set lease_until = now() - interval '1 s' where lease_until is not null").await;
    assert_eq!(fixture.store.sweep(STALE, 100, true).await.unwrap().ask.len(), 1);
    let second = fixture.claim(&ids).await.remove(0);
    assert_eq!(second.attempt, 2);
    assert!(fixture.store.renew("test", &[(zombie.id, zombie.attempt)], LEASE).await.unwrap().is_empty());
    assert!(fixture.store.finish(&[completed(&zombie)]).await.unwrap().is_empty());
    assert_eq!(fixture.value::<i64>("select count(*) from charges").await, 0);
    assert_eq!(fixture.state(ids[0]).await, State::InProgress);
    assert_eq!(fixture.store.finish(&[completed(&second)]).await.unwrap().len(), 1);
    assert_eq!(fixture.value::<i32>("select attempt from charges").await, 2);
}

#[tokio::test]
async fn an_answer_that_came_after_its_lease_is_taken_when_nobody_has_begun_again() {
    let fixture = Fixture::new().await;
    let (_, ids) = fixture.asks(1).await;
    let late = fixture.claim(&ids).await.remove(0);
    fixture.sql("update tasks set lease_until = now() - interval '1 s' where lease_until is not null").await;
    assert_eq!(fixture.store.sweep(STALE, 100, true).await.unwrap().ask.len(), 1);
    assert_eq!(fixture.state(ids[0]).await, State::Queued);
    assert_eq!(fixture.store.finish(&[completed(&late)]).await.unwrap().len(), 1);
    assert_eq!(fixture.state(ids[0]).await, State::Completed);
    assert!(fixture.claim(&ids).await.is_empty(), "it is not asked again");
    assert_eq!(fixture.value::<i64>("select count(*) from charges").await, 1);
}

#[tokio::test]
async fn an_ask_that_was_cancelled_while_it_ran_stays_cancelled_and_is_paid_for() {
    let fixture = Fixture::new().await;
    let (root, ids) = fixture.asks(2).await;
    let claimed = fixture.claim(&ids).await;
    assert!(matches!(fixture.store.cancel(root, "그만").await.unwrap(), Cancelled::Done { ids, .. } if ids.len() == 3));
    // One by its performer's own word, one by an advance.
    assert!(fixture.store.finish(&[completed(&claimed[0])]).await.unwrap().is_empty());
    let advance = fixture.store.begin(&[], &[completed(&claimed[1])]).await.unwrap();
    assert!(advance.finished.is_empty());
    assert_eq!(advance.trees[0].root.state, State::Cancelled);
    advance.commit(&[]).await.unwrap();
    let task = fixture.task(ids[0]).await;
    assert_eq!((task.state, task.nanos), (State::Cancelled, Nanos(1_000)));
    assert_eq!(fixture.task(root).await.nanos, Nanos(2_000));
}

#[tokio::test]
async fn again_queues_for_later_and_says_why() {
    let fixture = Fixture::new().await;
    let (_, ids) = fixture.asks(1).await;
    let claimed = fixture.claim(&ids).await.remove(0);
    let mut again = ended(&claimed, End::Again { not_before_ms: 3_600_000, reason: "사용량 제한\0".to_owned() });
    again.charge = Some(charge(7));
    let finished = fixture.store.finish(&[again]).await.unwrap();
    assert_eq!(finished[0].state, State::Queued);
    let task = fixture.task(ids[0]).await;
    assert_eq!((task.progress.as_deref(), task.failure.is_none()), (Some("사용량 제한\u{FFFD}"), true));
    assert!(task.not_before.is_some() && task.ended_at.is_none());
    assert!(fixture.claim(&ids).await.is_empty(), "it is not due yet");
    fixture.sql("update tasks set not_before = now() where not_before is not null").await;
    let second = fixture.claim(&ids).await.remove(0);
    assert_eq!(second.attempt, 2);
    fixture.store.finish(&[completed(&second)]).await.unwrap();
    let task = fixture.task(ids[0]).await;
    assert_eq!((task.state, task.nanos, task.progress), (State::Completed, Nanos(1_007), None));
}

#[tokio::test]
async fn a_queued_task_can_be_refused_without_a_claim_but_not_completed() {
    let fixture = Fixture::new().await;
    let (root, ids) = fixture.asks(2).await;
    let outcome = |id: Uuid, end: End| Outcome {
        id,
        root_id: root,
        attempt: None,
        end,
        model: None,
        emulated: false,
        charge: None,
    };
    let failure = Failure::new(Cause::Unsupported, "일괄 처리는 아직 없다");
    let outcomes =
        [outcome(ids[0], End::Failed(failure.clone())), outcome(ids[1], End::Completed { result: json!({}) })];
    let finished = fixture.store.finish(&outcomes).await.unwrap();
    assert_eq!(finished.iter().map(|one| one.id).collect::<Vec<_>>(), [ids[0]]);
    assert_eq!(fixture.task(ids[0]).await.failure, Some(failure));
    assert_eq!(fixture.state(ids[1]).await, State::Queued);
}

#[tokio::test]
async fn a_lease_is_renewed_for_its_holder_alone() {
    let fixture = Fixture::new().await;
    let (root, ids) = fixture.asks(3).await;
    let held: Vec<(Uuid, i32)> = fixture.claim(&ids).await.iter().map(|task| (task.id, task.attempt)).collect();
    assert!(fixture.store.renew("someone", &held, LEASE).await.unwrap().is_empty());
    fixture.store.cancel(ids[1], "하나만").await.unwrap();
    fixture.sql("update tasks set lease_until = now() - interval '1 s' where lease_until is not null").await;
    let mut renewed = fixture.store.renew("test", &held, LEASE).await.unwrap();
    renewed.sort_unstable();
    assert_eq!(renewed, [ids[0], ids[2]]);
    let late = "select count(*) from tasks where state = 'in_progress' and lease_until < now()";
    assert_eq!(fixture.value::<i64>(late).await, 0);
    // While an advance holds a row, renewing neither waits for it nor reports it lost.
    let claimed = fixture.store.begin(&[root], &[]).await.unwrap();
    assert_eq!(fixture.store.renew("test", &held, LEASE).await.unwrap().len(), 2);
    drop(claimed);
}

#[tokio::test]
async fn nul_in_what_a_performer_brings_is_replaced() {
    let fixture = Fixture::new().await;
    let (root, ids) = fixture.asks(1).await;
    let claimed = fixture.claim(&ids).await.remove(0);
    let result = json!({"text": "출력\0끝", "열\0쇠": ["\0"]});
    fixture.store.finish(&[ended(&claimed, End::Completed { result })]).await.unwrap();
    let results = fixture.store.results(root).await.unwrap();
    assert_eq!(results[1].result, Some(json!({"text": "출력\u{FFFD}끝", "열\u{FFFD}쇠": ["\u{FFFD}"]})));
}

#[tokio::test]
async fn slices_of_three_hundred_are_claimed_and_finished() {
    let fixture = Fixture::new().await;
    let (root, ids) = fixture.asks(300).await;
    let claimed = fixture.claim(&ids).await;
    assert_eq!(claimed.len(), 300);
    let outcomes: Vec<Outcome> = claimed.iter().map(completed).collect();
    assert_eq!(fixture.store.finish(&outcomes).await.unwrap().len(), 300);
    let root = fixture.task(root).await;
    assert_eq!((root.calls, root.nanos), (300, Nanos(300_000)));
}

/// A claim of an ask may be lost with the server, one of a command may not; neither changes the session.
#[tokio::test]
async fn only_a_durable_claim_waits_for_the_disk() {
    let fixture = Fixture::new().await;
    let (_, ids) = fixture.asks(2).await;
    let (client, _driver) = fixture.client().await;
    let statement = client.prepare(include_str!("../../sql/task_claim.sql")).await.unwrap();
    let setting = async || -> String {
        client.query_one("select current_setting('synchronous_commit')", &[]).await.unwrap().get(0)
    };
    for (id, durable, expected) in [(ids[0], true, "on"), (ids[1], false, "off")] {
        client.batch_execute("begin").await.unwrap();
        let claimed = client.query(&statement, &[&vec![id], &"ask", &"w", &1_000_i64, &durable]).await.unwrap();
        assert_eq!((claimed.len(), setting().await.as_str()), (1, expected));
        client.batch_execute("commit").await.unwrap();
        assert_eq!(setting().await, "on");
    }
}
