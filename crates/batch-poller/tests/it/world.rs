//! A private database and bus, with orders in them and somebody who listens.

use bus::{Bus, ConsumerOptions, Entry, Lane, Topic};
use domain::{
    advance::{AskWork, Child, CommandWork, Work},
    order::Order,
    pace::Pace,
    task::{Kind, Priority, State},
};
use secrecy::SecretString;
use std::collections::BTreeMap;
use store::{Accepted, NewPlaybook, NewTask, Origin, Store, Write};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) const BATCH: Topic = Topic::new("tasks.batch", "batch-poller");
const SETTLED: Topic = Topic::new("tasks.settled", "orchestrator");
pub(crate) const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What a test stands on.
pub(crate) struct World {
    pub(crate) vars: BTreeMap<String, String>,
    pub(crate) store: Store,
    pub(crate) bus: Bus,
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
            ("DATABASE_URL", database.url.as_str()),
            ("REDIS_URL", redis.url.as_str()),
            ("REDIS_PREFIX", redis.prefix.as_str()),
            ("REPLICA", "시험-1"),
            ("ADMIN_ADDR", "127.0.0.1:0"),
        ];
        let vars = vars.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Self { vars, store, bus }
    }

    /// Keeps an order with these works, all queued, and returns the ids of its children.
    pub(crate) async fn order(&self, works: &[Work]) -> Vec<Uuid> {
        let root = Uuid::now_v7();
        let order = Order {
            title: "겨울 예약을 늘릴 방법".to_owned(),
            description: String::new(),
            priority: Priority::Normal,
            playbook: Some("report".to_owned()),
            pace: Pace::Batch,
            deadline: None,
            deliver: Vec::new(),
            agents: Vec::new(),
        };
        let task = NewTask { id: root, order, created_by: "주인".to_owned(), traceparent: None, idempotency: None };
        assert_eq!(self.store.accept(&task).await.unwrap(), Accepted::Created);
        let ids: Vec<Uuid> = works.iter().map(|_| Uuid::now_v7()).collect();
        let writes: Vec<Write> = works.iter().zip(&ids).enumerate().map(|it| create(root, it)).collect();
        self.store.begin(&[root], &[]).await.unwrap().commit(&writes).await.unwrap();
        ids
    }

    /// Announces tasks to the batch-poller.
    pub(crate) async fn announce(&self, ids: &[Uuid], kind: Kind) {
        let name = |id: &Uuid| (BATCH, Lane::Normal, Entry::new(*id, kind.as_str(), Some(TRACE.to_owned())));
        let entries: Vec<_> = ids.iter().map(name).collect();
        self.bus.announce(&entries).await.unwrap();
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

    /// Listens where the orchestrator would.
    pub(crate) fn settled(&self) -> Settled {
        let (sender, entries) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let consumer = self.bus.consumer(SETTLED, ConsumerOptions::default());
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
        Settled { entries, stop, listening }
    }
}

/// What the orchestrator would have heard.
pub(crate) struct Settled {
    entries: mpsc::UnboundedReceiver<Entry>,
    stop: CancellationToken,
    listening: JoinSet<()>,
}

impl Settled {
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
        state: State::Queued,
        work: Some(work.clone()),
        failure: None,
    };
    Write::Create { root, id: *id, child, priority: Priority::Normal, traceparent: Some(TRACE.to_owned()) }
}

/// One question.
pub(crate) fn ask() -> Work {
    Work::Ask(AskWork {
        system: "너는 분석가다.".to_owned(),
        prompt: "후기를 요약하라.".to_owned(),
        schema: None,
        models: vec!["anthropic/claude".to_owned()],
        max_tokens: 100,
        retry: 0,
        timeout_ms: 1000,
    })
}

/// One command.
pub(crate) fn command() -> Work {
    Work::Command(CommandWork { script: "true".to_owned(), timeout_ms: 1000, repeatable: false })
}
