//! Redis or Postgres away, at the start and later: a clear answer, and nothing lost.

use crate::server::{Server, Servers, playbook, told};
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret;
use serde_json::json;
use testkit::Proxy;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_orders_are_taken_and_what_needs_it_says_so() {
    let mut servers = Servers::create().await;
    let proxy = Proxy::before(&servers.redis).await;
    servers.redis = proxy.through(&servers.redis);
    let mut server = Server::on(servers, &[]).await;
    server.master = server.first_key.take().unwrap().await.unwrap().expose_secret().to_owned();
    server.store.playbooks_put(&[playbook("report", crate::server::PLAYBOOK)]).await.unwrap();
    proxy.cut();
    let id = server.order("레디스 없이", Some("report")).await;
    testkit::until("the lost announcement is counted", async || {
        server.number("chavion_gateway_unannounced_total", "") >= 2.0
    })
    .await;
    assert_eq!(server.get(&format!("/api/tasks/{id}/status?wait=1")).await["state"], "pending");
    let status = server.get("/api/status").await;
    assert_eq!((&status["services"][1]["up"], &status["topics"]), (&json!(false), &json!(null)));
    let response = server.request(Method::GET, "/api/events").send().await.unwrap();
    assert_eq!(response.headers()["retry-after"], "2");
    let (status, body) = told(response).await;
    assert_eq!((status.as_u16(), &body["code"]), (503, &json!("unavailable")));
    assert!(!body.to_string().contains("127.0.0.1"), "no cause reaches a client: {body}");
    proxy.heal();
    testkit::until("events are back", async || {
        server.request(Method::GET, "/api/events").send().await.unwrap().status() == StatusCode::OK
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_postgres_every_call_says_so_and_comes_back() {
    let mut servers = Servers::create().await;
    let direct = servers.store();
    let proxy = Proxy::before(&servers.database).await;
    servers.database = proxy.through(&servers.database);
    let mut server = Server::on(servers, &[]).await;
    server.master = server.first_key.take().unwrap().await.unwrap().expose_secret().to_owned();
    let id = server.order("일", None).await;
    proxy.cut();
    for (method, path, need) in gateway::needs() {
        let path = path.replace("{id}", &id.to_string()).replace("{file}", "index.html");
        let path = path.replace("{scope}/{name}/{period}", "all/all/day").replace("{provider}", "openai");
        let mut request = server.request(Method::from_bytes(method.as_bytes()).unwrap(), &path);
        if method == "POST" {
            request = match path.as_str() {
                "/api/tasks" => request.json(&json!({"title": "주문"})),
                "/api/keys" => request.json(&json!({"name": "열쇠", "role": "viewer"})),
                "/api/playbooks" => request.header("content-type", "application/toml").body(crate::server::PLAYBOOK),
                "/api/budgets" => request.json(&json!({"scope": "all", "limit": "1"})),
                _ if ["retry", "cancel", "flush", "end"].iter().any(|verb| path.ends_with(verb)) => {
                    request.json(&json!({}))
                }
                _ if path.ends_with("claim") => request.json(&json!({"agent_name": "a"})),
                _ => request.json(&json!({"agent_name": "a", "result": "x"})),
            };
        }
        let response = request.send().await.unwrap();
        if need == "none" || ["/api/events", "/ws"].contains(&path.as_str()) {
            assert!(!response.status().is_server_error(), "{method} {path}");
            continue;
        }
        let after = response.headers().get("retry-after").cloned();
        let (status, body) = told(response).await;
        assert_eq!((status.as_u16(), &body["code"]), (503, &json!("unavailable")), "{method} {path}: {body}");
        assert!(after.is_some() && body["detail"].as_str().unwrap().contains("Nothing was lost"));
    }
    proxy.heal();
    testkit::until("the gateway is back", async || {
        server.request(Method::GET, &format!("/api/tasks/{id}")).send().await.unwrap().status() == StatusCode::OK
    })
    .await;
    assert!(direct.task(id).await.unwrap().is_some());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_may_start_before_its_servers() {
    let mut servers = Servers::create().await;
    let postgres = Proxy::before(&servers.database).await;
    let redis = Proxy::before(&servers.redis).await;
    postgres.cut();
    redis.cut();
    servers.database = postgres.through(&servers.database);
    servers.redis = redis.through(&servers.redis);
    let mut server = Server::on(servers, &[]).await;
    assert_eq!(server.client.get(server.url("/health")).send().await.unwrap().status(), StatusCode::OK);
    let (status, body) = told(server.request(Method::GET, "/api/tasks").send().await.unwrap()).await;
    assert_eq!((status.as_u16(), &body["code"]), (503, &json!("unavailable")));
    postgres.heal();
    redis.heal();
    server.master = server.first_key.take().unwrap().await.unwrap().expose_secret().to_owned();
    testkit::until("the gateway has started", async || {
        server.request(Method::GET, "/api/tasks").send().await.unwrap().status() == StatusCode::OK
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_stops_while_it_waits_for_its_servers() {
    let servers = Servers {
        database: "postgres://nobody@127.0.0.1:1/none".into(),
        redis: "redis://127.0.0.1:1".into(),
        prefix: "x:".into(),
    };
    let server = Server::on(servers, &[]).await;
    assert_eq!(server.client.get(server.url("/health")).send().await.unwrap().status(), StatusCode::OK);
    server.stop().await;
}
