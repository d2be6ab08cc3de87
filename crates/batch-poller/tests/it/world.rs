//! A private database, bus and emulator, with orders in them and somebody who listens.

use bus::{Bus, ConsumerOptions, Entry, Lane, Topic};
use domain::{
    advance::{AskWork, Child, CommandWork, Work},
    batch::CustomId,
    order::Order,
    pace::Pace,
    task::{Kind, Priority, State},
};
use emulator::{Emulator, Rule, Running};
use secrecy::SecretString;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use store::{Accepted, NewPlaybook, NewTask, Origin, Store, Task, Write};
use time::OffsetDateTime;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_postgres::NoTls;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) const BATCH: Topic = Topic::new("tasks.batch", "batch-poller");
pub(crate) const SETTLED: Topic = Topic::new("tasks.settled", "orchestrator");
pub(crate) const ASK: Topic = Topic::new("tasks.ask", "orchestrator");
pub(crate) const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// One model of each provider.
pub(crate) const MODELS: [&str; 3] =
    ["anthropic/claude-haiku-5-5", "openai/gpt-6-luna", "gemini/gemini-3.5-flash-lite"];

/// What a test stands on.
pub(crate) struct World {
    pub(crate) vars: BTreeMap<String, String>,
    pub(crate) store: Store,
    pub(crate) bus: Bus,
    pub(crate) emulator: Running,
    sql: tokio_postgres::Client,
    _driver: JoinSet<()>,
}

impl World {
    /// Makes an empty world; its schema is migrated.
    pub(crate) async fn new() -> Self {
        let world = Self::unmigrated().await;
        world.store.migrate().await.unwrap();
        let playbook = NewPlaybook {
            hash: "한 장".to_owned(),
            name: "report".to_owned(),
            description: String::new(),
            source: String::new(),
            origin: Origin::BuiltIn,
        };
        world.store.playbooks_put(&[playbook]).await.unwrap();
        world
    }

