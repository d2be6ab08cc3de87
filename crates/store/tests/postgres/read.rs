//! Reading: pages hold still, costs add up, every text comes back as it went in.

use crate::fixture::{Fixture, child, completed, create, new_task};
use domain::{
    money::Nanos,
    order::Deliver,
    task::{HeldFor, Kind, State},
};
use std::collections::HashSet;
use store::{Filter, Write};
use uuid::Uuid;

#[tokio::test]
async fn pages_hold_still_while_orders_arrive() {
    let fixture = Fixture::new().await;
    let mut expected = Vec::new();
    for _ in 0..25 {
        expected.push(fixture.order().await);
    }
    expected.reverse();
    let filter = Filter { roots_only: true, ..Filter::default() };
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = fixture.store.list(&filter, after, 10).await.unwrap();
        seen.extend(page.tasks.iter().map(|task| task.id));
        fixture.order().await;
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn lists_are_filtered_by_everything_at_once() {
    let fixture = Fixture::new().await;
    let (root, asks) = fixture.asks(3).await;
    fixture.claim(&asks[..1]).await;
    let mut open = new_task("Board 50% _게시판_");
    open.order.playbook = None;
    fixture.store.accept(&open).await.unwrap();
    let list = async |filter: Filter| -> Vec<Uuid> {
        fixture.store.list(&filter, None, 100).await.unwrap().tasks.iter().map(|task| task.id).collect()
    };
    let all = Filter::default();
    assert_eq!(list(all.clone()).await, [open.id, asks[2], asks[1], asks[0], root]);
    assert_eq!(list(Filter { roots_only: true, ..all.clone() }).await, [open.id, root]);
    let queued = Filter { state: Some(State::Queued), ..all.clone() };
    assert_eq!(list(queued.clone()).await, [open.id, asks[2], asks[1]]);
    assert_eq!(list(Filter { kind: Some(Kind::Open), roots_only: true, ..queued }).await, [open.id]);
    let bora = Filter { agent: Some("bora".to_owned()), state: Some(State::InProgress), ..all.clone() };
    assert_eq!(list(bora).await, [asks[0]]);
    // The text is no pattern.
    for (text, found) in [("board 50% _게", vec![open.id]), ("50%게", vec![]), ("보고서로", vec![open.id, root])]
    {
        let filter = Filter { search: Some(text.to_owned()), roots_only: true, ..all.clone() };
        assert_eq!(list(filter).await, found, "{text}");
    }
    fixture.store.cancel(root, "그만").await.unwrap();
    let cancelled = Filter { state: Some(State::Cancelled), roots_only: true, ..all.clone() };
    assert_eq!(list(cancelled).await, [root]);
    let nul = Filter { search: Some("\0".to_owned()), ..all };
    assert!(fixture.store.list(&nul, None, 1).await.is_err());
}

#[tokio::test]
async fn a_tree_adds_up() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let (root, asks) = fixture.asks(2).await;
    let claimed = fixture.claim(&asks).await;
    store.finish(&[completed(&claimed[0])]).await.unwrap();
    let tree = store.tree(root).await.unwrap();
    assert_eq!(tree.iter().map(|task| task.id).collect::<Vec<_>>(), [root, asks[0], asks[1]]);
    assert_eq!((tree[0].nanos, tree[0].usage.cache_write_hour, tree[0].calls), (Nanos(1_000), 3, 1));
    assert_eq!(tree[0].nanos, fixture.task(root).await.nanos);
    assert!(tree[1].ran_ms().is_some() && tree[1].waited_ms().is_some() && tree[2].ran_ms().is_none());
    let status = store.status(root).await.unwrap().unwrap();
    assert_eq!((status.done, status.total, status.state), (1, 2, State::InProgress));
    let names = store.names(&[asks[1], asks[0], Uuid::now_v7()]).await.unwrap();
    assert_eq!(names.iter().map(|name| (name.id, name.nanos.0)).collect::<Vec<_>>(), [(asks[0], 1_000), (asks[1], 0)]);
    assert_eq!(store.results(asks[0]).await.unwrap().len(), 1);
    assert_eq!(store.results(root).await.unwrap().len(), 3);

    let unknown = Uuid::now_v7();
    assert!(store.task(unknown).await.unwrap().is_none());
    assert!(store.tree(unknown).await.unwrap().is_empty());
    assert!(store.status(unknown).await.unwrap().is_none());
    assert!(store.results(unknown).await.unwrap().is_empty());
    assert!(store.report(unknown).await.unwrap().is_none());
}

