//! The first key, and what keeps a gateway from starting.

use crate::server::{Server, Servers, client};
use gateway::{Config, Service};
use reqwest::StatusCode;
use secrecy::ExposeSecret;
use std::{collections::BTreeMap, os::unix::fs::PermissionsExt};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_that_start_together_make_one_key() {
    let servers = Servers::create().await;
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(Server::on(servers.clone(), &[]).await);
    }
    let mut keys = Vec::new();
    for server in &mut all {
        // Who made none drops its end.
        if let Ok(key) = server.first_key.take().unwrap().await {
            keys.push(key);
        }
    }
    assert_eq!(keys.len(), 1);
    assert_eq!(servers.store().key_count_masters().await.unwrap(), 1);
    for server in all {
        let call = || server.client.get(server.url("/api/tasks")).bearer_auth(keys[0].expose_secret()).send();
        testkit::until("every gateway knows it", async || call().await.unwrap().status() == StatusCode::OK).await;
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_key_can_go_to_a_file_for_its_owner_alone() {
    let servers = Servers::create().await;
    let path = std::env::temp_dir().join(format!("chavion-first-key-{}", uuid::Uuid::now_v7()));
    std::fs::write(&path, "old").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let life = boot::Life::embedded("gateway", stop.clone());
    let config = servers.config(&[("FIRST_KEY_FILE", path.to_str().unwrap())]);
    let service = Service::build(config, &life).await.unwrap();
    let url = format!("http://{}/api/tasks", service.addr());
    let mut running = tokio::task::JoinSet::new();
    running.spawn(async move { life.run(service.run()).await });
    let client = client();
    testkit::until("the key in the file works", async || {
        let key = std::fs::read_to_string(&path).unwrap();
        client.get(&url).bearer_auth(key.trim()).send().await.unwrap().status() == StatusCode::OK
    })
    .await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::remove_file(&path).unwrap();
    stop.cancel();
    running.join_next().await.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_another_version_is_refused() {
    let database = testkit::Database::create().await;
    let redis = testkit::Redis::create();
    let servers = Servers { database: database.url, redis: redis.url, prefix: redis.prefix };
    let mut server = Server::on(servers, &[]).await;
    let ended = tokio::time::timeout(testkit::PATIENCE, server.ended()).await.unwrap();
    let error = format!("{:#}", ended.unwrap_err());
    assert!(error.contains("migrate it first"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_address_is_named() {
    let servers = Servers::create().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let life = boot::Life::embedded("gateway", tokio_util::sync::CancellationToken::new());
    let error = Service::build(servers.config(&[("GATEWAY_ADDR", &addr)]), &life).await.unwrap_err();
    assert!(format!("{error:#}").contains(&addr), "{error:#}");
}

#[test]
fn all_that_is_wrong_with_the_config_is_told_and_no_secret() {
    let vars: BTreeMap<String, String> =
        [("GATEWAY_ADDR", "everywhere"), ("DATABASE_URL", "mysql://user:hunter2@host/db"), ("EVENT_CLIENTS", "0")]
            .into_iter()
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .collect();
    let error = Config::read(&vars).unwrap_err();
    let named: Vec<&str> = error.problems.iter().map(|problem| problem.variable.as_str()).collect();
    assert_eq!(named, ["GATEWAY_ADDR", "DATABASE_URL", "REDIS_URL", "EVENT_CLIENTS"]);
    assert!(!error.to_string().contains("hunter2"));
    let right = BTreeMap::from([
        ("DATABASE_URL".to_owned(), "postgres://user:hunter2@host/db".to_owned()),
        ("REDIS_URL".to_owned(), "redis://:hunter2@host/0".to_owned()),
    ]);
    let config = Config::read(&right).unwrap();
    assert!(config.shown().len() <= 15);
    assert!(!format!("{:?}", config.shown()).contains("hunter2"));
}