    /// Makes a world whose database has no schema yet.
    pub(crate) async fn unmigrated() -> Self {
        let (database, redis) = (testkit::Database::create().await, testkit::Redis::create());
        let options = emulator::Options { batch_time: Duration::from_millis(300), ..emulator::Options::default() };
        let emulator = Emulator::start(options).await.unwrap();
        let registry = prometheus::Registry::new();
        let options = store::Options {
            url: SecretString::from(database.url.clone()),
            max_connections: 2,
            application_name: "test".to_owned(),
        };
        let store = Store::connect(&options, &registry).unwrap();
        let options = bus::Options {
            url: SecretString::from(redis.url.clone()),
            prefix: redis.prefix.clone(),
            replica: "시험".to_owned(),
        };
        let bus = Bus::connect(&options, &registry).unwrap();
        let vars = [
            ("DATABASE_URL", database.url.clone()),
            ("REDIS_URL", redis.url.clone()),
            ("REDIS_PREFIX", redis.prefix.clone()),
            ("REPLICA", "시험-1".to_owned()),
            ("ADMIN_ADDR", "127.0.0.1:0".to_owned()),
            ("ANTHROPIC_API_KEY", "emulated".to_owned()),
            ("ANTHROPIC_BASE_URL", emulator.anthropic_base()),
            ("OPENAI_API_KEY", "emulated".to_owned()),
            ("OPENAI_BASE_URL", emulator.openai_base()),
            ("GEMINI_API_KEY", "emulated".to_owned()),
            ("GEMINI_BASE_URL", emulator.gemini_base()),
            // Far longer than a busy machine keeps a renewal waiting.
            ("LEASE_SECONDS", "5".to_owned()),
            ("BATCH_WINDOW_SECONDS", "0.2".to_owned()),
            ("BATCH_POLL_SECONDS", "0.6".to_owned()),
            ("LOOKUP_GRACE_SECONDS", "0.5".to_owned()),
        ];
        let vars = vars.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
        let (sql, connection) = tokio_postgres::connect(&database.url, NoTls).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async move { connection.await.unwrap() });
        Self { vars, store, bus, emulator, sql, _driver: driver }
    }

    /// Keeps an order with these works, all queued and announced, and returns the ids of its children.
    pub(crate) async fn order(&self, works: &[Work]) -> Vec<Uuid> {
        let ids = self.order_by(None, works).await;
        self.announce(&ids, Kind::Ask).await;
        ids
    }

    /// Keeps an order with a deadline, without a word to anybody.
    pub(crate) async fn order_by(&self, deadline: Option<OffsetDateTime>, works: &[Work]) -> Vec<Uuid> {
        let root = Uuid::now_v7();
        let order = Order {
            title: "겨울 예약을 늘릴 방법".to_owned(),
            description: String::new(),
            priority: Priority::Normal,
            playbook: Some("report".to_owned()),
            pace: Pace::Batch,
            deadline,
            deliver: Vec::new(),
            agents: Vec::new(),
            budget: None,
        };
        let task = NewTask { id: root, order, created_by: "주인".to_owned(), traceparent: None, idempotency: None };
        assert_eq!(self.store.accept(&task).await.unwrap(), Accepted::Created);
        let ids: Vec<Uuid> = works.iter().map(|_| Uuid::now_v7()).collect();
        let writes: Vec<Write> = works.iter().zip(&ids).enumerate().map(|it| create(root, it)).collect();
        self.store.begin(&[root], &[]).await.unwrap().commit(&writes).await.unwrap();
        if deadline.is_some() {
            self.sql("update tasks t set deadline = r.deadline from tasks r where r.id = t.root_id").await;
        }
        ids
    }

    /// Announces tasks to the batch-poller.
    pub(crate) async fn announce(&self, ids: &[Uuid], kind: Kind) {
        let name = |id: &Uuid| (BATCH, Lane::Normal, Entry::new(*id, kind.as_str(), Some(TRACE.to_owned())));
        let entries: Vec<_> = ids.iter().map(name).collect();
        self.bus.announce(&entries).await.unwrap();
    }

    /// Names something that is no ask, to wake the poller.
    pub(crate) async fn nudge(&self, kind: &str, id: Uuid) {
        self.bus.announce(&[(BATCH, Lane::Normal, Entry::new(id, kind, None))]).await.unwrap();
    }

    /// Lets a minute pass for every batch that waits.
    pub(crate) async fn a_minute_later(&self) {
        let minute = "interval '1 minute'";
        self.sql(&format!("update batches set created_at = created_at - {minute}, due_at = due_at - {minute}")).await;
        self.nudge("batch", Uuid::nil()).await;
    }

    /// Waits until nothing is waiting and nothing pending on the batch topic; nothing may be dead.
    pub(crate) async fn until_quiet(&self) {
        testkit::until("the batch topic is empty", || async {
            let depths = self.bus.depths().await.unwrap();
            let depth = depths.iter().find(|depth| depth.topic == BATCH).expect("it is known");
            assert_eq!(depth.dead, 0);
            depth.waiting == 0 && depth.pending == 0
        })
        .await;
    }

    /// Waits until all these tasks are in one of these states, and returns them in their order.
    pub(crate) async fn until(&self, ids: &[Uuid], states: &[State]) -> Vec<Task> {
        testkit::until(&format!("all are {states:?}"), || async {
            self.store.names(ids).await.unwrap().iter().all(|row| states.contains(&row.state))
        })
        .await;
        let mut tasks = Vec::new();
        for id in ids {
            tasks.push(self.store.task(*id).await.unwrap().unwrap());
        }
        tasks
    }

    /// Waits until all these tasks have ended, and returns them in their order.
    pub(crate) async fn ended(&self, ids: &[Uuid]) -> Vec<Task> {
        self.until(ids, &[State::Completed, State::Failed, State::Cancelled]).await
    }

    /// Waits until all these tasks are queued at another pace, and returns them in their order.
    pub(crate) async fn elsewhere(&self, ids: &[Uuid]) -> Vec<Task> {
        testkit::until("all are queued at another pace", || async {
            let mut tasks = Vec::new();
            for id in ids {
                tasks.push(self.store.task(*id).await.unwrap().unwrap());
            }
            tasks.iter().all(|task| task.state == State::Queued && task.pace != Pace::Batch)
        })
        .await;
        self.until(ids, &[State::Queued]).await
    }

    /// Waits until no batch is left that anything is to be done for.
    pub(crate) async fn done(&self) {
        testkit::until("every batch is done with", || async {
            self.count("select count(*) from batches where cleaned_at is null").await == 0
        })
        .await;
    }

    /// Scripts a fault, as `POST /emulator/faults` takes it.
    pub(crate) fn fault(&self, fault: &str) {
        self.emulator.script(&Rule { fault: fault.to_owned(), ..Rule::default() }).unwrap();
    }

    /// Changes rows behind everybody's back.
    pub(crate) async fn sql(&self, statement: &str) {
        self.sql.batch_execute(statement).await.unwrap();
    }

    /// Reads one number.
    pub(crate) async fn count(&self, query: &str) -> i64 {
        self.sql.query_one(query, &[]).await.unwrap().get(0)
    }

    /// Reads one column of texts.
    pub(crate) async fn texts(&self, query: &str) -> Vec<String> {
        self.sql.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// Checks our books against the emulator's own: every item that it billed is booked once, with the same tokens,
    /// and nothing else is.
    pub(crate) async fn audit(&self) {
        let ledger = self.emulator.ledger();
        let mut billed = BTreeSet::new();
        for entry in ledger.requests.iter().filter(|entry| entry.batch_id.is_some()) {
            let id: CustomId = entry.custom_id.as_deref().unwrap().parse().unwrap();
            assert!(billed.insert((id.token.batch, id.seq)), "{id} was billed twice");
            let query = "select c.input + c.cache_read + c.cache_write, c.output, c.pace, c.emulated, i.nanos = c.nanos \
                and i.list_nanos = c.list_nanos from batch_items i join charges c using (task_id, attempt) \
                where i.batch_id = $1 and i.seq = $2";
            let row = self.sql.query_opt(query, &[&id.token.batch, &id.seq]).await.unwrap();
            let row = row.unwrap_or_else(|| panic!("{id} is billed and not booked"));
            let booked: (i64, i64) = (row.get(0), row.get(1));
            assert_eq!(booked.1, i64::try_from(entry.output).unwrap(), "{id}");
            assert!(booked.0 > 0 && row.get::<_, bool>(3) && row.get::<_, bool>(4), "{id}");
            assert_eq!(row.get::<_, String>(2), "batch");
        }
        let booked = self.count("select count(*) from charges").await;
        assert_eq!(usize::try_from(booked).unwrap(), billed.len(), "what is booked was billed");
        assert_eq!(self.count("select count(*) from reservations").await, 0, "nothing is set aside any more");
    }

    /// Listens where the orchestrator would.
    pub(crate) fn listen(&self, topic: Topic) -> Heard {
        let (sender, entries) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let consumer = self.bus.consumer(topic, ConsumerOptions::default());
        let mut listening = JoinSet::new();
        listening.spawn(consumer.run(stop.clone(), move |slice| {
            let sender = sender.clone();
            async move {
                for delivery in slice {
                    sender.send(delivery.entry.clone()).unwrap();
                    delivery.ack();
                }
            }
        }));
        Heard { entries, stop, listening }
    }
}

