//! Keys and what each role may do.

use crate::server::{Server, told};
use reqwest::{Method, StatusCode};
use serde_json::json;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_route_is_open_to_the_roles_that_the_table_names() {
    let server = Server::start().await;
    let (_, viewer) = server.key("viewer", None).await;
    let (_, agent) = server.key("agent", Some("claude")).await;
    for (method, path, need) in gateway::needs() {
        let address = path.replace("{id}", &Uuid::now_v7().to_string()).replace("{file}", "none");
        let call = |key: Option<&str>| {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let mut request = server.client.request(method, server.url(&address));
            if let Some(key) = key {
                request = request.bearer_auth(key);
            }
            async { request.send().await.unwrap() }
        };
        for (role, key) in
            [("none", None), ("wrong", Some("chv_wrong")), ("viewer", Some(&*viewer)), ("agent", Some(&*agent))]
        {
            let response = call(key).await;
            let expected = match (need, role) {
                ("none", _) | ("viewer", "viewer" | "agent") | ("agent", "agent") => None,
                (_, "none" | "wrong") => Some(401),
                _ => Some(403),
            };
            let status = response.status().as_u16();
            match expected {
                None => assert!(![401, 403].contains(&status), "{role} {method} {path}: {status}"),
                Some(expected) => assert_eq!(status, expected, "{role} {method} {path}"),
            }
            if expected == Some(401) {
                assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"chavion\"");
            }
            if expected == Some(403) {
                let (_, body) = told(response).await;
                assert_eq!(
                    (&body["code"], &body["needed"], &body["role"]),
                    (&json!("forbidden"), &json!(need), &json!(role))
                );
                assert!(body["detail"].as_str().unwrap().contains(need), "{body}");
            }
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_shown_once_and_dies_when_it_is_revoked() {
    let server = Server::start().await;
    let (id, key) = server.key("viewer", None).await;
    let call = || server.client.get(server.url("/api/tasks")).bearer_auth(&key).send();
    assert_eq!(call().await.unwrap().status(), StatusCode::OK);
    let listed = server.get("/api/keys").await;
    assert_eq!(listed["keys"].as_array().unwrap().len(), 2);
    assert!(!listed.to_string().contains("chv_"), "{listed}");
    let revoked = server.request(Method::DELETE, &format!("/api/keys/{id}")).send().await.unwrap();
    assert_eq!(revoked.status(), StatusCode::NO_CONTENT);
    assert_eq!(call().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let again = server.request(Method::DELETE, &format!("/api/keys/{id}")).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_FOUND);
    assert!(server.get("/api/keys").await["keys"][1]["revoked_at"].is_string());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_was_revoked_elsewhere_dies_within_ten_seconds() {
    let server = Server::start().await;
    let (id, key) = server.key("viewer", None).await;
    let status = async || {
        let request = server.client.get(server.url("/api/tasks?limit=1")).bearer_auth(&key);
        request.send().await.unwrap().status()
    };
    assert_eq!(status().await, StatusCode::OK);
    assert!(server.store.key_revoke(id).await.unwrap());
    testkit::until("the key is refused", async || status().await == StatusCode::UNAUTHORIZED).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_key_costs_no_query() {
    let server = Server::start().await;
    let id = server.order("일", None).await;
    for _ in 0..50 {
        server.get(&format!("/api/tasks/{id}/status")).await;
    }
    let looked_up = server.number("chavion_gateway_key_lookups_total", "store");
    let remembered = server.number("chavion_gateway_key_lookups_total", "cache");
    assert!(remembered >= 40.0 && looked_up < 10.0, "{looked_up} looked up, {remembered} remembered");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_master_is_not_locked_out() {
    let server = Server::start().await;
    let listed = server.get("/api/keys").await;
    let first = listed["keys"][0]["id"].as_str().unwrap().to_owned();
    let revoke = || server.request(Method::DELETE, &format!("/api/keys/{first}")).send();
    let (status, body) = told(revoke().await.unwrap()).await;
    assert_eq!((status.as_u16(), &body["code"]), (409, &json!("last_master")));
    server.key("master", None).await;
    assert_eq!(revoke().await.unwrap().status(), StatusCode::NO_CONTENT);
    server.stop().await;
}
