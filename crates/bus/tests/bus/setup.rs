//! What the tests share: a bus, a running consumer, a record of what was delivered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bus::{Bus, ConsumerOptions, Delivery, Depth, Entry, Lane, Options, Topic};
use prometheus::Registry;
use prometheus::proto::MetricFamily;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) const TOPIC: Topic = Topic::new("things.do", "doer");

/// A bus and its numbers.
#[derive(Clone)]
pub(crate) struct Side {
    pub(crate) bus: Bus,
    pub(crate) registry: Registry,
}

impl Side {
    pub(crate) fn new(url: &str, prefix: &str, replica: &str) -> Self {
        let options = Options { url: url.into(), prefix: prefix.to_owned(), replica: replica.to_owned() };
        let registry = Registry::new();
        Self { bus: Bus::connect(&options, &registry).unwrap(), registry }
    }

    /// The value of a counter or gauge, over all its labels.
    pub(crate) fn number(&self, name: &str) -> u64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        let values = family.into_iter().flat_map(MetricFamily::get_metric);
        let value: f64 = values.map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value()).sum();
        format!("{value}").parse().unwrap()
    }

    pub(crate) async fn announce(&self, lane: Lane, ids: &[Uuid]) {
        let entries: Vec<_> = ids.iter().map(|id| (TOPIC, lane, Entry::new(*id, "할일", None))).collect();
        for entries in entries.chunks(1000) {
            self.bus.announce(entries).await.unwrap();
        }
    }

    pub(crate) async fn depth(&self) -> Depth {
        self.bus.declare(&[TOPIC]);
        self.bus.depths().await.unwrap().remove(0)
    }

    /// Waits until nothing waits and nothing is pending.
    pub(crate) async fn settled(&self) {
        testkit::until("nothing waits and nothing is pending", async || {
            self.bus.depths().await.is_ok_and(|depths| depths.iter().all(|depth| depth.waiting + depth.pending == 0))
        })
        .await;
    }

    /// Runs a consumer in the background.
    pub(crate) fn consume<F>(
        &self,
        options: ConsumerOptions,
        handler: impl Fn(Vec<Delivery>) -> F + Send + Sync + 'static,
    ) -> Running
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(self.bus.consumer(TOPIC, options).run(stop.clone(), handler));
        Running { stop, task }
    }
}

/// A consumer in the background.
pub(crate) struct Running {
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinSet<()>,
}

impl Running {
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        tokio::time::timeout(testkit::PATIENCE, self.task.join_next())
            .await
            .expect("the consumer stops")
            .unwrap()
            .unwrap();
    }
}

/// How often each id was delivered, in order of the first time.
#[derive(Clone, Default)]
pub(crate) struct Record(Arc<Mutex<Deliveries>>);

type Deliveries = (Vec<Uuid>, HashMap<Uuid, u32>);

impl Record {
    pub(crate) fn note(&self, id: Uuid) {
        let mut record = self.0.lock().unwrap();
        record.0.push(id);
        *record.1.entry(id).or_default() += 1;
    }

    /// Every delivery, in order.
    pub(crate) fn all(&self) -> Vec<Uuid> {
        self.0.lock().unwrap().0.clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().0.len()
    }

    pub(crate) fn distinct(&self) -> usize {
        self.0.lock().unwrap().1.len()
    }

    pub(crate) fn of(&self, id: Uuid) -> u32 {
        self.0.lock().unwrap().1.get(&id).copied().unwrap_or(0)
    }

    pub(crate) async fn reaches(&self, count: usize) {
        testkit::until("enough was delivered", async || self.distinct() >= count).await;
    }

    /// A handler that notes and acknowledges.
    pub(crate) fn handler(&self) -> impl Fn(Vec<Delivery>) -> std::future::Ready<()> + Send + Sync + 'static {
        let record = self.clone();
        move |deliveries| {
            for delivery in deliveries {
                record.note(delivery.entry.id);
                delivery.ack();
            }
            std::future::ready(())
        }
    }
}

pub(crate) fn ids(count: usize) -> Vec<Uuid> {
    (0..count).map(|_| Uuid::now_v7()).collect()
}

pub(crate) fn options(lease_ms: u64, concurrency: usize) -> ConsumerOptions {
    ConsumerOptions { slice: 64, concurrency, lease: Duration::from_millis(lease_ms), max_deliveries: 5 }
}
