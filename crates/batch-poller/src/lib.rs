//! The batch-poller takes asks of pace batch off their stream and, since this version serves no provider's batch
//! API, ends each with the reason. Refuses to ask a model itself and to divide, settle or deliver anything.

mod config;
mod metrics;
mod refuse;

pub use config::Config;
pub use metrics::Metrics;

use boot::{Life, Part};
use bus::{Bus, ConsumerOptions, Topic};
use refuse::Refuser;
use std::time::Duration;
use store::Store;

/// Where asks of pace batch are announced.
pub(crate) const BATCH: Topic = Topic::new("tasks.batch", "batch-poller");
/// Where the orchestrator hears that a task has ended.
pub(crate) const SETTLED: Topic = Topic::new("tasks.settled", "orchestrator");
/// How long to wait before a server is asked again that did not answer.
pub(crate) const AGAIN: Duration = Duration::from_millis(100);

/// The batch-poller, built but not yet running.
#[derive(Debug)]
pub struct Service {
    store: Store,
    bus: Bus,
    metrics: Metrics,
    lease: Duration,
    life: Life,
    postgres: Part,
    redis: Part,
}

impl Service {
    /// Prepares the service; its servers need not answer yet.
    ///
    /// # Errors
    /// When a URL is unusable or a metric's name is taken.
    pub fn build(config: Config, life: &Life) -> anyhow::Result<Self> {
        let (postgres, redis) = (life.ready.part("postgres"), life.ready.part("redis"));
        let options = store::Options {
            url: config.database_url,
            max_connections: config.database_connections,
            application_name: life.service.to_owned(),
        };
        let store = Store::connect(&options, &life.registry)?;
        let options =
            bus::Options { url: config.redis_url, prefix: config.redis_prefix, replica: config.common.replica };
        let bus = Bus::connect(&options, &life.registry)?;
        let metrics = Metrics::new(&life.registry)?;
        Ok(Self { store, bus, metrics, lease: config.lease, life: life.clone(), postgres, redis })
    }

    /// Runs until the stop, then finishes what is in flight.
    ///
    /// # Errors
    /// When the database is of another version than this program.
    pub async fn run(self) -> anyhow::Result<()> {
        let stop = self.life.stop.clone();
        self.life.tasks.spawn("redis", self.redis.follow(self.bus.up(), stop.clone()));
        tokio::select! {
            checked = self.store.until_current() => checked?,
            () = stop.cancelled() => return Ok(()),
        }
        self.postgres.up();
        let refuser = Refuser { store: self.store, bus: self.bus.clone(), metrics: self.metrics, stop: stop.clone() };
        let options = ConsumerOptions { lease: self.lease, ..ConsumerOptions::default() };
        let consumer = self.bus.consumer(BATCH, options);
        consumer.run(stop, move |slice| refuser.clone().refuse(slice)).await;
        Ok(())
    }
}
