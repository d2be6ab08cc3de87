//! The step of many orders at once: what it reads, what it writes, and that it is all or nothing.

use crate::fixture::{Fixture, ask, child, completed, create, created, ended};
use domain::{
    advance::Child,
    money::Nanos,
    task::{Cause, Failure, Kind, State},
};
use serde_json::json;
use store::{Cancelled, End, Retry, Write};
use uuid::Uuid;

#[tokio::test]
async fn an_order_goes_from_acceptance_to_its_report() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let root = fixture.order().await;

    // plan
    let advance = store.begin(&[root], &[]).await.unwrap();
    let tree = &advance.trees[0];
    assert_eq!((tree.root.state, tree.root.playbook_hash.as_deref()), (State::Pending, Some("report-v1")));
    assert_eq!(tree.root.order().agents, ["bora"]);
    assert!(tree.children.is_empty());
    let mut writes = vec![
        create(root, child("first", 0, State::Queued)),
        create(root, child("second", 0, State::Pending)),
        create(root, Child { failure: Some(Failure::new(Cause::Skipped, "")), ..child("third", 0, State::Cancelled) }),
        Write::Start(root),
    ];
    let ids = created(&writes);
    advance.commit(&writes).await.unwrap();

    // the first ask's end queues the second
    let claimed = fixture.claim(&ids).await;
    assert_eq!(claimed.iter().map(|task| task.id).collect::<Vec<_>>(), [ids[0]]);
    let advance = store.begin(&[], &[completed(&claimed[0])]).await.unwrap();
    assert_eq!(advance.finished.len(), 1);
    let tree = &advance.trees[0];
    assert_eq!(tree.root.state, State::InProgress);
    assert!(tree.root.emulated_any);
    let seen: Vec<_> = tree.children.iter().map(|view| (view.step.as_str(), view.state)).collect();
    assert_eq!(seen, [("first", State::Completed), ("second", State::Pending), ("third", State::Cancelled)]);
    assert_eq!(tree.children[2].failure.as_ref().unwrap().cause, Cause::Skipped);
    let results = advance.results(&[ids[0], ids[1]]).await.unwrap();
    assert_eq!(results.len(), 1);
    assert_eq!(results[&ids[0]].to_string(), r#"{"text":"눈 오는 날 산책 대행","data":{"zeta":1,"alpha":2}}"#);
    let queue = Write::Queue {
        id: ids[1],
        agent: None,
        title: "종합".to_owned(),
        work: ask("종합해줘"),
        pace: domain::pace::Pace::Now,
        pace_reason: None,
    };
    advance.commit(&[queue]).await.unwrap();

    // the second ask's end brings a delivery, and the delivery's end completes the order
    let claimed = fixture.claim(&ids).await;
    assert_eq!((claimed[0].id, claimed[0].title.as_str(), claimed[0].agent.as_deref()), (ids[1], "종합", Some("bora")));
    let advance = store.begin(&[root], &[completed(&claimed[0])]).await.unwrap();
    let delivery = Child { kind: Kind::Deliver, agent: None, ..child("deliver", 0, State::Queued) };
    writes = vec![create(root, delivery)];
    let delivery = created(&writes)[0];
    advance.commit(&writes).await.unwrap();
    assert_eq!(fixture.state(delivery).await, State::Queued);
    let advance = store.begin(&[root], &[]).await.unwrap();
    assert_eq!(advance.trees[0].children.len(), 4, "a delivery is part of the decision");
    let done = Failure::new(Cause::Cancelled, "그만");
    let complete = Write::Complete { root, report: "# 겨울\n보고서".to_owned() };
    advance.commit(&[Write::Cancel { id: delivery, failure: done }, complete]).await.unwrap();

    let task = fixture.task(root).await;
    assert_eq!((task.state, task.emulated, task.nanos), (State::Completed, true, Nanos(2_000)));
    assert_eq!(store.report(root).await.unwrap().unwrap().markdown, "# 겨울\n보고서");
    assert_eq!(store.results(root).await.unwrap()[0].result, Some(json!({"text": "# 겨울\n보고서"})));
    assert_eq!(
        fixture.value::<i64>("select count(*) from tasks where settled_at is null and ended_at is not null").await,
        0
    );
}