/// What somebody else would have heard.
pub(crate) struct Heard {
    entries: mpsc::UnboundedReceiver<Entry>,
    stop: CancellationToken,
    listening: JoinSet<()>,
}

impl Heard {
    /// Returns the next entry.
    pub(crate) async fn next(&mut self) -> Entry {
        tokio::time::timeout(testkit::PATIENCE, self.entries.recv()).await.expect("it comes in time").unwrap()
    }

    /// Stops listening and returns what else was heard.
    pub(crate) async fn rest(mut self) -> Vec<Entry> {
        self.stop.cancel();
        while let Some(ended) = self.listening.join_next().await {
            ended.unwrap();
        }
        let mut rest = Vec::new();
        while let Ok(entry) = self.entries.try_recv() {
            rest.push(entry);
        }
        rest
    }
}

fn create(root: Uuid, (item, (work, id)): (usize, (&Work, &Uuid))) -> Write {
    let kind = match work {
        Work::Ask(_) => Kind::Ask,
        Work::Command(_) => Kind::Command,
        Work::Deliver(_) => Kind::Deliver,
    };
    let child = Child {
        step: "analyse".to_owned(),
        item: Some(i32::try_from(item).unwrap()),
        kind,
        title: "손님의 후기를 읽는다".to_owned(),
        agent: Some("분석가".to_owned()),
        pace: Pace::Batch,
        pace_reason: None,
        state: State::Queued,
        work: Some(work.clone()),
        failure: None,
    };
    Write::Create { root, id: *id, child, priority: Priority::Normal, traceparent: Some(TRACE.to_owned()) }
}

/// One question to a model.
pub(crate) fn question(model: &str, prompt: &str) -> AskWork {
    AskWork {
        system: "너는 분석가다.".to_owned(),
        prompt: prompt.to_owned(),
        schema: None,
        models: vec![model.to_owned()],
        max_tokens: 200,
        retry: 0,
        timeout_ms: 60_000,
        fallback: true,
        rounds: 1,
        twins: 0,
    }
}

/// One question to a model, ready to be ordered.
pub(crate) fn ask(model: &str, prompt: &str) -> Work {
    Work::Ask(question(model, prompt))
}

/// Several different questions to a model.
pub(crate) fn asks(model: &str, count: usize) -> Vec<Work> {
    (0..count).map(|number| ask(model, &format!("후기 {number}번을 요약하라."))).collect()
}

/// One command.
pub(crate) fn command() -> Work {
    Work::Command(CommandWork { script: "true".to_owned(), timeout_ms: 1000, repeatable: false })
}
