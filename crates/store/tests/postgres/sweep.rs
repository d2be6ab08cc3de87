//! The sweep: every task that nobody thinks of any more is named, and nothing else.

use crate::fixture::{Fixture, LEASE, STALE, child, command, completed, create, ended};
use domain::{
    advance::Child,
    pace::Pace,
    task::{Cause, Failure, Kind, Priority, State},
};
use std::time::Duration;
use store::{End, Name, Swept, Write};
use uuid::Uuid;

const LONG_AGO: &str = "update tasks set announced_at = now() - interval '1 h'";

fn ids(names: &[Name]) -> Vec<Uuid> {
    names.iter().map(|name| name.id).collect()
}

#[tokio::test]
async fn an_idle_system_has_nothing_to_sweep() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.store.sweep(Duration::ZERO, 100, true).await.unwrap(), Swept::default());
}

#[tokio::test]
async fn what_was_announced_too_long_ago_is_named_once() {
    let fixture = Fixture::new().await;
    let pending = fixture.order().await;
    let root = fixture.order().await;
    let special = |step: &str, kind: Kind, pace: Pace| Child { kind, pace, ..child(step, 0, State::Queued) };
    let mut writes = vec![
        create(root, special("now", Kind::Ask, Pace::Now)),
        create(root, special("batch", Kind::Ask, Pace::Batch)),
        create(root, Child { work: Some(command(false)), ..special("run", Kind::Command, Pace::Now) }),
        create(root, special("send", Kind::Deliver, Pace::Now)),
        create(root, child("later", 0, State::Pending)),
    ];
    if let Write::Create { priority, traceparent, .. } = &mut writes[0] {
        *priority = Priority::Urgent;
        *traceparent = Some("00-1-2-01".to_owned());
    }
    let made = fixture.start(root, writes).await;
    assert_eq!(fixture.store.sweep(STALE, 100, true).await.unwrap(), Swept::default(), "all was announced just now");
    fixture.sql(LONG_AGO).await;
    let swept = fixture.store.sweep(STALE, 100, true).await.unwrap();
    assert_eq!(ids(&swept.plan), [pending]);
    assert_eq!(ids(&swept.ask), [made[0]]);
    assert_eq!(ids(&swept.batch), [made[1]]);
    assert_eq!(ids(&swept.command), [made[2]]);
    assert_eq!(ids(&swept.deliver), [made[3]]);
    assert!(swept.settled.is_empty() && swept.lost.is_empty() && swept.next_not_before.is_none());
    let name = &swept.ask[0];
    assert_eq!((name.root_id, name.priority, name.traceparent.as_deref()), (root, Priority::Urgent, Some("00-1-2-01")));
    assert_eq!(fixture.store.sweep(STALE, 100, true).await.unwrap(), Swept::default(), "it was announced again");
}

#[tokio::test]
async fn no_more_are_named_than_asked_for() {
    let fixture = Fixture::new().await;
    let (_, made) = fixture.asks(5).await;
    fixture.sql(LONG_AGO).await;
    assert_eq!(ids(&fixture.store.sweep(STALE, 3, true).await.unwrap().ask), made[..3]);
    assert_eq!(ids(&fixture.store.sweep(STALE, 3, true).await.unwrap().ask), made[3..]);
}

#[tokio::test]
async fn a_postponed_task_is_named_when_it_falls_due_and_not_before() {
    let fixture = Fixture::new().await;
    let (_, made) = fixture.asks(1).await;
    let claimed = fixture.claim(&made).await.remove(0);
    let again = ended(&claimed, End::Again { not_before_ms: 600_000, reason: "잠시 뒤".to_owned() });
    fixture.store.finish(&[again]).await.unwrap();
    let swept = fixture.store.sweep(Duration::ZERO, 100, true).await.unwrap();
    assert!(swept.ask.is_empty());
    let wait = swept.next_not_before.unwrap();
    assert!(wait > Duration::from_secs(500) && wait <= Duration::from_secs(600), "{wait:?}");
    // Due, though it was announced less than the patience ago.
    fixture.sql("update tasks set not_before = now() - interval '1 ms', announced_at = now() - interval '1 s' where not_before is not null").await;
    let swept = fixture.store.sweep(STALE, 100, true).await.unwrap();
    assert_eq!((ids(&swept.ask), swept.next_not_before), (made, None));
    assert_eq!(fixture.store.sweep(STALE, 100, true).await.unwrap(), Swept::default());
}

