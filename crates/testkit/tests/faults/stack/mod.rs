//! Everything at once, as real processes: private servers, a proxy before Postgres, the emulator, the four
//! services and a master who gives orders. Ends with its handle, whatever happens.

use cli::servers::{Reach, Servers};
use emulator::{Emulator, Running};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use testkit::{
    Proxy,
    process::{self, Process},
};
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

/// How quickly the stack notices a death: short, so that tests need not wait for a lease of 30 s.
const TIMES: [(&str, &str); 4] =
    [("LEASE_SECONDS", "3"), ("STALE_SECONDS", "2"), ("SWEEP_SECONDS", "1"), ("DRAIN_SECONDS", "10")];

/// What is started.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// How the emulator answers.
    pub(crate) emulator: emulator::Options,
    /// The providers that are switched on, as their variables begin.
    pub(crate) providers: &'static [&'static str],
    /// How many orchestrators run.
    pub(crate) orchestrators: usize,
    /// How many batch-pollers run.
    pub(crate) pollers: usize,
    /// Variables of all services.
    pub(crate) variables: &'static [(&'static str, &'static str)],
}

/// The whole of Chavion as processes.
pub(crate) struct Stack {
    /// The services, by name; several of one name are replicas.
    pub(crate) services: Vec<(&'static str, Process)>,
    /// Stands before Postgres and can be cut.
    pub(crate) postgres: Proxy,
    /// The providers.
    pub(crate) emulator: Running,
    /// Where Postgres is, past the proxy.
    pub(crate) database_url: String,
    /// Where Redis is.
    pub(crate) redis: SocketAddr,
    /// Where the API is.
    pub(crate) gateway: SocketAddr,
    /// The master's key.
    pub(crate) key: String,
    /// Asks the API.
    pub(crate) http: reqwest::Client,
    /// The admin ports of the services, by name.
    pub(crate) admins: Vec<(&'static str, SocketAddr)>,
    servers: Option<Servers>,
    folder: PathBuf,
}

impl Stack {
    /// Starts everything, with these playbooks besides the built-in ones, and waits until all is ready.
    pub(crate) async fn start(shape: Shape, playbooks: &[(&str, &str)]) -> Self {
        let folder = fresh_folder();
        for (name, text) in playbooks {
            std::fs::write(folder.join("playbooks").join(name), text).unwrap();
        }
        let servers = Servers::start(&folder.join("servers"), Reach::Loopback).await.unwrap();
        let postgres = Proxy::before(&servers.database_url).await;
        let emulator = Emulator::start(shape.emulator).await.unwrap();
        let redis = servers.redis_url.trim_start_matches("redis://").parse().unwrap();
        let gateway = process::free_address();
        let mut variables: BTreeMap<String, String> = BTreeMap::from([
            ("DATABASE_URL".to_owned(), postgres.through(&servers.database_url)),
            ("REDIS_URL".to_owned(), servers.redis_url.clone()),
            ("GATEWAY_ADDR".to_owned(), gateway.to_string()),
            ("FIRST_KEY_FILE".to_owned(), folder.join("key").display().to_string()),
            ("WORK_DIR".to_owned(), folder.join("work").display().to_string()),
            ("PLAYBOOKS_DIR".to_owned(), folder.join("playbooks").display().to_string()),
            // Few at once, so that orders are in flight while the tests do their worst.
            ("ASK_CONCURRENCY".to_owned(), "16".to_owned()),
        ]);
        for provider in shape.providers {
            let base = match *provider {
                "ANTHROPIC" => emulator.anthropic_base(),
                "OPENAI" => emulator.openai_base(),
                _ => emulator.gemini_base(),
            };
            variables.insert(format!("{provider}_BASE_URL"), base);
            variables.insert(format!("{provider}_API_KEY"), "emulated".to_owned());
        }
        let more = TIMES.iter().chain(shape.variables);
        variables.extend(more.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        migrate(&variables, &folder).await;
        let mut names = vec!["gateway", "executor"];
        names.extend(std::iter::repeat_n("batch-poller", shape.pollers));
        names.extend(std::iter::repeat_n("orchestrator", shape.orchestrators));
        let mut services = Vec::new();
        let mut admins = Vec::new();
        for (number, name) in names.into_iter().enumerate() {
            let admin = process::free_address();
            variables.insert("ADMIN_ADDR".to_owned(), admin.to_string());
            variables.insert("REPLICA".to_owned(), format!("{name}-{number}"));
            let log = folder.join(format!("{name}-{number}.log"));
            services.push((name, Process::start(name, &variables, &log)));
            admins.push((name, admin));
        }
        for (_, admin) in &admins {
            process::until_ready(*admin).await;
        }
        let key = std::fs::read_to_string(folder.join("key")).unwrap().trim().to_owned();
        let database_url = servers.database_url.clone();
        let http = http();
        let servers = Some(servers);
        Self { services, postgres, emulator, database_url, redis, gateway, key, http, admins, servers, folder }
    }

    /// Gives an order as often as it takes until the gateway has answered; the idempotency key makes it one.
    pub(crate) async fn order(&self, body: &Value, key: &str) -> Value {
        for _ in 0..300 {
            let request = self
                .http
                .post(format!("http://{}/api/tasks", self.gateway))
                .bearer_auth(&self.key)
                .header("idempotency-key", key)
                .json(body);
            match request.send().await {
                Ok(answer) if answer.status().is_success() => {
                    if let Ok(task) = answer.json().await {
                        return task;
                    }
                }
                Ok(answer) if answer.status().is_client_error() => {
                    panic!("{}: {}", answer.status(), answer.text().await.unwrap_or_default())
                }
                _ => {}
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the gateway took no order for 30 s: {}", self.said("gateway"));
    }

    /// Runs SQL past the proxy and returns the rows as text; waits for a Postgres that is recovering.
    pub(crate) async fn sql(&self, statement: &str) -> Vec<Vec<String>> {
        let start = std::time::Instant::now();
        loop {
            match self.try_sql(statement).await {
                Ok(rows) => return rows,
                Err(error) => assert!(start.elapsed() < testkit::PATIENCE, "{statement}: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn try_sql(&self, statement: &str) -> Result<Vec<Vec<String>>, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(&self.database_url, tokio_postgres::NoTls).await?;
        let mut driver = tokio::task::JoinSet::new();
        driver.spawn(connection);
        let messages = client.simple_query(statement).await?;
        let row = |row: &SimpleQueryRow| (0..row.len()).map(|at| row.get(at).unwrap_or("").to_owned()).collect();
        Ok(messages
            .iter()
            .filter_map(|message| if let SimpleQueryMessage::Row(found) = message { Some(row(found)) } else { None })
            .collect())
    }

    /// Reads one number.
    pub(crate) async fn count(&self, statement: &str) -> i64 {
        self.sql(statement).await[0][0].parse().unwrap()
    }

    /// Crashes Postgres: a backend that dies by kill -9 takes the shared memory with it, and what was committed
    /// without waiting for the disk is lost.
    pub(crate) async fn crash_postgres(&self) {
        let backend = self.count("select pid from pg_stat_activity where pid <> pg_backend_pid() and usename is not null and query <> '' limit 1").await;
        let pid = rustix::process::Pid::from_raw(i32::try_from(backend).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }

    /// Speaks one command to Redis and returns its answer's first line.
    pub(crate) async fn redis(&self, command: &str) -> String {
        use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
        let mut stream = tokio::net::TcpStream::connect(self.redis).await.unwrap();
        stream.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await.unwrap();
        line.trim().to_owned()
    }

    /// Returns what all replicas of a service have logged.
    pub(crate) fn said(&self, name: &str) -> String {
        let logs = self.services.iter().filter(|(service, _)| *service == name);
        logs.map(|(_, process)| process.said()).collect::<Vec<_>>().join("\n")
    }

    /// Waits until all services are ready, after the last of them was started again.
    pub(crate) async fn until_ready(&self) {
        for (_, admin) in &self.admins {
            process::until_ready(*admin).await;
        }
    }

    /// Stops the services with SIGTERM, checks that each drained, and ends the rest.
    pub(crate) async fn stop(mut self) {
        for (name, process) in &mut self.services {
            let status = process.stop().await;
            assert!(status.success(), "{name} ended with {status}: {}", process.said());
        }
        if let Some(servers) = self.servers.take() {
            servers.stop().await;
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.services.clear();
        drop(self.servers.take());
        if std::thread::panicking() {
            eprintln!("the logs are kept in {}", self.folder.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

fn fresh_folder() -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = std::env::temp_dir().join(format!("chavion-stack-{}", uuid::Uuid::now_v7().simple()));
    std::fs::create_dir_all(folder.join("playbooks")).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

async fn migrate(variables: &BTreeMap<String, String>, folder: &Path) {
    let mut variables = variables.clone();
    variables.insert("ADMIN_ADDR".to_owned(), "127.0.0.1:0".to_owned());
    let status = tokio::process::Command::new(process::binary("orchestrator"))
        .arg("migrate")
        .env_clear()
        .envs(&variables)
        .stdout(std::fs::File::create(folder.join("migrate.log")).unwrap())
        .stderr(std::process::Stdio::null())
        .status()
        .await
        .unwrap();
    assert!(status.success(), "{}", std::fs::read_to_string(folder.join("migrate.log")).unwrap());
}

fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder().timeout(Duration::from_secs(10)).no_proxy();
    builder.tls_certs_only([]).build().unwrap()
}

/// An order in Korean.
pub(crate) fn order(title: &str, playbook: &str) -> Value {
    json!({ "title": title, "playbook": playbook })
}
