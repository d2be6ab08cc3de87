//! The same request twice is one request.

use crate::server::{Server, told};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;

async fn post(server: &Server, path: &str, key: &str, body: &Value) -> (StatusCode, bool, Value) {
    let request = server.request(Method::POST, path).header("idempotency-key", key).json(body);
    let response = request.send().await.unwrap();
    let replayed = response.headers().get("idempotent-replayed").is_some_and(|value| value == "true");
    let (status, body) = told(response).await;
    (status, replayed, body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_sent_again_is_answered_again_and_not_given_again() {
    let server = Server::start().await;
    let body = json!({"title": "겨울 예약", "playbook": "report"});
    let (status, replayed, first) = post(&server, "/api/tasks", "order-1", &body).await;
    assert_eq!((status, replayed), (StatusCode::CREATED, false));
    let (status, replayed, second) = post(&server, "/api/tasks", "order-1", &body).await;
    assert_eq!((status, replayed, &second), (StatusCode::CREATED, true, &first));
    let (status, _, other) = post(&server, "/api/tasks", "order-1", &json!({"title": "다른 주문"})).await;
    assert_eq!((status.as_u16(), &other["code"]), (422, &json!("idempotency_key_reused")));
    let (status, replayed, _) = post(&server, "/api/tasks", "order-2", &body).await;
    assert_eq!((status, replayed), (StatusCode::CREATED, false));
    // What was refused may be put right under the same key.
    assert_eq!(post(&server, "/api/tasks", "order-3", &json!({"title": ""})).await.0.as_u16(), 422);
    assert_eq!(post(&server, "/api/tasks", "order-3", &body).await.0, StatusCode::CREATED);
    assert_eq!(server.get("/api/tasks").await["tasks"].as_array().unwrap().len(), 3);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_give_one_order() {
    let server = Server::start().await;
    let body = json!({"title": "한 번만"});
    let calls = (0..20).map(|_| post(&server, "/api/tasks", "once", &body));
    let answers = futures_util::future::join_all(calls).await;
    let ids: BTreeSet<_> = answers
        .iter()
        .map(|(status, _, body)| {
            assert_eq!(*status, StatusCode::CREATED, "{body}");
            body["id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(answers.iter().filter(|(_, replayed, _)| !replayed).count(), 1);
    assert_eq!(server.get("/api/tasks").await["tasks"].as_array().unwrap().len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_post_may_be_sent_again() {
    let server = Server::start().await;
    let id = server.order("게시판", None).await;
    let agent = json!({"agent_name": "claude"});
    let steps = [
        ("claim", agent.clone()),
        ("report", json!({"agent_name": "claude", "result": "반쯤"})),
        ("fail", json!({"agent_name": "claude", "reason": "못 하겠어요"})),
        ("retry", json!({})),
        ("cancel", json!({"reason": "그만"})),
    ];
    for (verb, body) in steps {
        let path = format!("/api/tasks/{id}/{verb}");
        let (status, replayed, first) = post(&server, &path, verb, &body).await;
        assert_eq!((status, replayed), (StatusCode::OK, false), "{verb}: {first}");
        let (status, replayed, second) = post(&server, &path, verb, &body).await;
        assert_eq!((status, replayed, second), (StatusCode::OK, true, first), "{verb}");
        let (status, _, other) =
            post(&server, &format!("/api/tasks/{id}/cancel"), verb, &json!({"reason": "딴 것"})).await;
        assert_eq!((status.as_u16(), &other["code"]), (422, &json!("idempotency_key_reused")), "{verb}");
    }
    let body = json!({"name": "새 열쇠", "role": "viewer"});
    let (_, _, made) = post(&server, "/api/keys", "key", &body).await;
    let (status, replayed, again) = post(&server, "/api/keys", "key", &body).await;
    assert!(made["key"].as_str().unwrap().starts_with("chv_"));
    assert_eq!((status, replayed, &again["id"], &again["key"]), (StatusCode::CREATED, true, &made["id"], &Value::Null));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_sent_many_times_at_once_wins_every_time() {
    let server = Server::start().await;
    let path = format!("/api/tasks/{}/claim", server.order("게시판", None).await);
    let agent = json!({"agent_name": "claude"});
    let calls = (0..20).map(|_| post(&server, &path, "claim-1", &agent));
    for (status, _, body) in futures_util::future::join_all(calls).await {
        assert!(
            status == StatusCode::OK || (status == StatusCode::CONFLICT && body["code"] == "in_flight"),
            "{status} {body}"
        );
    }
    let (status, replayed, _) = post(&server, &path, "claim-1", &agent).await;
    assert_eq!((status, replayed), (StatusCode::OK, true));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_claim_through_two_gateways_wins_at_both() {
    let one = Server::start().await;
    let mut two = Server::on(one.servers.clone(), &[]).await;
    two.master.clone_from(&one.master);
    for round in 0..5 {
        let path = format!("/api/tasks/{}/claim", one.order("게시판", None).await);
        let (key, agent) = (format!("claim-{round}"), json!({"agent_name": "claude"}));
        let (first, second) = tokio::join!(post(&one, &path, &key, &agent), post(&two, &path, &key, &agent));
        assert_eq!((first.0, second.0), (StatusCode::OK, StatusCode::OK), "{first:?} {second:?}");
        assert_eq!(u8::from(first.1) + u8::from(second.1), 1, "one is a replay");
        assert_eq!(first.2, second.2);
    }
    two.stop().await;
    one.stop().await;
}