#[tokio::test]
async fn who_lost_its_performer_is_queued_again_except_a_command_that_must_not_be_repeated() {
    let fixture = Fixture::new().await;
    let root = fixture.order().await;
    let run = |step: &str, repeatable| Child {
        kind: Kind::Command,
        work: Some(command(repeatable)),
        ..child(step, 0, State::Queued)
    };
    let writes = vec![
        create(root, child("ask", 0, State::Queued)),
        create(root, run("once", false)),
        create(root, run("often", true)),
    ];
    let made = fixture.start(root, writes).await;
    fixture.claim(&made).await;
    let claimed = fixture.store.claim(&made, Kind::Command, "executor", LEASE, true).await.unwrap();
    assert_eq!(claimed.len(), 2);
    assert_eq!(fixture.store.sweep(STALE, 100, true).await.unwrap(), Swept::default(), "the leases hold");
    fixture.sql("update tasks set lease_until = now() - interval '1 ms' where lease_until is not null").await;
    let swept = fixture.store.sweep(STALE, 100, true).await.unwrap();
    assert_eq!((ids(&swept.ask), ids(&swept.lost), ids(&swept.command)), (vec![made[0]], vec![made[1]], vec![made[2]]));
    let lost = fixture.task(made[1]).await;
    assert_eq!((lost.state, lost.failure.unwrap().cause, lost.attempt), (State::Failed, Cause::Lost, 1));
    assert_eq!(fixture.state(made[2]).await, State::Queued);
    // The executor that comes back from the dead is too late.
    let late = completed(claimed.iter().find(|task| task.id == made[1]).unwrap());
    assert!(fixture.store.finish(&[late]).await.unwrap().is_empty());
    // If the announcement of the loss is lost as well, it is named to be settled.
    fixture.sql("update tasks set announced_at = now() - interval '1 h', ended_at = now() - interval '1 h' where state = 'failed'").await;
    assert_eq!(ids(&fixture.store.sweep(STALE, 100, true).await.unwrap().settled), [made[1]]);
}

#[tokio::test]
async fn an_end_that_no_decision_took_in_is_named_until_one_does() {
    let fixture = Fixture::new().await;
    let (root, made) = fixture.asks(1).await;
    let claimed = fixture.claim(&made).await;
    fixture.store.finish(&[completed(&claimed[0])]).await.unwrap();
    assert_eq!(fixture.store.sweep(STALE, 100, true).await.unwrap(), Swept::default());
    fixture.sql("update tasks set announced_at = now() - interval '1 h', ended_at = now() - interval '1 h' where state = 'completed'").await;
    let swept = fixture.store.sweep(STALE, 100, true).await.unwrap();
    assert_eq!((ids(&swept.settled), swept.settled[0].root_id), (made, root));
    fixture.store.begin(&[root], &[]).await.unwrap().commit(&[]).await.unwrap();
    fixture.sql(LONG_AGO).await;
    assert_eq!(fixture.store.sweep(STALE, 100, true).await.unwrap(), Swept::default());
}

#[tokio::test]
async fn what_has_ended_is_not_looked_at() {
    let fixture = Fixture::new().await;
    let (root, _) = fixture.asks(2).await;
    let delivery = Child { kind: Kind::Deliver, ..child("deliver", 0, State::Queued) };
    fixture.store.begin(&[root], &[]).await.unwrap().commit(&[create(root, delivery)]).await.unwrap();
    fixture.sql(LONG_AGO).await;
    assert_eq!(fixture.store.sweep(STALE, 100, true).await.unwrap().deliver.len(), 1);
    let failure = Failure::new(Cause::Exhausted, "끝");
    fixture.store.begin(&[root], &[]).await.unwrap().commit(&[Write::Fail { root, failure }]).await.unwrap();
    fixture.sql("update tasks set announced_at = now() - interval '1 h', ended_at = now() - interval '1 h'").await;
    assert_eq!(fixture.store.sweep(STALE, 100, true).await.unwrap(), Swept::default());
    assert_eq!(fixture.value::<i64>("select count(*) from tasks where live").await, 0);
}

#[tokio::test]
async fn a_row_that_is_being_worked_on_is_left_alone() {
    let fixture = Fixture::new().await;
    let root = fixture.order().await;
    fixture.sql(LONG_AGO).await;
    let advance = fixture.store.begin(&[root], &[]).await.unwrap();
    assert_eq!(fixture.store.sweep(STALE, 100, true).await.unwrap(), Swept::default());
    drop(advance);
    // The rollback of what was dropped is not waited for.
    let swept = || async { ids(&fixture.store.sweep(STALE, 100, true).await.unwrap().plan) == [root] };
    testkit::until("the row is free again", swept).await;
}