#[tokio::test]
async fn an_order_comes_back_as_it_was_given() {
    let fixture = Fixture::new().await;
    let mut task = new_task("한글 제목 🐾 e\u{301}");
    task.order.deliver = vec![Deliver::Webhook { url: "https://example.com/훅".to_owned() }];
    task.order.deadline = Some(time::macros::datetime!(2030-01-02 03:04:05 +9));
    fixture.store.accept(&task).await.unwrap();
    let advance = fixture.store.begin(&[task.id], &[]).await.unwrap();
    assert_eq!(advance.trees[0].root.order(), task.order);
    advance.commit(&[create(task.id, child("a", 0, State::Queued)), Write::Start(task.id)]).await.unwrap();
    let tree = fixture.store.tree(task.id).await.unwrap();
    assert_eq!((&tree[0].title, &tree[0].deliver), (&task.order.title, &task.order.deliver));
    assert_eq!(tree[1].deadline, task.order.deadline, "a child has its order's deadline");
}

#[tokio::test]
async fn counts_see_what_is_alive_and_days_see_what_was_spent() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    assert_eq!(store.counts().await.unwrap(), store::Counts::default());
    let (root, asks) = fixture.asks(3).await;
    let claimed = fixture.claim(&asks[..2]).await;
    store.finish(&[completed(&claimed[0])]).await.unwrap();
    let counts = store.counts().await.unwrap();
    let found: HashSet<_> = counts.live.iter().map(|count| (count.kind, count.state, count.count)).collect();
    let expected =
        [(Kind::Plan, State::InProgress, 1), (Kind::Ask, State::InProgress, 1), (Kind::Ask, State::Queued, 1)];
    assert_eq!(found, HashSet::from(expected));
    assert!(counts.oldest_live.is_some());
    fixture.sql("insert into charges select task_id, 9, agent, provider, model, pace, 0, 0, 0, 0, 0, 5, false, now() - interval '3 days' from charges").await;
    let days = store.money_days(1).await.unwrap();
    assert_eq!((days.len(), days[0].nanos, days[0].calls, days[0].emulated), (1, Nanos(1_000), 1, true));
    assert_eq!(store.money_days(7).await.unwrap().len(), 2);
    store.cancel(root, "그만").await.unwrap();
    assert!(store.counts().await.unwrap().live.is_empty());
}

#[tokio::test]
async fn facts_tell_how_long_what_may_be_begun_waits_and_what_is_held() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let (_, asks) = fixture.asks(3).await;
    fixture.sql("update tasks set created_at = now() - interval '1 day'").await;
    fixture.sql("update tasks set queued_at = now() - interval '5 minutes' where parent_id is not null").await;
    // Whoever waits for a second try is not waited for.
    fixture
        .sql(&format!(
            "update tasks set queued_at = now() - interval '2 hours', not_before = now() + interval '1 hour' where id = '{}'",
            asks[0]
        ))
        .await;
    fixture.sql(&format!("update tasks set state = 'held', held_for = 'budget' where id = '{}'", asks[1])).await;
    let counts = store.counts().await.unwrap();
    let oldest = |kind, state| {
        let count = counts.live.iter().find(|count| count.kind == kind && count.state == state).unwrap();
        (count.count, count.oldest.as_secs() / 60)
    };
    assert_eq!(oldest(Kind::Ask, State::Queued), (2, 5));
    assert_eq!(oldest(Kind::Ask, State::Held), (1, 24 * 60));
    let held = counts.held[&HeldFor::Budget];
    assert_eq!((counts.held.len(), held.count, held.oldest.as_secs() / 60), (1, 1, 5), "held since it was ready");
    assert_eq!(counts.oldest_live.unwrap().as_secs() / 3_600, 24);
}

#[tokio::test]
async fn money_is_summed_by_agent_and_budgets_stand_as_of_today() {
    let fixture = Fixture::new().await;
    let (root, asks) = fixture.asks(2).await;
    let claimed = fixture.claim(&asks).await;
    fixture.store.finish(&claimed.iter().map(completed).collect::<Vec<_>>()).await.unwrap();
    fixture.sql("insert into charges select task_id, 9, agent, provider, model, pace, 0, 0, 0, 0, 0, 5, false, now() - interval '3 days' from charges").await;
    let today = fixture.store.spent_today().await.unwrap();
    let sum: i64 = today.iter().map(|spent| spent.nanos.0).sum();
    assert_eq!((today.len(), sum, today[0].emulated), (1, 2_000, true));
    assert!(!today[0].agent.is_empty() && !today[0].pace.is_empty());
    fixture
        .sql(&format!(
            "insert into budgets (scope, name, period, limit_nanos, spent_nanos, day) values
             ('all', 'all', 'day', 100, 60, current_date - 3), ('agent', 'chief', 'total', 100, 60, current_date - 3),
             ('order', '{root}', 'total', 100, 60, current_date)"
        ))
        .await;
    let sums = fixture.store.budget_sums().await.unwrap();
    let found: Vec<_> = sums.iter().map(|sum| (sum.scope.as_str(), sum.spent.0, sum.limit.0)).collect();
    assert_eq!(found, [("agent", 60, 100), ("all", 0, 100)], "a day that is over counts nothing, an order is no label");
}