#[tokio::test]
async fn what_is_dropped_or_fails_leaves_nothing_behind() {
    let fixture = Fixture::with_connections(1).await;
    let (root, ids) = fixture.asks(1).await;
    let claimed = fixture.claim(&ids).await.remove(0);
    drop(fixture.store.begin(&[], &[completed(&claimed)]).await.unwrap());
    // The one connection of the pool serves on, outside the transaction.
    assert_eq!(fixture.state(ids[0]).await, State::InProgress);
    assert_eq!(fixture.value::<i64>("select count(*) from charges").await, 0);

    // A statement in the middle that fails takes the ones before and after it along.
    fixture.sql("alter table tasks add constraint no_bad_step check (step <> 'bad') not valid").await;
    let advance = fixture.store.begin(&[], &[completed(&claimed)]).await.unwrap();
    let bad = create(root, child("bad", 0, State::Pending));
    let writes = [Write::Complete { root, report: "x".to_owned() }, bad];
    let error = advance.commit(&writes).await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    assert_eq!((fixture.state(root).await, fixture.state(ids[0]).await), (State::InProgress, State::InProgress));
}

#[tokio::test]
async fn outcomes_lock_their_own_roots_and_unknown_roots_are_left_out() {
    let fixture = Fixture::new().await;
    let (root, ids) = fixture.asks(2).await;
    let claimed = fixture.claim(&ids).await;
    let failure = Failure::new(Cause::Exhausted, "모두 바쁘다");
    let outcomes = [completed(&claimed[0]), ended(&claimed[1], End::Failed(failure.clone()))];
    let advance = fixture.store.begin(&[Uuid::now_v7(), ids[0]], &outcomes).await.unwrap();
    assert_eq!(advance.trees.len(), 1, "a child is no root");
    let views = &advance.trees[0].children;
    assert_eq!((views[0].state, views[1].state), (State::Completed, State::Failed));
    assert_eq!(views[1].failure, Some(failure));
    advance.commit(&[]).await.unwrap();
    assert!(fixture.store.begin(&[root], &[]).await.unwrap().results(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn ends_that_others_wrote_are_settled_by_the_advance_that_saw_them() {
    let fixture = Fixture::new().await;
    let (root, ids) = fixture.asks(2).await;
    let claimed = fixture.claim(&ids).await;
    fixture.store.finish(&[completed(&claimed[0])]).await.unwrap();
    assert!(
        matches!(fixture.store.cancel(ids[1], "빼줘").await.unwrap(), Cancelled::Done { root_id, .. } if root_id == root)
    );
    let unsettled = "select count(*) from tasks where settled_at is null and ended_at is not null";
    assert_eq!(fixture.value::<i64>(unsettled).await, 2);
    let advance = fixture.store.begin(&[root], &[]).await.unwrap();
    assert_eq!(advance.trees[0].children[1].failure.as_ref().unwrap().reason, "빼줘");
    advance.commit(&[]).await.unwrap();
    assert_eq!(fixture.value::<i64>(unsettled).await, 0);
}

#[tokio::test]
async fn a_failed_order_is_tried_again_without_what_it_paid_for() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let (root, ids) = fixture.asks(3).await;
    let claimed = fixture.claim(&ids[..2]).await;
    let failure = Failure::new(Cause::Refused, "거절");
    let outcomes = [completed(&claimed[0]), ended(&claimed[1], End::Failed(failure.clone()))];
    let advance = store.begin(&[], &outcomes).await.unwrap();
    advance.commit(&[Write::Fail { root, failure: failure.clone() }]).await.unwrap();
    assert_eq!(fixture.task(root).await.failure, Some(failure));
    assert_eq!(fixture.state(ids[2]).await, State::Cancelled);

    assert!(matches!(store.retry(ids[0]).await.unwrap(), Retry::NotRoot { root_id } if root_id == root));
    let Retry::Retried(retried) = store.retry(root).await.unwrap() else { panic!("it had failed") };
    assert_eq!((retried.kind, retried.state), (Kind::Plan, State::Pending));
    assert!(matches!(store.retry(root).await.unwrap(), Retry::NotEnded { state: State::Pending }));
    assert_eq!(store.retry(Uuid::now_v7()).await.unwrap(), Retry::Unknown);

    let advance = store.begin(&[root], &[]).await.unwrap();
    let queue = |id| Write::Queue {
        id,
        agent: None,
        title: "다시".to_owned(),
        work: ask("다시"),
        pace: domain::pace::Pace::Now,
        pace_reason: None,
    };
    let writes = [queue(ids[1]), queue(ids[2]), Write::Reset(vec![ids[0], ids[1], ids[2]]), Write::Start(root)];
    advance.commit(&writes).await.unwrap();
    let task = fixture.task(ids[1]).await;
    assert_eq!((task.state, task.failure, task.ended_at), (State::Queued, None, None));
    assert_eq!(fixture.state(ids[0]).await, State::Completed, "what was paid for stays");
    assert_eq!(fixture.claim(&ids).await.len(), 2);
    assert_eq!(fixture.state(root).await, State::InProgress);
}

#[tokio::test]
async fn writes_that_come_too_late_do_nothing() {
    let fixture = Fixture::new().await;
    let (root, ids) = fixture.asks(2).await;
    fixture.claim(&ids[..1]).await;
    let failure = Failure::new(Cause::Cancelled, "그만");
    let advance = fixture.store.begin(&[root], &[]).await.unwrap();
    let twin = Write::Create {
        root,
        id: Uuid::now_v7(),
        child: child("ask", 0, State::Queued),
        priority: domain::task::Priority::Low,
        traceparent: None,
    };
    let writes = [
        Write::Queue {
            id: ids[0],
            agent: None,
            title: "늦음".to_owned(),
            work: ask("늦음"),
            pace: domain::pace::Pace::Now,
            pace_reason: None,
        },
        Write::FailTask { id: ids[1], failure: failure.clone() },
        twin,
    ];
    advance.commit(&writes).await.unwrap();
    assert_eq!((fixture.state(ids[0]).await, fixture.state(ids[1]).await), (State::InProgress, State::Queued));
    assert_eq!(fixture.store.tree(root).await.unwrap().len(), 3, "a place is taken once");

    fixture.store.cancel(root, "그만").await.unwrap();
    let advance = fixture.store.begin(&[root], &[]).await.unwrap();
    let late = create(root, child("late", 0, State::Queued));
    advance.commit(&[Write::Complete { root, report: "늦음".to_owned() }, late]).await.unwrap();
    assert_eq!(fixture.state(root).await, State::Cancelled);
    assert!(fixture.store.report(root).await.unwrap().is_none());
    assert_eq!(fixture.store.tree(root).await.unwrap().len(), 3, "an ended order gets no children");
}

#[tokio::test]
async fn three_hundred_orders_advance_in_one_slice() {
    let fixture = Fixture::new().await;
    let mut roots = Vec::new();
    for _ in 0..300 {
        roots.push(fixture.order().await);
    }
    let advance = fixture.store.begin(&roots, &[]).await.unwrap();
    assert_eq!(advance.trees.len(), 300);
    let mut writes: Vec<Write> = roots.iter().map(|root| create(*root, child("a", 0, State::Queued))).collect();
    let ids = created(&writes);
    writes.extend(roots.iter().map(|root| Write::Start(*root)));
    advance.commit(&writes).await.unwrap();
    let outcomes: Vec<_> = fixture.claim(&ids).await.iter().map(completed).collect();
    let advance = fixture.store.begin(&[], &outcomes).await.unwrap();
    assert_eq!(advance.results(&ids).await.unwrap().len(), 300);
    let writes: Vec<Write> =
        roots.iter().map(|root| Write::Complete { root: *root, report: format!("보고서 {root}") }).collect();
    advance.commit(&writes).await.unwrap();
    assert_eq!(fixture.value::<i64>("select count(*) from reports").await, 300);
    assert_eq!(fixture.value::<i64>("select count(*) from tasks where state <> 'completed' or live").await, 0);
}
