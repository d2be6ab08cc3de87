//! The executor runs commands, each confined in a fresh folder and at most once, and tells how they ended.
//! Refuses to run anything unconfined, to hold a provider's key, and to decide what comes next.

mod config;
mod execute;
mod folder;
mod limits;
mod metrics;
mod outcome;
mod topics;

pub use config::Config;
pub use metrics::Metrics;

use anyhow::bail;
use boot::{Life, Part};
use bus::{Bus, ConsumerOptions};
use folder::Folders;
use sandbox::{Error, Sandbox, Spec};
use std::{sync::Arc, time::Duration};
use store::{Leases, Store};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long to wait before a server is asked again that did not answer.
const AGAIN: Duration = Duration::from_millis(100);
/// Connections to Postgres: for claims, ends and the lease.
const CONNECTIONS: usize = 4;
/// What every handler of this service holds.
#[derive(Debug)]
struct Parts {
    config: Config,
    store: Store,
    bus: Bus,
    sandbox: Sandbox,
    folders: Folders,
    leases: Leases,
    metrics: Metrics,
    life: Life,
}

/// The executor, built but not yet running.
#[derive(Debug)]
pub struct Service {
    parts: Arc<Parts>,
    postgres: Part,
    redis: Part,
    sandbox: Part,
}

impl Service {
    /// Prepares the service and cleans up after dead executors; the servers need not answer yet.
    ///
    /// # Errors
    /// When a URL is unusable, a metric's name is taken, or the work folder is of no use.
    pub fn build(config: Config, life: &Life) -> anyhow::Result<Self> {
        let [postgres, redis, sandbox] = ["postgres", "redis", "sandbox"].map(|name| life.ready.part(name));
        let options = store::Options {
            url: config.database_url.clone(),
            max_connections: CONNECTIONS,
            application_name: life.service.to_owned(),
        };
        let store = Store::connect(&options, &life.registry)?;
        let options = bus::Options {
            url: config.redis_url.clone(),
            prefix: config.redis_prefix.clone(),
            replica: config.common.replica.clone(),
        };
        let bus = Bus::connect(&options, &life.registry)?;
        let metrics = Metrics::new(&life.registry)?;
        let folders = Folders::open(&config.work_dir)?;
        let launcher = Sandbox::with_launcher(&config.launcher);
        let (leases, life) = (Leases::default(), life.clone());
        let parts = Parts { config, store, bus, sandbox: launcher, folders, leases, metrics, life };
        Ok(Self { parts: Arc::new(parts), postgres, redis, sandbox })
    }

    /// Runs until the stop. Commands that still run then get the drain time, but for its last seconds.
    ///
    /// # Errors
    /// When the database is of another version than this program, or the sandbox cannot be used at all.
    pub async fn run(self) -> anyhow::Result<()> {
        let Self { parts, postgres, redis, sandbox } = self;
        let stop = parts.life.stop.clone();
        parts.life.tasks.spawn("redis", redis.follow(parts.bus.up(), stop.clone()));
        tokio::select! {
            prepared = async { try_sandbox(&parts, &sandbox).await?; anyhow::Ok(parts.store.until_current().await?) } => prepared?,
            () = stop.cancelled() => return Ok(()),
        }
        postgres.up();
        let Config { concurrency, lease, .. } = parts.config;
        let options = ConsumerOptions { slice: concurrency.min(64), concurrency, lease, ..ConsumerOptions::default() };
        let consumer = parts.bus.consumer(topics::COMMAND, options);
        let handler = {
            let parts = Arc::clone(&parts);
            move |slice| execute::handle(Arc::clone(&parts), slice)
        };
        tokio::select! {
            () = consumer.run(stop.clone(), handler) => Ok(()),
            () = parts.leases.keep(&parts.store, &parts.config.common.replica, lease) => bail!("the leases are not kept"),
            () = parts.leases.cut_in_time(&parts.life.stop, parts.config.common.drain) => bail!("the drain has no end"),
        }
    }
}

/// Runs a command that does nothing, to know and show which layers this kernel has. Where it refuses, the executor
/// lives on: it ends every task with that reason, which is more than silence.
async fn try_sandbox(parts: &Parts, ready: &Part) -> anyhow::Result<()> {
    let folder = parts.folders.fresh(Uuid::nil(), 0)?;
    let Config { limits, read, require, .. } = parts.config.clone();
    let spec = Spec { limits, read, require, ..Spec::script(&folder, "true") };
    let told = parts.sandbox.run(&spec, &CancellationToken::new()).await;
    execute::clear(folder).await;
    parts.metrics.layers(&told);
    match told {
        Ok(ended) => {
            let layers: Vec<&str> = ended.layers.iter().map(|layer| layer.as_str()).collect();
            tracing::info!(layers = layers.join(" "), "the sandbox holds");
            ready.up();
            Ok(())
        }
        Err(error @ Error::Refused { .. }) => {
            tracing::error!(%error, "no command will be run here: every one fails as unconfined");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}
