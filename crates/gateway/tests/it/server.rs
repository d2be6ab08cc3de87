//! A gateway in this process, and a client that knows its keys.

use boot::Life;
use bus::Bus;
use gateway::{Config, Service};
use prometheus::Registry;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::SocketAddr, sync::Once};
use store::{NewPlaybook, Origin, Store};
use testkit::{Database, Redis};
use tokio::{sync::oneshot, task::JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) const PLAYBOOK: &str = r#"
name = "report"
description = "보고서를 씁니다."

[[step]]
id = "write"
agent = "writer"
prompt = "{{ order.text }}"
"#;

/// Where a test's servers are.
#[derive(Debug, Clone)]
pub(crate) struct Servers {
    pub(crate) database: String,
    pub(crate) redis: String,
    pub(crate) prefix: String,
}

impl Servers {
    pub(crate) async fn create() -> Self {
        let (database, redis) = (Database::create().await, Redis::create());
        let servers = Self { database: database.url, redis: redis.url, prefix: redis.prefix };
        servers.store().migrate().await.expect("the schema is made");
        servers
    }

    pub(crate) fn store(&self) -> Store {
        let url = SecretString::from(self.database.clone());
        let options = store::Options { url, max_connections: 4, application_name: "gateway-test".to_owned() };
        Store::connect(&options, &Registry::new()).expect("a store")
    }

    pub(crate) fn bus(&self) -> Bus {
        let url = SecretString::from(self.redis.clone());
        let options = bus::Options { url, prefix: self.prefix.clone(), replica: "test".to_owned() };
        Bus::connect(&options, &Registry::new()).expect("a bus")
    }

    pub(crate) fn config(&self, more: &[(&str, &str)]) -> Config {
        let mut vars: BTreeMap<String, String> = BTreeMap::from([
            ("DATABASE_URL".to_owned(), self.database.clone()),
            ("REDIS_URL".to_owned(), self.redis.clone()),
            ("REDIS_PREFIX".to_owned(), self.prefix.clone()),
            ("GATEWAY_ADDR".to_owned(), "127.0.0.1:0".to_owned()),
        ]);
        vars.extend(more.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())));
        Config::read(&vars).expect("the config is right")
    }
}

/// A gateway that serves.
pub(crate) struct Server {
    pub(crate) servers: Servers,
    pub(crate) addr: SocketAddr,
    pub(crate) master: String,
    pub(crate) client: Client,
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) first_key: Option<oneshot::Receiver<SecretString>>,
    stop: CancellationToken,
    running: JoinSet<anyhow::Result<()>>,
}

impl Server {
    /// Starts a gateway on its own schema and prefix, with a playbook called `report`.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(crate) async fn start_with(more: &[(&str, &str)]) -> Self {
        let servers = Servers::create().await;
        let mut server = Self::on(servers, more).await;
        let key = server.first_key.take().unwrap().await.expect("the first key is handed over");
        server.master = key.expose_secret().to_owned();
        server.store.playbooks_put(&[playbook("report", PLAYBOOK)]).await.unwrap();
        server
    }

    /// Starts a gateway on given servers, without waiting for its first key.
    pub(crate) async fn on(servers: Servers, more: &[(&str, &str)]) -> Self {
        let stop = CancellationToken::new();
        let life = Life::embedded("gateway", stop.clone());
        let registry = life.registry.clone();
        let mut service = Service::build(servers.config(more), &life).await.expect("the gateway is built");
        let (addr, first_key) = (service.addr(), service.first_key());
        let mut running = JoinSet::new();
        running.spawn(async move {
            let ended = life.run(service.run()).await;
            life.finish(ended).await
        });
        let store = servers.store();
        let first_key = Some(first_key);
        Self { servers, addr, master: String::new(), client: client(), store, registry, first_key, stop, running }
    }

    /// Stops the gateway and checks that it ended well.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        self.running.join_next().await.unwrap().unwrap().expect("the gateway ends well");
    }

    /// Asks the gateway to stop, without waiting for it.
    pub(crate) fn ask_to_stop(&self) {
        self.stop.cancel();
    }

    /// Returns how the gateway ended by itself.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<()> {
        self.running.join_next().await.unwrap().unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// A request with the master's key.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path)).bearer_auth(&self.master)
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let response = self.request(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "GET {path}");
        response.json().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.post_as(&self.master, path, body).await
    }

    pub(crate) async fn post_as(&self, key: &str, path: &str, body: &Value) -> (StatusCode, Value) {
        let response = self.client.post(self.url(path)).bearer_auth(key).json(body).send().await.unwrap();
        told(response).await
    }

    /// Gives an order and returns its id.
    pub(crate) async fn order(&self, title: &str, playbook: Option<&str>) -> Uuid {
        let (status, body) = self.post("/api/tasks", &json!({"title": title, "playbook": playbook})).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body["id"].as_str().unwrap().parse().unwrap()
    }

    /// Runs SQL that no caller of the store could.
    pub(crate) async fn sql(&self, text: &str) {
        let (client, connection) =
            tokio_postgres::connect(&self.servers.database, tokio_postgres::NoTls).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async move { connection.await.map_err(anyhow::Error::from) });
        client.batch_execute(text).await.unwrap();
    }

    /// Makes a key.
    pub(crate) async fn key(&self, role: &str, agent: Option<&str>) -> (Uuid, String) {
        let (status, body) =
            self.post("/api/keys", &json!({"name": format!("시험 {role}"), "role": role, "agent_name": agent})).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        (body["id"].as_str().unwrap().parse().unwrap(), body["key"].as_str().unwrap().to_owned())
    }

    /// Reads one of the gateway's numbers.
    pub(crate) fn number(&self, name: &str, label: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        let metrics = family.map(prometheus::proto::MetricFamily::get_metric).unwrap_or_default();
        let fits = |metric: &&prometheus::proto::Metric| {
            label.is_empty() || metric.get_label().iter().any(|pair| pair.value() == label)
        };
        metrics
            .iter()
            .filter(fits)
            .map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value())
            .sum()
    }
}

pub(crate) fn playbook(name: &str, source: &str) -> NewPlaybook {
    NewPlaybook {
        hash: format!("hash of {name}"),
        name: name.to_owned(),
        description: "시험용".to_owned(),
        source: source.to_owned(),
        origin: Origin::BuiltIn,
    }
}

pub(crate) fn client() -> Client {
    static CRYPTO: Once = Once::new();
    CRYPTO.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

/// Reads a JSON answer and checks what every answer must have.
pub(crate) async fn told(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let request_id = response.headers().get("x-request-id").expect("a request id").to_str().unwrap().to_owned();
    let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    let bytes = response.bytes().await.unwrap();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    if status.is_client_error() || status.is_server_error() {
        assert_eq!(kind.as_deref(), Some("application/problem+json"));
        assert_eq!(body["status"], status.as_u16());
        assert_eq!(body["request_id"], request_id.as_str());
        for member in ["type", "title", "detail", "code"] {
            assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{member} in {body}");
        }
    }
    (status, body)
}

/// Names the fields that a problem complains about.
pub(crate) fn fields(problem: &Value) -> Vec<&str> {
    let errors = problem["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    errors.iter().map(|wrong| wrong["field"].as_str().unwrap()).collect()
}
