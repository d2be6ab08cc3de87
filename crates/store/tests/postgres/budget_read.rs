//! Budgets as their master sees and changes them, and the sums of what was ever spent.

use crate::fixture::{Fixture, completed, new_task};
use domain::{money::Nanos, task::State};
use std::collections::BTreeSet;
use store::{Accepted, BudgetFilter, BudgetKey, BudgetView, Period, Scope};
use tokio::task::JoinSet;
use uuid::Uuid;

fn key(scope: Scope, name: &str, period: Period) -> BudgetKey {
    BudgetKey { scope, name: name.to_owned(), period }
}

fn all(period: Period) -> BudgetKey {
    key(Scope::All, "all", period)
}

async fn find(fixture: &Fixture, key: &BudgetKey) -> BudgetView {
    fixture.store.budget_find(key).await.unwrap().unwrap()
}

/// Has so many asks of an order answered, each for 1,000 nano-dollars.
async fn spend(fixture: &Fixture, asks: usize) -> Uuid {
    let (root, ids) = fixture.asks(asks).await;
    let outcomes: Vec<_> = fixture.claim(&ids).await.iter().map(completed).collect();
    fixture.store.finish(&outcomes).await.unwrap();
    root
}

#[tokio::test]
async fn a_new_budget_starts_with_what_was_charged_in_its_scope() {
    let fixture = Fixture::new().await;
    let (one, two) = (spend(&fixture, 2).await, spend(&fixture, 3).await);
    // Somebody else's, of yesterday.
    fixture
        .sql(&format!(
            "insert into charges (task_id, attempt, agent, provider, model, pace, input, cache_read, cache_write,
                 cache_write_hour, output, nanos, emulated, booked_at)
             select id, 9, 'other', 'openai', 'gpt', 'now', 0, 0, 0, 0, 0, 70, false, now() - interval '1 day'
             from tasks where parent_id = '{two}' limit 1"
        ))
        .await;
    let order = one.to_string();
    for (key, spent) in [
        (key(Scope::Order, &order, Period::Total), 2_000),
        (key(Scope::Order, &order, Period::Day), 2_000),
        (key(Scope::Agent, "bora", Period::Total), 5_000),
        (key(Scope::Agent, "other", Period::Total), 70),
        (key(Scope::Agent, "other", Period::Day), 0),
        (key(Scope::Provider, "openai", Period::Total), 70),
        (key(Scope::Provider, "anthropic", Period::Day), 5_000),
        (all(Period::Total), 5_070),
        (all(Period::Day), 5_000),
    ] {
        assert_eq!(fixture.store.budget_put(&key, Nanos(9_000)).await.unwrap(), None, "{key:?} is new");
        let view = find(&fixture, &key).await;
        assert_eq!((view.limit, view.spent, view.reserved), (Nanos(9_000), Nanos(spent), Nanos(0)), "{key:?}");
        assert_eq!(view.order.is_some(), key.scope == Scope::Order);
    }
    // From here on the charges count themselves.
    spend(&fixture, 1).await;
    assert_eq!(find(&fixture, &all(Period::Total)).await.spent, Nanos(6_070));
    assert_eq!(find(&fixture, &key(Scope::Order, &order, Period::Total)).await.spent, Nanos(2_000));
    // Yesterday's money is none of today's.
    fixture.sql("update budgets set day = day - 1 where period = 'day'").await;
    assert_eq!(find(&fixture, &all(Period::Day)).await.spent, Nanos(0));
    assert_eq!(fixture.store.budget_put(&all(Period::Day), Nanos(1)).await.unwrap(), Some(Nanos(9_000)));
    assert_eq!(fixture.store.budget_delete(&all(Period::Day)).await.unwrap(), Some(Nanos(1)));
    assert_eq!(fixture.store.budget_delete(&all(Period::Day)).await.unwrap(), None);
    assert!(fixture.store.budget_find(&key(Scope::Agent, "\0", Period::Day)).await.is_err());
}

/// While asks are booked without a pause, budgets are made: each must know every charge once.
#[tokio::test]
async fn a_budget_that_is_made_while_others_book_misses_nothing() {
    let fixture = Fixture::new().await;
    let (root, ids) = fixture.asks(60).await;
    let claimed = fixture.claim(&ids).await;
    let mut booking = JoinSet::new();
    for slice in claimed.chunks(4) {
        let (store, outcomes) = (fixture.store.clone(), slice.iter().map(completed).collect::<Vec<_>>());
        booking.spawn(async move { store.finish(&outcomes).await.unwrap().len() });
    }
    let order = key(Scope::Order, &root.to_string(), Period::Total);
    let mut keys = vec![order, all(Period::Total), all(Period::Day)];
    keys.extend(["bora", "other"].map(|name| key(Scope::Agent, name, Period::Total)));
    for key in &keys {
        fixture.store.budget_put(key, Nanos(1_000_000)).await.unwrap();
    }
    assert_eq!(booking.join_all().await.iter().sum::<usize>(), 60);
    for key in &keys {
        let spent = if key.name == "other" { 0 } else { 60_000 };
        assert_eq!(find(&fixture, key).await.spent, Nanos(spent), "{key:?}");
    }
}

