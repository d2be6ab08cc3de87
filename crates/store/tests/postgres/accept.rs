//! Accepting orders: once for each key, and never without its playbook.

use crate::fixture::{Fixture, new_task, playbook};
use domain::task::{Kind, Priority, State};
use serde_json::json;
use store::{Accepted, Error, Idempotency, NewKey, NewTask, Replay, Role};
use tokio::task::JoinSet;
use uuid::Uuid;

async fn key(fixture: &Fixture) -> Uuid {
    let id = Uuid::now_v7();
    let hash = id.as_bytes().to_vec();
    let key = NewKey { id, name: "주인".to_owned(), role: Role::Master, agent_name: None, hash };
    fixture.store.key_new(&key).await.unwrap();
    id
}

fn with_key(key_id: Uuid, word: &str, hash: &[u8]) -> NewTask {
    let mut task = new_task("열쇠가 있는 주문");
    task.idempotency = Some(Idempotency {
        key_id,
        key: word.to_owned(),
        request_hash: hash.to_vec(),
        status: 201,
        body: json!({"id": task.id, "z": "첫째", "a": 1}),
    });
    task
}

#[tokio::test]
async fn an_order_becomes_a_pending_plan_and_a_board_task_is_open() {
    let fixture = Fixture::new().await;
    let plan = new_task("겨울 보고서");
    assert_eq!(fixture.store.accept(&plan).await.unwrap(), Accepted::Created);
    let task = fixture.task(plan.id).await;
    assert_eq!((task.kind, task.state, task.priority), (Kind::Plan, State::Pending, Priority::High));
    assert_eq!((task.title.as_str(), task.agents.as_slice()), ("겨울 보고서", ["bora".to_owned()].as_slice()));
    assert_eq!(task.traceparent, plan.traceparent);

    let mut open = new_task("누구든지");
    open.order.playbook = None;
    assert_eq!(fixture.store.accept(&open).await.unwrap(), Accepted::Created);
    let task = fixture.task(open.id).await;
    assert_eq!((task.kind, task.state), (Kind::Open, State::Queued));
}

#[tokio::test]
async fn an_unknown_playbook_is_refused_with_the_known_ones() {
    let fixture = Fixture::new().await;
    fixture.store.playbooks_put(&[playbook("report", "v1"), playbook("answer", "v1")]).await.unwrap();
    let key = key(&fixture).await;
    let mut task = with_key(key, "k", b"h");
    task.order.playbook = Some("없는것".to_owned());
    let known = vec!["answer".to_owned(), "report".to_owned()];
    assert_eq!(fixture.store.accept(&task).await.unwrap(), Accepted::UnknownPlaybook { known });
    assert_eq!(fixture.value::<i64>("select count(*) from idempotency").await, 0);
    assert_eq!(fixture.value::<i64>("select count(*) from tasks").await, 0);
}

#[tokio::test]
async fn the_same_key_gives_the_same_answer_and_another_request_is_told_so() {
    let fixture = Fixture::new().await;
    let key = key(&fixture).await;
    let first = with_key(key, "k", b"same");
    assert_eq!(fixture.store.accept(&first).await.unwrap(), Accepted::Created);
    let again = with_key(key, "k", b"same");
    let body = first.idempotency.as_ref().unwrap().body.clone();
    let expected = Accepted::Replayed { status: 201, body: body.clone(), task_id: Some(first.id) };
    let replayed = fixture.store.accept(&again).await.unwrap();
    assert_eq!(replayed, expected);
    // The body comes back as it was written, not in another order.
    let Accepted::Replayed { body: read, .. } = replayed else { panic!("{replayed:?}") };
    assert_eq!(read.to_string(), body.to_string());
    let other = with_key(key, "k", b"other");
    assert_eq!(fixture.store.accept(&other).await.unwrap(), Accepted::KeyReused);
    // Another holder may use the same word.
    let stranger = with_key(self::key(&fixture).await, "k", b"same");
    assert_eq!(fixture.store.accept(&stranger).await.unwrap(), Accepted::Created);
    assert_eq!(fixture.value::<i64>("select count(*) from tasks").await, 2);
}

#[tokio::test]
async fn fifty_calls_with_one_key_make_one_task() {
    let fixture = Fixture::with_connections(16).await;
    let key = key(&fixture).await;
    let mut calls = JoinSet::new();
    for _ in 0..50 {
        let store = fixture.store.clone();
        calls.spawn(async move {
            let task = with_key(key, "하나", b"same");
            (task.id, store.accept(&task).await.unwrap())
        });
    }
    let answers = calls.join_all().await;
    let created: Vec<_> = answers.iter().filter(|(_, answer)| *answer == Accepted::Created).collect();
    assert_eq!(created.len(), 1);
    let winner = created[0].0;
    for (_, answer) in &answers {
        let Accepted::Replayed { task_id, .. } = answer else { continue };
        assert_eq!(*task_id, Some(winner));
    }
    assert_eq!(answers.iter().filter(|(_, answer)| matches!(answer, Accepted::Replayed { .. })).count(), 49);
    assert_eq!(fixture.value::<i64>("select count(*) from tasks").await, 1);
}

#[tokio::test]
async fn the_same_call_after_a_lost_answer_is_safe() {
    let fixture = Fixture::new().await;
    let task = new_task("두 번 보낸 주문");
    assert_eq!(fixture.store.accept(&task).await.unwrap(), Accepted::Created);
    assert_eq!(fixture.store.accept(&task).await.unwrap(), Accepted::Created);
    assert_eq!(fixture.value::<i64>("select count(*) from tasks").await, 1);
}

#[tokio::test]
async fn nul_is_refused_with_the_field_before_it_reaches_postgres() {
    let fixture = Fixture::new().await;
    let mut task = new_task("제목");
    task.order.description = "본문\0".to_owned();
    let error = fixture.store.accept(&task).await.unwrap_err();
    assert!(matches!(error, Error::Nul { field: "description" }), "{error}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn answers_of_other_requests_are_kept_as_well() {
    let fixture = Fixture::new().await;
    let key_id = key(&fixture).await;
    let store = &fixture.store;
    assert_eq!(store.replay(key_id, "k", b"h").await.unwrap(), Replay::Unknown);
    let answer = Idempotency {
        key_id,
        key: "k".to_owned(),
        request_hash: b"h".to_vec(),
        status: 202,
        body: json!({"cancelled": "네\0"}),
    };
    assert!(store.remember(&answer, None).await.unwrap());
    assert!(!store.remember(&answer, None).await.unwrap());
    let body = json!({"cancelled": "네\u{FFFD}"});
    let stored = Replay::Stored { status: 202, body, task_id: None };
    assert_eq!(store.replay(key_id, "k", b"h").await.unwrap(), stored);
    assert_eq!(store.replay(key_id, "k", b"x").await.unwrap(), Replay::KeyReused);
}
