//! Batches up to their close: collected, declined, grouped, closed; and what other tests of batches begin with.

use crate::fixture::{Fixture, LEASE, STALE, charge, child};
use domain::{
    batch::{BatchState, ItemState},
    money::Nanos,
    pace::Pace,
    task::{Kind, State},
};
use std::time::Duration;
use store::{BatchRow, Charge, Claimed, Close, Created, Declined, ItemEnd, ItemThen, NewItem, Wanted, Write};
use uuid::Uuid;

/// Nothing is due by its age alone.
pub(crate) const LONG: Duration = Duration::from_secs(3_600);
/// Everything is.
pub(crate) const NONE: Duration = Duration::ZERO;

impl Fixture {
    /// Claims that many asks of pace batch of a new order.
    pub(crate) async fn claimed(&self, count: usize) -> Vec<Claimed> {
        let root = self.order().await;
        let ask = |item| Write::Create {
            root,
            id: Uuid::now_v7(),
            child: domain::advance::Child { pace: Pace::Batch, ..child("ask", item, State::Queued) },
            priority: domain::task::Priority::High,
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        };
        let ids = self.start(root, (0..count).map(ask).collect()).await;
        let mut claimed = self.claim(&ids).await;
        claimed.sort_by_key(|task| task.id);
        assert_eq!(claimed.len(), count);
        claimed
    }

    /// Collects asks that were claimed.
    pub(crate) async fn collect(&self, claimed: &[Claimed]) {
        let items: Vec<NewItem> = claimed.iter().map(item).collect();
        assert_eq!(self.store.batch_collect("test", &items).await.unwrap().len(), claimed.len());
    }

    /// Collects that many asks and closes their batch; it is the only one of its group.
    pub(crate) async fn closed(&self, count: usize) -> (BatchRow, Vec<Claimed>) {
        let claimed = self.claimed(count).await;
        self.collect(&claimed).await;
        (self.store.batch_close(&close(NONE)).await.unwrap().unwrap(), claimed)
    }

    /// A batch that runs at its provider, in hand with the hold that is returned in its row.
    pub(crate) async fn running(&self, count: usize) -> (BatchRow, Vec<Claimed>) {
        let (batch, claimed) = self.closed(count).await;
        let taken = self.store.batch_take("test", LEASE, 100).await.unwrap();
        let batch = taken.into_iter().find(|one| one.id == batch.id).unwrap();
        assert!(self.store.batch_intent(batch.id, batch.hold).await.unwrap());
        let created = created(&format!("remote-{}", batch.id.simple()));
        assert!(self.store.batch_created(batch.id, batch.hold, &created).await.unwrap());
        (batch, claimed)
    }

    /// Counts rows.
    pub(crate) async fn count(&self, what: &str) -> i64 {
        self.value(&format!("select count(*) from {what}")).await
    }
}

pub(crate) fn item(claimed: &Claimed) -> NewItem {
    NewItem {
        task: (claimed.id, claimed.attempt),
        root_id: claimed.root_id,
        grp: "anthropic".to_owned(),
        provider: "anthropic".to_owned(),
        model: "claude".to_owned(),
        agent: claimed.agent.clone(),
        bytes: 100,
        estimate: Nanos(5_000),
        body: r#"{"물음":"겨울 예약을 늘릴 방법은?"}"#.to_owned(),
        give_up_at: None,
        tries: 1,
        misfits: 0,
    }
}

pub(crate) fn close(window: Duration) -> Close {
    Close { id: Uuid::now_v7(), grp: "anthropic".to_owned(), window, max_items: 100_000, max_bytes: 1 << 28 }
}

pub(crate) fn created(remote: &str) -> Created {
    Created { remote_id: remote.to_owned(), remote_state: "in_progress".to_owned(), expires_at: None }
}

pub(crate) fn answered(seq: i32) -> ItemEnd {
    ItemEnd {
        seq,
        state: ItemState::Succeeded,
        reason: None,
        charge: Some(batch_charge(500)),
        then: ItemThen::Complete {
            result: serde_json::json!({"text": "눈 오는 날 산책 대행", "data": {"zeta": 1, "alpha": 2}}),
            model: "anthropic/claude".to_owned(),
            emulated: true,
        },
    }
}

pub(crate) fn batch_charge(nanos: i64) -> Charge {
    Charge { pace: Pace::Batch, list_nanos: Nanos(nanos * 2), ..charge(nanos) }
}

pub(crate) fn wanted(claimed: &Claimed, nanos: i64) -> Wanted {
    Wanted {
        task: (claimed.id, claimed.attempt),
        root_id: claimed.root_id,
        agent: claimed.agent.clone(),
        provider: "anthropic".to_owned(),
        nanos: Nanos(nanos),
    }
}