#[tokio::test]
async fn masters_that_set_the_same_budget_at_once_make_one() {
    let fixture = Fixture::new().await;
    spend(&fixture, 1).await;
    let mut masters = JoinSet::new();
    for limit in 1..=8 {
        let store = fixture.store.clone();
        masters.spawn(async move { store.budget_put(&all(Period::Total), Nanos(limit * 1_000)).await.unwrap() });
    }
    let before = masters.join_all().await;
    assert!(before.iter().any(Option::is_none), "somebody made it: {before:?}");
    let view = find(&fixture, &all(Period::Total)).await;
    assert_eq!((view.spent, view.limit.0 % 1_000), (Nanos(1_000), 0));
    assert_eq!(fixture.value::<i64>("select count(*) from budgets").await, 1);
}

#[tokio::test]
async fn an_order_brings_its_budget_along_and_keeps_it_when_it_is_sent_again() {
    let fixture = Fixture::new().await;
    let mut task = new_task("겨울 예약");
    task.order.budget = Some(Nanos(500_000_000));
    for _ in 0..2 {
        assert_eq!(fixture.store.accept(&task).await.unwrap(), Accepted::Created);
    }
    let view = find(&fixture, &key(Scope::Order, &task.id.to_string(), Period::Total)).await;
    assert_eq!((view.limit, view.order), (Nanos(500_000_000), Some(("겨울 예약".to_owned(), State::Pending))));
    assert_eq!(fixture.task(task.id).await.budget, Some(Nanos(500_000_000)));
    let without = fixture.order().await;
    assert_eq!(fixture.task(without).await.budget, None);
    let mut unknown = new_task("없는 요리법");
    unknown.order.playbook = Some("nope".to_owned());
    unknown.order.budget = Some(Nanos(1));
    assert!(matches!(fixture.store.accept(&unknown).await.unwrap(), Accepted::UnknownPlaybook { .. }));
    assert_eq!(fixture.value::<i64>("select count(*) from budgets").await, 1, "what is refused leaves nothing");
}

#[tokio::test]
async fn pages_of_budgets_hold_each_once_and_leave_out_what_has_ended() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let mut expected = BTreeSet::new();
    for number in 0..11 {
        let order = fixture.order().await;
        expected.insert(key(Scope::Order, &order.to_string(), Period::Total));
        expected.insert(key(Scope::Agent, &format!("agent-{number}"), Period::Day));
    }
    expected.extend([all(Period::Day), all(Period::Total), key(Scope::Provider, "gemini", Period::Total)]);
    for key in &expected {
        store.budget_put(key, Nanos(100)).await.unwrap();
    }
    let ended = expected.iter().find(|key| key.scope == Scope::Order).unwrap().clone();
    store.cancel(ended.name.parse().unwrap(), "그만").await.unwrap();
    let pages = async |filter: &BudgetFilter| {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = store.budget_list(filter, after.as_ref(), 4).await.unwrap();
            seen.extend(page.budgets.into_iter().map(|budget| budget.key));
            match page.next {
                Some(next) => after = Some(next),
                None => return seen,
            }
        }
    };
    let every = pages(&BudgetFilter::default()).await;
    assert_eq!((every.len(), every.iter().cloned().collect::<BTreeSet<_>>()), (25, expected));
    let live = pages(&BudgetFilter { live: true, ..BudgetFilter::default() }).await;
    assert!(live.len() == 24 && !live.contains(&ended));
    for live in [false, true] {
        let providers = BudgetFilter { scope: Some(Scope::Provider), live, used: None };
        assert_eq!(pages(&providers).await, [key(Scope::Provider, "gemini", Period::Total)]);
    }
    let tight = BudgetFilter { used: Some(80), ..BudgetFilter::default() };
    assert_eq!(pages(&tight).await, []);
    fixture.sql("update budgets set spent_nanos = 50, reserved_nanos = 30 where scope = 'all'").await;
    fixture.sql("update budgets set day = day - 1 where scope = 'all'").await;
    assert_eq!(pages(&tight).await, [all(Period::Total)], "a new day has its money again");
}

#[tokio::test]
async fn what_was_ever_spent_is_summed_a_day_at_a_time() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.store.money_total().await.unwrap(), store::Total::default());
    spend(&fixture, 2).await;
    // The same for each of the last seventy days, and an order that is as old as the first of them.
    fixture
        .sql(
            "insert into charges (task_id, attempt, agent, provider, model, pace, input, cache_read, cache_write,
                 cache_write_hour, output, nanos, list_nanos, emulated, booked_at)
             select t.id, day + 100, 'bora', 'openai', 'gpt', 'batch', 0, 0, 0, 0, 0, 10, 20, false, now() - day * interval '1 day'
             from generate_series(1, 70) as day, lateral (select id from tasks where parent_id is not null limit 1) t",
        )
        .await;
    fixture.sql("update tasks set created_at = now() - interval '70 days'").await;
    for _ in 0..3 {
        let total = fixture.store.money_total().await.unwrap();
        assert_eq!((total.calls, total.nanos.0, total.list_nanos.0 - total.nanos.0), (72, 2_700, 700));
    }
    let days: i64 = fixture.value("select count(*) from money_days").await;
    assert!((69..=70).contains(&days), "{days}");
    // What is over is not summed again.
    fixture.sql("delete from charges where booked_at < now() - interval '3 days'").await;
    assert_eq!(fixture.store.money_total().await.unwrap().nanos.0, 2_700);
}
