//! The board: one claims, that one ends it, and everybody else is told why not.

use crate::fixture::{Fixture, new_task};
use domain::task::{Cause, Kind, State};
use serde_json::json;
use store::{Accepted, ClaimedOpen, MovedOpen, Retry};
use tokio::task::JoinSet;
use uuid::Uuid;

async fn open(fixture: &Fixture) -> Uuid {
    let mut task = new_task("게시판의 일");
    task.order.playbook = None;
    assert_eq!(fixture.store.accept(&task).await.unwrap(), Accepted::Created);
    task.id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_twenty_claims_one_wins_and_the_others_learn_who() {
    let fixture = Fixture::new().await;
    let id = open(&fixture).await;
    let mut claims = JoinSet::new();
    for number in 0..20 {
        let store = fixture.store.clone();
        claims.spawn(async move { store.claim_open(id, &format!("요원{number}")).await.unwrap() });
    }
    let answers = claims.join_all().await;
    let winners: Vec<_> = answers
        .iter()
        .filter_map(|answer| if let ClaimedOpen::Won(task) = answer { task.agent.clone() } else { None })
        .collect();
    assert_eq!(winners.len(), 1);
    for answer in &answers {
        if let ClaimedOpen::Taken { by } = answer {
            assert_eq!(*by, winners[0]);
        }
    }
    assert_eq!(answers.iter().filter(|answer| matches!(answer, ClaimedOpen::Taken { .. })).count(), 19);
}

#[tokio::test]
async fn only_its_holder_speaks_for_a_task_and_only_once() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let id = open(&fixture).await;
    let result = json!({"text": "끝났다", "extra": [1, 2]});
    let early = store.complete_open(id, "bora", &result).await.unwrap();
    assert_eq!(early, MovedOpen::NotOpen { state: State::Queued, kind: Kind::Open });
    assert!(matches!(store.claim_open(id, "bora").await.unwrap(), ClaimedOpen::Won(_)));
    let taken = MovedOpen::Taken { by: "bora".to_owned() };
    assert_eq!(store.complete_open(id, "mallory", &result).await.unwrap(), taken);
    assert_eq!(store.fail_open(id, "mallory", "x").await.unwrap(), taken);
    assert_eq!(store.report_open(id, "mallory", "x").await.unwrap(), taken);
    let MovedOpen::Done(task) = store.report_open(id, "bora", "절반").await.unwrap() else { panic!("hers") };
    assert_eq!(task.progress.as_deref(), Some("절반"));
    let MovedOpen::Done(task) = store.complete_open(id, "bora", &result).await.unwrap() else { panic!("hers") };
    assert_eq!(task.state, State::Completed);
    let again = store.complete_open(id, "bora", &result).await.unwrap();
    assert_eq!(again, MovedOpen::NotOpen { state: State::Completed, kind: Kind::Open });
    assert_eq!(store.results(id).await.unwrap()[0].result, Some(result));
    assert_eq!(store.report(id).await.unwrap().unwrap().markdown, "끝났다");
}

#[tokio::test]
async fn a_failed_board_task_returns_to_the_board_by_retry() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let id = open(&fixture).await;
    store.claim_open(id, "bora").await.unwrap();
    let MovedOpen::Done(task) = store.fail_open(id, "bora", "못 하겠다").await.unwrap() else { panic!("hers") };
    let failure = task.failure.unwrap();
    assert_eq!((failure.cause, failure.reason.as_str()), (Cause::AgentFailed, "못 하겠다"));
    let Retry::Retried(retried) = store.retry(id).await.unwrap() else { panic!("it had failed") };
    assert_eq!((retried.kind, retried.state), (Kind::Open, State::Queued));
    assert!(matches!(store.claim_open(id, "nari").await.unwrap(), ClaimedOpen::Won(task) if task.attempt == 2));
}

#[tokio::test]
async fn what_is_not_on_the_board_cannot_be_claimed() {
    let fixture = Fixture::new().await;
    let plan = fixture.order().await;
    let answer = fixture.store.claim_open(plan, "bora").await.unwrap();
    assert_eq!(answer, ClaimedOpen::NotOpen { state: State::Pending, kind: Kind::Plan });
    assert_eq!(fixture.store.claim_open(Uuid::now_v7(), "bora").await.unwrap(), ClaimedOpen::Unknown);
    assert_eq!(fixture.store.fail_open(Uuid::now_v7(), "bora", "").await.unwrap(), MovedOpen::Unknown);
    assert!(fixture.store.claim_open(plan, "bo\0ra").await.is_err());
}
