//! What is measured, as it would run on one machine: private servers with their durable settings, the emulator, and
//! the four services, each a process of its own. Ends with its handle. Refuses to tune anything.

use crate::{figures::Times, postgres::Postgres, redis::Redis, usage::Meter};
use anyhow::{Context as _, bail, ensure};
use cli::servers::Servers;
use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use testkit::process::{self, Process};
use tokio::process::{Child, Command};

/// Three asks, each quoting the one before.
const CHAIN: &str = r#"
name = "chain"
description = "Three asks, one after the other."

[[step]]
id = "first"
agent = "assistant"
prompt = "{{ order.text }}"

[[step]]
id = "second"
needs = ["first"]
agent = "assistant"
prompt = "{{ steps.first.text }} 다음은?"

[[step]]
id = "third"
needs = ["second"]
agent = "assistant"
prompt = "{{ steps.second.text }} 그래서?"
"#;
/// How many asks an order of that playbook has.
pub(crate) const ASKS: f64 = 3.0;
/// The services that are measured.
pub(crate) const SERVICES: [&str; 4] = ["gateway", "orchestrator", "executor", "batch-poller"];
/// How long anything may take to be ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// All that runs besides the servers.
pub(crate) struct Stand {
    /// Where the emulator answers.
    pub(crate) emulator: SocketAddr,
    /// Where the gateway answers.
    pub(crate) gateway: SocketAddr,
    /// The master's key.
    pub(crate) key: String,
    /// Where Redis listens.
    pub(crate) redis_socket: PathBuf,
    /// A connection to Postgres for questions.
    pub(crate) postgres: Postgres,
    /// A connection to Redis for questions.
    pub(crate) redis: Redis,
    services: Vec<(&'static str, Process, SocketAddr)>,
    emulating: Child,
    postmaster: u32,
    redis_process: u32,
}

impl Stand {
    /// Starts all and waits until it is ready.
    pub(crate) async fn start(folder: &Path, servers: &Servers) -> anyhow::Result<Self> {
        let playbooks = folder.join("playbooks");
        fs::create_dir_all(&playbooks)?;
        fs::write(playbooks.join("chain.toml"), CHAIN)?;
        let (emulator, gateway) = (process::free_address(), process::free_address());
        let emulating = emulate(emulator, &["--brief"]).await?;
        let mut variables: BTreeMap<String, String> = [
            ("DATABASE_URL", servers.database_url.clone()),
            ("REDIS_URL", servers.redis_url.clone()),
            ("LOG", "warn".to_owned()),
            ("GATEWAY_ADDR", gateway.to_string()),
            ("ADMIN_ADDR", "127.0.0.1:0".to_owned()),
            ("FIRST_KEY_FILE", folder.join("key").display().to_string()),
            ("WORK_DIR", folder.join("work").display().to_string()),
            ("PLAYBOOKS_DIR", playbooks.display().to_string()),
            ("ANTHROPIC_BASE_URL", format!("http://{emulator}")),
            ("ANTHROPIC_API_KEY", "emulated".to_owned()),
        ]
        .map(|(name, text)| (name.to_owned(), text))
        .into();
        migrate(&variables).await?;
        let mut services = Vec::new();
        for name in SERVICES {
            let admin = process::free_address();
            variables.insert("ADMIN_ADDR".to_owned(), admin.to_string());
            services.push((name, Process::start(name, &variables, &folder.join(format!("{name}.log"))), admin));
        }
        for (name, service, admin) in &mut services {
            until_ready(name, service, *admin).await?;
        }
        let redis_socket: PathBuf = servers.redis_url.strip_prefix("redis+unix://").context("no socket")?.into();
        let mut redis = Redis::open(&redis_socket).await?;
        let postmaster = fs::read_to_string(folder.join("servers/postgres/postmaster.pid"))?;
        Ok(Self {
            emulator,
            gateway,
            key: fs::read_to_string(folder.join("key")).context("the first key")?.trim().to_owned(),
            redis_socket,
            postgres: Postgres::open(&servers.database_url).await?,
            redis_process: redis.fact("process_id").await?.parse()?,
            redis,
            services,
            emulating,
            postmaster: postmaster.lines().next().unwrap_or_default().trim().parse()?,
        })
    }

    /// Returns what watches all of its processes, as they are now.
    pub(crate) fn meter(&self) -> Meter {
        let mut processes: Vec<_> = self.services.iter().map(|(name, process, _)| (*name, process.id())).collect();
        processes.push(("redis", self.redis_process));
        processes.extend(self.emulating.id().map(|id| ("emulator", id)));
        Meter { processes, postmaster: self.postmaster }
    }

    /// Kills each service so often and returns how long it took from its start until it was ready.
    pub(crate) async fn starts(&mut self, rounds: usize) -> anyhow::Result<BTreeMap<&'static str, Times>> {
        let mut took: BTreeMap<_, Times> = BTreeMap::new();
        for _ in 0..rounds {
            for (name, service, admin) in &mut self.services {
                service.kill();
                let start = Instant::now();
                service.kill_and_restart();
                until_ready(name, service, *admin).await?;
                took.entry(*name).or_default().push(start.elapsed());
            }
        }
        Ok(took)
    }

    /// Stops the services as their operator would; each must have drained.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        for (name, service, _) in &mut self.services {
            let status = service.stop().await;
            ensure!(status.success(), "{name} ended with {status}: {}", service.said());
        }
        Ok(())
    }
}

/// Starts the emulator as a process and waits until it answers.
pub(crate) async fn emulate(address: SocketAddr, options: &[&str]) -> anyhow::Result<Child> {
    let child = Command::new(process::binary("chavion-emulator"))
        .args(options)
        .args(["--addr", &address.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("the emulator cannot be started")?;
    let start = Instant::now();
    while process::ask(address, "/").await.is_none() {
        ensure!(start.elapsed() < PATIENCE, "the emulator does not answer");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(child)
}

/// Brings Postgres to this version.
pub(crate) async fn migrate(variables: &BTreeMap<String, String>) -> anyhow::Result<()> {
    let ran = Command::new(process::binary("orchestrator"))
        .arg("migrate")
        .env_clear()
        .envs(variables)
        .stdin(Stdio::null())
        .output()
        .await
        .context("the orchestrator cannot be started")?;
    let said = [ran.stdout, ran.stderr].concat();
    ensure!(ran.status.success(), "migrating failed: {}", String::from_utf8_lossy(&said));
    Ok(())
}

/// Asks again and again, a thousand times a second at most.
pub(crate) async fn until_ready(name: &str, service: &mut Process, admin: SocketAddr) -> anyhow::Result<()> {
    let start = Instant::now();
    while !matches!(process::ask(admin, "/ready").await, Some((200, _))) {
        if start.elapsed() > PATIENCE || !service.is_running() {
            bail!("the {name} is not ready: {}", service.said());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}
