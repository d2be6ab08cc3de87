//! What most tests begin with: a migrated schema with a playbook, and short ways to make tasks.

use domain::{
    advance::{AskWork, Child, CommandWork, Work},
    money::{Nanos, Usage},
    order::Order,
    pace::Pace,
    task::{Kind, Priority, State},
};
use prometheus::Registry;
use serde_json::json;
use std::time::Duration;
use store::{Accepted, Charge, Claimed, End, NewPlaybook, NewTask, Options, Origin, Outcome, Store, Task, Write};
use testkit::Database;
use tokio::task::JoinSet;
use uuid::Uuid;

pub(crate) const LEASE: Duration = Duration::from_secs(60);
pub(crate) const STALE: Duration = Duration::from_secs(30);

/// A store on a schema of its own, and the schema.
pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) database: Database,
}

impl Fixture {
    /// A migrated schema with the playbook `report`.
    pub(crate) async fn new() -> Self {
        Self::with_connections(8).await
    }

    pub(crate) async fn with_connections(max_connections: usize) -> Self {
        let fixture = Self::empty(max_connections).await;
        fixture.store.migrate().await.unwrap();
        fixture.store.playbooks_put(&[playbook("report", "v1")]).await.unwrap();
        fixture
    }

    /// An empty schema.
    pub(crate) async fn empty(max_connections: usize) -> Self {
        let database = Database::create().await;
        let store = connect(&database, max_connections);
        Self { store, database }
    }

    /// Runs SQL that no caller of the store could.
    pub(crate) async fn sql(&self, text: &str) {
        let (client, _driver) = self.client().await;
        client.batch_execute(text).await.unwrap();
    }

    /// Reads one value.
    pub(crate) async fn value<T>(&self, text: &str) -> T
    where
        T: for<'a> tokio_postgres::types::FromSql<'a>,
    {
        let (client, _driver) = self.client().await;
        client.query_one(text, &[]).await.unwrap().get(0)
    }

    /// Connects beside the pool; the connection lives as long as the set.
    pub(crate) async fn client(&self) -> (tokio_postgres::Client, JoinSet<()>) {
        let (client, connection) = tokio_postgres::connect(&self.database.url, tokio_postgres::NoTls).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            let _ = connection.await;
        });
        (client, driver)
    }

    /// Accepts an order and returns its id.
    pub(crate) async fn order(&self) -> Uuid {
        let task = new_task("애견호텔 겨울 예약");
        assert_eq!(self.store.accept(&task).await.unwrap(), Accepted::Created);
        task.id
    }

    /// Accepts an order, starts it, and queues `count` asks of it.
    pub(crate) async fn asks(&self, count: usize) -> (Uuid, Vec<Uuid>) {
        let root = self.order().await;
        let writes: Vec<Write> = (0..count).map(|item| create(root, child("ask", item, State::Queued))).collect();
        let ids = self.start(root, writes).await;
        (root, ids)
    }

    /// Starts an order with its children and returns their ids.
    pub(crate) async fn start(&self, root: Uuid, mut writes: Vec<Write>) -> Vec<Uuid> {
        let ids = created(&writes);
        writes.push(Write::Start(root));
        let advance = self.store.begin(&[root], &[]).await.unwrap();
        advance.commit(&writes).await.unwrap();
        ids
    }

    /// Claims asks.
    pub(crate) async fn claim(&self, ids: &[Uuid]) -> Vec<Claimed> {
        self.store.claim(ids, Kind::Ask, "test", LEASE, false).await.unwrap()
    }

    /// Reads a task that exists.
    pub(crate) async fn task(&self, id: Uuid) -> Task {
        self.store.task(id).await.unwrap().unwrap()
    }

    /// Reads the state of a task that exists.
    pub(crate) async fn state(&self, id: Uuid) -> State {
        self.task(id).await.state
    }
}

pub(crate) fn connect(database: &Database, max_connections: usize) -> Store {
    let options =
        Options { url: database.url.clone().into(), max_connections, application_name: database.schema.clone() };
    Store::connect(&options, &Registry::new()).unwrap()
}

pub(crate) fn playbook(name: &str, version: &str) -> NewPlaybook {
    NewPlaybook {
        hash: format!("{name}-{version}"),
        name: name.to_owned(),
        description: "보고서 한 편".to_owned(),
        source: format!("name = {name:?}\n# {version}"),
        origin: Origin::BuiltIn,
    }
}

pub(crate) fn new_task(title: &str) -> NewTask {
    NewTask {
        id: Uuid::now_v7(),
        order: Order {
            title: title.to_owned(),
            description: "겨울 예약을 늘릴 방법을 보고서로 써줘".to_owned(),
            priority: Priority::High,
            playbook: Some("report".to_owned()),
            pace: Pace::Now,
            deadline: None,
            deliver: Vec::new(),
            agents: vec!["bora".to_owned()],
            budget: None,
        },
        created_by: "주인".to_owned(),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        idempotency: None,
    }
}

pub(crate) fn ask(prompt: &str) -> Work {
    Work::Ask(AskWork {
        system: "너는 애견호텔의 분석가다.".to_owned(),
        prompt: prompt.to_owned(),
        schema: Some(json!({"type": "object", "properties": {"z": {}, "a": {}, "bb": {}}})),
        models: vec!["anthropic/claude".to_owned()],
        max_tokens: 1024,
        retry: 1,
        timeout_ms: 60_000,
        fallback: true,
        rounds: 1,
        twins: 0,
    })
}

pub(crate) fn command(repeatable: bool) -> Work {
    Work::Command(CommandWork { script: "echo 안녕".to_owned(), timeout_ms: 1_000, repeatable })
}

pub(crate) fn child(step: &str, item: usize, state: State) -> Child {
    Child {
        step: step.to_owned(),
        item: Some(i32::try_from(item).unwrap()),
        kind: Kind::Ask,
        title: format!("{step} {item} 분석"),
        agent: Some("bora".to_owned()),
        pace: Pace::Now,
        pace_reason: None,
        state,
        work: (state == State::Queued).then(|| ask("예약을 늘릴 방법은?")),
        failure: None,
    }
}

pub(crate) fn create(root: Uuid, child: Child) -> Write {
    Write::Create { root, id: Uuid::now_v7(), child, priority: Priority::Normal, traceparent: None }
}

/// Returns the ids of the children that writes create.
pub(crate) fn created(writes: &[Write]) -> Vec<Uuid> {
    writes.iter().filter_map(|write| if let Write::Create { id, .. } = write { Some(*id) } else { None }).collect()
}

/// A good end, charged.
pub(crate) fn completed(claimed: &Claimed) -> Outcome {
    Outcome {
        id: claimed.id,
        root_id: claimed.root_id,
        attempt: Some(claimed.attempt),
        end: End::Completed {
            result: json!({"text": "눈 오는 날 산책 대행", "data": {"zeta": 1, "alpha": 2}})
        },
        model: Some("anthropic/claude".to_owned()),
        emulated: true,
        charge: Some(charge(1_000)),
    }
}

pub(crate) fn ended(claimed: &Claimed, end: End) -> Outcome {
    Outcome { end, charge: None, emulated: false, ..completed(claimed) }
}

pub(crate) fn charge(nanos: i64) -> Charge {
    Charge {
        agent: Some("bora".to_owned()),
        provider: "anthropic".to_owned(),
        model: "claude".to_owned(),
        pace: Pace::Now,
        usage: Usage { input: 10, cache_read: 1, cache_write: 2, cache_write_hour: 3, output: 20 },
        nanos: Nanos(nanos),
        list_nanos: Nanos(nanos),
        emulated: true,
    }
}