#[tokio::test]
async fn collecting_gives_an_ask_to_a_batch_which_needs_no_lease() {
    let fixture = Fixture::new().await;
    let claimed = fixture.claimed(3).await;
    let held: Vec<(Uuid, i32)> = claimed.iter().map(|task| (task.id, task.attempt)).collect();
    let items: Vec<NewItem> = claimed.iter().map(item).collect();
    fixture.store.cancel(claimed[2].id, "하나만").await.unwrap();
    let mut other = items[1].clone();
    other.task.1 = 7;
    let given = [items[0].clone(), other, items[2].clone()];
    assert_eq!(fixture.store.batch_collect("test", &given).await.unwrap(), [claimed[0].id], "the others moved on");
    // The answer may have been lost: the same call names the same tasks, and makes nothing twice.
    for _ in 0..2 {
        let mut collected = fixture.store.batch_collect("test", &items).await.unwrap();
        collected.sort_unstable();
        assert_eq!(collected, [claimed[0].id, claimed[1].id]);
    }
    assert_eq!(fixture.count("batch_items where state = 'queued'").await, 2);
    assert_eq!(fixture.store.renew("test", &held, LEASE).await.unwrap(), Vec::<Uuid>::new());
    assert_eq!(fixture.count("tasks where lease_until is not null").await, 0);
    fixture.store.sweep(Duration::ZERO, 100, true).await.unwrap();
    assert_eq!(fixture.state(claimed[0].id).await, State::InProgress, "no sweep takes it back");
    assert!(fixture.store.batch_collect("test", &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_ask_that_dies_before_it_is_collected_is_asked_again_and_not_collected_late() {
    let fixture = Fixture::new().await;
    let claimed = fixture.claimed(1).await;
    fixture.sql("update tasks set lease_until = now() - interval '1 s' where lease_until is not null").await;
    assert_eq!(fixture.store.sweep(STALE, 100, true).await.unwrap().batch.len(), 1);
    assert!(fixture.store.batch_collect("test", &[item(&claimed[0])]).await.unwrap().is_empty());
    assert_eq!(fixture.claim(&[claimed[0].id]).await[0].attempt, 2);
    assert!(fixture.store.batch_collect("test", &[item(&claimed[0])]).await.unwrap().is_empty());
    assert_eq!(fixture.count("batch_items").await, 0);
}

#[tokio::test]
async fn what_no_batch_takes_is_queued_at_another_pace_with_the_reason() {
    let fixture = Fixture::new().await;
    fixture.sql("insert into budgets (scope, name, period, limit_nanos) values ('all', 'all', 'total', 9000)").await;
    let claimed = fixture.claimed(2).await;
    assert!(fixture.store.budget_reserve(&[wanted(&claimed[0], 4_000)]).await.unwrap().is_empty());
    let decline = |task: &Claimed| Declined {
        id: task.id,
        attempt: task.attempt,
        pace: Pace::Flex,
        reason: "이 모델은 일괄 처리를 하지 않는다\0".to_owned(),
    };
    fixture.collect(&claimed[1..]).await;
    let names = fixture.store.batch_decline(&[decline(&claimed[0]), decline(&claimed[1])]).await.unwrap();
    assert_eq!(names.len(), 1, "what a batch has is not taken from it");
    let name = &names[0];
    assert_eq!(
        (name.id, name.root_id, name.kind, name.pace),
        (claimed[0].id, claimed[0].root_id, Kind::Ask, Pace::Flex)
    );
    assert_eq!(name.traceparent, claimed[0].traceparent);
    let reason: String = fixture.value("select pace_reason from tasks where pace = 'flex'").await;
    assert_eq!(reason, "이 모델은 일괄 처리를 하지 않는다\u{FFFD}");
    assert_eq!(fixture.value::<i64>("select reserved_nanos from budgets").await, 0, "nothing is set aside for it");
    assert_eq!(fixture.claim(&[claimed[0].id]).await[0].pace, Pace::Flex);
}

#[tokio::test]
async fn a_group_is_closed_when_it_is_due_and_not_before() {
    let fixture = Fixture::new().await;
    let claimed = fixture.claimed(4).await;
    assert!(fixture.store.batch_groups().await.unwrap().is_empty());
    assert!(fixture.store.batch_close(&close(NONE)).await.unwrap().is_none(), "an empty group is never due");
    fixture.collect(&claimed).await;
    let groups = fixture.store.batch_groups().await.unwrap();
    assert_eq!((groups.len(), groups[0].items, groups[0].bytes, groups[0].flush), (1, 4, 400, false));
    assert_eq!((groups[0].provider.as_str(), &groups[0].model), ("anthropic", &None));
    assert!(groups[0].oldest < LONG);
    for not_due in [
        close(LONG),
        Close { max_items: 5, ..close(LONG) },
        Close { max_bytes: 401, ..close(LONG) },
        Close { grp: "openai".to_owned(), ..close(NONE) },
    ] {
        assert!(fixture.store.batch_close(&not_due).await.unwrap().is_none(), "{not_due:?}");
    }
    let full = Close { max_items: 1, ..close(LONG) };
    let first = fixture.store.batch_close(&full).await.unwrap().unwrap();
    assert_eq!((first.id, first.items, first.bytes, first.state), (full.id, 1, 100, BatchState::Submitting));
    assert_eq!((first.submission, first.hold), (1, 0));
    // 250 of the 300 bytes that are left: two items.
    let heavy = Close { max_bytes: 250, ..close(LONG) };
    assert_eq!(fixture.store.batch_close(&heavy).await.unwrap().unwrap().items, 2);
    assert!(fixture.store.batch_close(&close(LONG)).await.unwrap().is_none());
    fixture.sql("update batch_items set flush = true where state = 'queued'").await;
    assert!(fixture.store.batch_groups().await.unwrap()[0].flush);
    // One item is taken whatever its size.
    assert_eq!(fixture.store.batch_close(&Close { max_bytes: 1, ..close(LONG) }).await.unwrap().unwrap().items, 1);
    assert!(fixture.store.batch_groups().await.unwrap().is_empty());
    let placed = "select array_agg(task_id order by batch_id, seq) from batch_items where state = 'submitted'";
    assert_eq!(fixture.value::<Vec<Uuid>>(placed).await, claimed.iter().map(|task| task.id).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_oldest_go_first_and_are_numbered_without_a_gap() {
    let fixture = Fixture::new().await;
    let claimed = fixture.claimed(10).await;
    fixture.collect(&claimed).await;
    // Collected in the opposite order of their ids.
    fixture.sql("update batch_items i set collected_at = now() - t.item * interval '1 min' from tasks t where t.id = i.task_id").await;
    fixture.store.cancel(claimed[8].id, "그만").await.unwrap();
    let six = Close { max_items: 6, ..close(NONE) };
    let batch = fixture.store.batch_close(&six).await.unwrap().unwrap();
    assert_eq!(batch.items, 5, "one of the six oldest had moved on");
    let seqs: Vec<i32> =
        fixture.value("select array_agg(seq order by collected_at) from batch_items where seq is not null").await;
    assert_eq!(seqs, [0, 1, 2, 3, 4]);
    let taken = "select array_agg(t.item order by i.seq) from batch_items i join tasks t on t.id = i.task_id where seq is not null";
    assert_eq!(fixture.value::<Vec<i32>>(taken).await, [9, 7, 6, 5, 4]);
}

#[tokio::test]
async fn items_whose_task_moved_on_end_without_a_batch_and_give_their_money_back() {
    let fixture = Fixture::new().await;
    fixture.sql("insert into budgets (scope, name, period, limit_nanos) values ('all', 'all', 'day', 90000)").await;
    let claimed = fixture.claimed(2).await;
    let wishes: Vec<Wanted> = claimed.iter().map(|task| wanted(task, 4_000)).collect();
    assert!(fixture.store.budget_reserve(&wishes).await.unwrap().is_empty());
    fixture.collect(&claimed).await;
    fixture.store.cancel(claimed[0].root_id, "주문을 거둔다").await.unwrap();
    assert_eq!(fixture.value::<i64>("select reserved_nanos from budgets").await, 8_000);
    assert!(fixture.store.batch_close(&close(NONE)).await.unwrap().is_none());
    assert_eq!(fixture.count("batches").await, 0);
    assert_eq!(
        fixture.count("batch_items where state = 'cancelled' and body is null and ended_at is not null").await,
        2
    );
    assert_eq!(fixture.value::<i64>("select reserved_nanos from budgets").await, 0);
    assert!(fixture.store.batch_groups().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_group_of_one_model_makes_batches_of_that_model() {
    let fixture = Fixture::new().await;
    let claimed = fixture.claimed(2).await;
    let mut items: Vec<NewItem> = claimed.iter().map(item).collect();
    items[1].grp = "gemini/flash".to_owned();
    items[1].provider = "gemini".to_owned();
    fixture.store.batch_collect("test", &items).await.unwrap();
    let groups = fixture.store.batch_groups().await.unwrap();
    assert_eq!(groups.iter().map(|group| group.grp.as_str()).collect::<Vec<_>>(), ["anthropic", "gemini/flash"]);
    assert_eq!(groups[1].model.as_deref(), Some("gemini/flash"));
    let batch = Close { grp: "gemini/flash".to_owned(), ..close(NONE) };
    let batch = fixture.store.batch_close(&batch).await.unwrap().unwrap();
    assert_eq!((batch.provider.as_str(), batch.model.as_deref()), ("gemini", Some("gemini/flash")));
    let counts = fixture.store.batch_counts().await.unwrap();
    assert_eq!((counts.batches.len(), counts.waiting.len()), (1, 1));
    let one = &counts.batches[0];
    assert_eq!(
        (one.provider.as_str(), one.state, one.batches, one.items, one.done),
        ("gemini", BatchState::Submitting, 1, 1, 0)
    );
    assert_eq!((counts.waiting[0].provider.as_str(), counts.waiting[0].items), ("anthropic", 1));
}
