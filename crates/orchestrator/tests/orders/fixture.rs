//! An orchestrator in process, on a private schema and prefix, with the emulator as every provider.

use boot::Life;
use bus::{Bus, Entry, Lane, Topic};
use domain::{
    order::{Deliver, Order},
    pace::Pace,
    task::{Kind, Priority, State},
};
use emulator::{Emulator, Rule, Running};
use orchestrator::{Config, Service};
use std::{collections::BTreeMap, path::PathBuf};
use store::{Accepted, NewTask, Options, Store, Task};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const PLAN: Topic = Topic::new("tasks.plan", "orchestrator");
const ASK: Topic = Topic::new("tasks.ask", "orchestrator");
const SETTLED: Topic = Topic::new("tasks.settled", "orchestrator");

/// Everything that an order needs.
pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) emulator: Running,
    pub(crate) database: testkit::Database,
    bus: Bus,
    life: Life,
    running: JoinSet<anyhow::Result<()>>,
    folder: PathBuf,
}

impl Fixture {
    /// Starts an orchestrator that knows these playbooks besides its own; `own` adds or overrides variables.
    pub(crate) async fn start(playbooks: &[(&str, &str)], own: &[(&str, &str)]) -> Self {
        Self::start_after("", playbooks, own).await
    }

    /// Starts an orchestrator on a database in which this was run before.
    pub(crate) async fn start_after(sql: &str, playbooks: &[(&str, &str)], own: &[(&str, &str)]) -> Self {
        let (database, redis) = (testkit::Database::create().await, testkit::Redis::create());
        let emulator = Emulator::start(emulator::Options::default()).await.unwrap();
        let folder = std::env::temp_dir().join(format!("chavion-orders-{}", Uuid::now_v7().simple()));
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in playbooks {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let mut vars: BTreeMap<String, String> = [
            ("DATABASE_URL", database.url.clone()),
            ("REDIS_URL", redis.url.clone()),
            ("REDIS_PREFIX", redis.prefix.clone()),
            ("PLAYBOOKS_DIR", folder.display().to_string()),
            ("ANTHROPIC_API_KEY", "emulated".to_owned()),
            ("ANTHROPIC_BASE_URL", emulator.anthropic_base()),
            ("GEMINI_API_KEY", "emulated".to_owned()),
            ("GEMINI_BASE_URL", emulator.gemini_base()),
            ("WEBHOOK_SECRET", "겨울-비밀".to_owned()),
            // Far longer than a busy machine keeps a renewal waiting.
            ("LEASE_SECONDS", "6".to_owned()),
            ("STALE_SECONDS", "1".to_owned()),
            ("SWEEP_SECONDS", "1".to_owned()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        vars.extend(own.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let options =
            Options { url: database.url.clone().into(), max_connections: 4, application_name: "test".to_owned() };
        let store = Store::connect(&options, &prometheus::Registry::new()).unwrap();
        store.migrate().await.unwrap();
        database.sql(sql).await;
        let options = bus::Options { url: redis.url.into(), prefix: redis.prefix, replica: "test".to_owned() };
        let bus = Bus::connect(&options, &prometheus::Registry::new()).unwrap();
        let life = Life::embedded("orchestrator", CancellationToken::new());
        let service = Service::build(Config::read(&vars).unwrap(), &life).unwrap();
        let mut running = JoinSet::new();
        running.spawn(service.run());
        tokio::select! {
            ready = tokio::time::timeout(testkit::PATIENCE, life.ready.wait()) => ready.expect("it gets ready"),
            ended = running.join_next() => panic!("it ended: {ended:?}"),
        }
        Self { store, emulator, database, bus, life, running, folder }
    }

    /// Scripts a fault for the asks that hold `matching`; `times`: how many of them, none = all.
    pub(crate) fn fault(&self, matching: &str, fault: &str, times: Option<u32>) {
        let rule = Rule { fault: fault.to_owned(), matching: Some(matching.to_owned()), times, percent: None };
        self.emulator.script(&rule).unwrap();
    }

    /// Gives an order and returns its id.
    pub(crate) async fn give(&self, order: Order) -> Uuid {
        let id = Uuid::now_v7();
        let traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
        let task =
            NewTask { id, order, created_by: "test".to_owned(), traceparent: traceparent.clone(), idempotency: None };
        assert_eq!(self.store.accept(&task).await.unwrap(), Accepted::Created);
        self.announce(id).await;
        id
    }

    /// Announces an order.
    pub(crate) async fn announce(&self, id: Uuid) {
        let entry = Entry::new(id, Kind::Plan.as_str(), None);
        self.bus.announce(&[(PLAN, Lane::Normal, entry)]).await.unwrap();
    }

    /// Announces that a task was ended by somebody else.
    pub(crate) async fn announce_settled(&self, id: Uuid) {
        let entry = Entry::new(id, Kind::Ask.as_str(), None);
        self.bus.announce(&[(SETTLED, Lane::Normal, entry)]).await.unwrap();
    }

    /// Announces an ask, several times in one go.
    pub(crate) async fn announce_ask(&self, id: Uuid, times: usize) {
        let entry = || (ASK, Lane::Normal, Entry::new(id, Kind::Ask.as_str(), None));
        let entries: Vec<_> = std::iter::repeat_with(entry).take(times).collect();
        self.bus.announce(&entries).await.unwrap();
    }

    /// Waits until a task has ended and returns its tree, the task first.
    pub(crate) async fn ended(&self, root: Uuid) -> Vec<Task> {
        testkit::until("the order has ended", || async {
            self.store.task(root).await.unwrap().is_some_and(|task| task.state.is_terminal())
        })
        .await;
        self.tree(root).await
    }

    /// Reads a tree, its root first.
    pub(crate) async fn tree(&self, root: Uuid) -> Vec<Task> {
        let mut tasks = self.store.tree(root).await.unwrap();
        tasks.sort_by_key(|task| (task.id != root, task.id));
        tasks
    }

    /// Reads the report of an order.
    pub(crate) async fn report(&self, root: Uuid) -> String {
        self.store.report(root).await.unwrap().expect("there is a report").markdown
    }

    /// Stops the orchestrator, checks that it drained, and hands the emulator back for its ledger.
    pub(crate) async fn stop(mut self) -> Running {
        self.life.stop.cancel();
        while let Some(ended) = self.running.join_next().await {
            tokio::time::timeout(testkit::PATIENCE, self.life.finish(ended.unwrap())).await.unwrap().unwrap();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
        self.emulator
    }
}

/// An order for a playbook.
pub(crate) fn order(title: &str, playbook: &str) -> Order {
    Order {
        title: title.to_owned(),
        description: String::new(),
        priority: Priority::Normal,
        playbook: Some(playbook.to_owned()),
        pace: Pace::Now,
        deadline: None,
        deliver: Vec::new(),
        agents: Vec::new(),
        budget: None,
    }
}

/// An order whose report goes to a webhook.
pub(crate) fn delivered(title: &str, playbook: &str, url: &str) -> Order {
    Order { deliver: vec![Deliver::Webhook { url: url.to_owned() }], ..order(title, playbook) }
}

/// The tasks of one step.
pub(crate) fn step<'a>(tree: &'a [Task], step: &str) -> Vec<&'a Task> {
    tree.iter().filter(|task| task.step.as_deref() == Some(step)).collect()
}

/// The state of a task.
pub(crate) fn states(tasks: &[&Task]) -> Vec<State> {
    tasks.iter().map(|task| task.state).collect()
}
