//! The batch-poller carries asks of pace batch through the providers' batch APIs: collect, submit, poll, settle.
//! Refuses to ask a model itself, to divide or deliver anything, and to decide: decisions are `domain`'s.

mod blackout;
mod clean;
mod close;
mod collect;
mod commit;
mod config;
mod disband;
mod facts;
mod halve;
mod keep;
mod lines;
mod lookup;
mod metrics;
mod money;
mod poll;
mod portion;
mod request;
mod rounds;
mod route;
mod settle;
mod submit;
mod topics;
mod traced;
mod verdict;
mod work;

pub use config::Config;

use anyhow::bail;
use boot::{Life, Part, trace::Traces};
use bus::{Bus, ConsumerOptions};
use keep::Kept;
use metrics::Metrics;
use portion::Portions;
use providers::Providers;
use std::{sync::Arc, time::Duration};
use store::{BlackoutCache, Store};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long to wait before a server is asked again that did not answer.
const AGAIN: Duration = Duration::from_millis(100);

/// What every verb of this service holds.
struct Parts {
    config: Config,
    store: Store,
    bus: Bus,
    providers: Providers,
    blackouts: BlackoutCache,
    portions: Portions,
    kept: Kept,
    metrics: Metrics,
    traces: Traces,
    stop: CancellationToken,
    /// Cancelled when this replica has no time left.
    cut: CancellationToken,
    wake: Notify,
}

impl Parts {
    /// Wakes the rounds, if there is a reason.
    fn wake(&self, reason: bool) {
        if reason {
            self.wake.notify_one();
        }
    }

    /// Waits for somebody to wake the rounds.
    async fn woken(&self) {
        self.wake.notified().await;
    }
}

/// The batch-poller, built but not yet running.
pub struct Service {
    parts: Arc<Parts>,
    life: Life,
    postgres: Part,
    redis: Part,
}

impl Service {
    /// Prepares the service; its servers need not answer yet.
    ///
    /// # Errors
    /// When a URL or a provider's setting is unusable, or a metric's name is taken.
    pub fn build(config: Config, life: &Life) -> anyhow::Result<Self> {
        let (postgres, redis) = (life.ready.part("postgres"), life.ready.part("redis"));
        let store = Store::connect(&config.store_options(), &life.registry)?;
        let bus = Bus::connect(&config.bus_options(), &life.registry)?;
        let keys = |name: &str| config.provider_vars.get(name).cloned();
        let providers = Providers::new(config.catalogue.clone(), &keys, &life.registry)?;
        let known = config.catalogue.providers.iter().map(|provider| provider.name.clone());
        let batching = known.filter(|provider| providers.batches(provider).is_some()).collect::<Vec<_>>();
        let metrics = Metrics::new(&life.registry, &batching)?;
        let parts = Parts {
            config,
            store,
            bus,
            providers,
            blackouts: BlackoutCache::default(),
            portions: Portions::default(),
            kept: Kept::default(),
            metrics,
            traces: life.traces.clone(),
            stop: life.stop.clone(),
            cut: CancellationToken::new(),
            wake: Notify::new(),
        };
        Ok(Self { parts: Arc::new(parts), life: life.clone(), postgres, redis })
    }

    /// Runs until the stop, then finishes what is in flight.
    ///
    /// # Errors
    /// When the database is of another version than this program.
    pub async fn run(self) -> anyhow::Result<()> {
        let Self { parts, life, postgres, redis } = self;
        life.tasks.spawn("redis", redis.follow(parts.bus.up(), life.stop.clone()));
        tokio::select! {
            ready = parts.store.until_current() => ready?,
            () = life.stop.cancelled() => return Ok(()),
        }
        postgres.up();
        life.tasks.spawn("facts", facts::run(Arc::clone(&parts)));
        let options = ConsumerOptions { lease: parts.config.lease, ..ConsumerOptions::default() };
        let collecting = {
            let own = Arc::clone(&parts);
            let handler = move |slice| collect::handle(Arc::clone(&own), slice);
            parts.bus.consumer(topics::BATCH, options).run(life.stop.clone(), handler)
        };
        // What is finished during a drain still needs its lease: the keeper ends after the last batch.
        tokio::select! {
            ((), ()) = async { tokio::join!(collecting, rounds::run(Arc::clone(&parts))) } => Ok(()),
            () = parts.kept.keep(&parts.store, &parts.config.common.replica, parts.config.lease) => bail!("the leases are not kept"),
        }
    }
}
