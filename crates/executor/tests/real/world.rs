//! A world for one test: a database, a Redis prefix, a work folder, and commands put into rows by hand.

use boot::Life;
use bus::{Bus, Entry, Lane, Topic};
use executor::{Config, Service};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    time::Duration,
};
use store::Store;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) const COMMAND: Topic = Topic::new("tasks.command", "executor");
pub(crate) const SETTLED: Topic = Topic::new("tasks.settled", "orchestrator");
/// The executor's own binary, which is also the launcher of executors that live in a test.
pub(crate) const EXECUTOR: &str = env!("CARGO_BIN_EXE_executor");

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) bus: Bus,
    pub(crate) vars: BTreeMap<String, String>,
    pub(crate) work_dir: PathBuf,
    client: tokio_postgres::Client,
    running: JoinSet<()>,
}

/// What a row tells.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) state: String,
    pub(crate) cause: Option<String>,
    pub(crate) reason: String,
    pub(crate) result: Value,
    pub(crate) attempt: i32,
}

impl World {
    pub(crate) async fn new() -> Self {
        let (database, redis) = (testkit::Database::create().await, testkit::Redis::create());
        let registry = prometheus::Registry::new();
        let options = store::Options {
            url: database.url.clone().into(),
            max_connections: 2,
            application_name: "executor-test".to_owned(),
        };
        let store = Store::connect(&options, &registry).unwrap();
        store.migrate().await.unwrap();
        let options =
            bus::Options { url: redis.url.clone().into(), prefix: redis.prefix.clone(), replica: "test".to_owned() };
        let bus = Bus::connect(&options, &registry).unwrap();
        bus.declare(&[COMMAND, SETTLED]);
        let (client, connection) = tokio_postgres::connect(&database.url, tokio_postgres::NoTls).await.unwrap();
        let mut running = JoinSet::new();
        running.spawn(async move { connection.await.unwrap() });
        let work_dir = std::env::temp_dir().join(format!("chavion-work-{}", Uuid::now_v7().simple()));
        fs::create_dir(&work_dir).unwrap();
        fs::set_permissions(&work_dir, fs::Permissions::from_mode(0o755)).unwrap();
        let vars = [
            ("DATABASE_URL", database.url.as_str()),
            ("REDIS_URL", &redis.url),
            ("REDIS_PREFIX", &redis.prefix),
            ("WORK_DIR", work_dir.to_str().unwrap()),
            // Longer than a busy machine keeps a renewal waiting, short enough to wait for its end.
            ("LEASE_SECONDS", "3"),
            ("ADMIN_ADDR", "127.0.0.1:0"),
        ];
        let vars = vars.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
        Self { store, bus, vars, work_dir, client, running }
    }

    pub(crate) fn set(&mut self, name: &str, text: &str) {
        self.vars.insert(name.to_owned(), text.to_owned());
    }

    /// Starts an executor in this process; it is stopped by the life's token.
    pub(crate) fn start(&mut self) -> Life {
        self.start_with(EXECUTOR.into())
    }

    pub(crate) fn start_with(&mut self, launcher: PathBuf) -> Life {
        let life = Life::embedded("executor", CancellationToken::new());
        let mut config = Config::read(&self.vars).unwrap();
        config.launcher = launcher;
        let service = Service::build(config, &life).unwrap();
        let its = life.clone();
        self.running.spawn(async move {
            let ended = its.run(service.run()).await;
            its.finish(ended).await.unwrap();
        });
        life
    }

    /// Puts an order with one queued command into the database and announces it.
    pub(crate) async fn order(&self, script: &str) -> Uuid {
        self.order_within(script, Duration::from_secs(60)).await
    }

    pub(crate) async fn order_within(&self, script: &str, timeout: Duration) -> Uuid {
        let (root, child) = (Uuid::now_v7(), Uuid::now_v7());
        let timeout = u64::try_from(timeout.as_millis()).unwrap();
        let work = json!({"kind": "command", "script": script, "timeout_ms": timeout, "repeatable": false});
        self.client
            .execute(
                "insert into tasks (id, root_id, kind, state, title, live) values ($1, $1, 'plan', 'in_progress', '주문', true)",
                &[&root],
            )
            .await
            .unwrap();
        self.client
            .execute(
                "insert into tasks (id, root_id, parent_id, step, kind, state, title, work, announced_at)
                 values ($1, $2, $2, '명령', 'command', 'queued', '명령', $3, now())",
                &[&child, &root, &work],
            )
            .await
            .unwrap();
        self.announce(child).await;
        child
    }

    pub(crate) async fn announce(&self, id: Uuid) {
        self.bus.announce(&[(COMMAND, Lane::Normal, Entry::new(id, "command", None))]).await.unwrap();
    }

    pub(crate) async fn row(&self, id: Uuid) -> Row {
        let query =
            "select state, cause, coalesce(reason, ''), coalesce(result, 'null'), attempt from tasks where id = $1";
        let row = self.client.query_one(query, &[&id]).await.unwrap();
        Row { state: row.get(0), cause: row.get(1), reason: row.get(2), result: row.get(3), attempt: row.get(4) }
    }

    /// Waits until a task is in a state.
    pub(crate) async fn until(&self, id: Uuid, state: &str) -> Row {
        testkit::until(&format!("the task is {state}"), || async { self.row(id).await.state == state }).await;
        self.row(id).await
    }

    /// Waits until every announced command was taken off its stream, and returns how many ends were announced.
    pub(crate) async fn until_acked(&self) -> u64 {
        let depth = |topic| async move {
            self.bus.depths().await.unwrap().into_iter().find(|depth| depth.topic == topic).unwrap()
        };
        testkit::until("nothing is left on the stream", || async {
            let depth = depth(COMMAND).await;
            assert_eq!(depth.dead, 0);
            depth.waiting + depth.pending == 0
        })
        .await;
        depth(SETTLED).await.waiting
    }

    /// Lists the folders of commands that are there now, by `task-attempt`.
    pub(crate) fn folders(&self) -> BTreeSet<PathBuf> {
        let list = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        list(self.work_dir.clone()).flat_map(list).filter(|path| path.is_dir()).collect()
    }

    /// Waits until a command has written this file in its folder, and returns what it wrote.
    pub(crate) async fn written(&self, name: &str) -> String {
        // Kept as it was read: the command may end, and its folder with it, at any moment.
        let written = std::cell::OnceCell::new();
        testkit::until(&format!("a command has written {name}"), || async {
            let mut folders = self.folders().into_iter();
            let text = folders.find_map(|folder| fs::read_to_string(folder.join(name)).ok());
            text.filter(|text| text.ends_with('\n')).is_some_and(|text| written.set(text).is_ok())
        })
        .await;
        written.into_inner().unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.work_dir);
    }
}

/// Tells whether a process runs; a zombie does not.
pub(crate) fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}
