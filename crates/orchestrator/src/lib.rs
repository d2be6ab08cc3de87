//! The orchestrator divides orders, asks models, settles what ended and delivers reports.
//! Refuses to run a command, to serve a person, and to decide: decisions are `domain`'s.

mod advance;
mod answer;
mod ask;
mod blackout;
mod config;
mod deliver;
mod facts;
mod metrics;
mod next;
mod playbooks;
mod recent;
mod routes;
mod settle;
mod share;
mod spend;
mod sweep;
mod topics;
mod traced;
mod webhook;

pub use config::Config;

use advance::Advancer;
use anyhow::{Context as _, bail};
use boot::{Life, Part};
use bus::{Bus, ConsumerOptions};
use std::{sync::Arc, time::Duration};
use store::{BlackoutCache, Leases, Store};

/// How long to wait before Postgres is asked again that failed for a passing reason.
const AGAIN: Duration = Duration::from_millis(100);

/// What every handler of this service holds.
struct Parts {
    config: Config,
    store: Store,
    bus: Bus,
    providers: providers::Providers,
    /// Posts reports; separate from the providers' client, which follows their rules.
    courier: reqwest::Client,
    playbooks: playbooks::Playbooks,
    recent: recent::Recent,
    leases: Leases,
    routes: routes::Routes,
    blackouts: BlackoutCache,
    share: share::Share,
    metrics: metrics::Metrics,
    traces: boot::trace::Traces,
}

/// The orchestrator, built but not yet running.
pub struct Service {
    parts: Arc<Parts>,
    life: Life,
    postgres: Part,
    redis: Part,
}

/// Brings Postgres to this version's schema.
///
/// # Errors
/// When Postgres does not answer, or its schema is newer than this version.
pub async fn migrate(config: &Config) -> anyhow::Result<()> {
    let store = Store::connect(&config.store_options(), &prometheus::Registry::new())?;
    let applied = store.migrate().await.context("Postgres could not be migrated")?;
    tracing::info!(version = applied.version, applied = applied.names.join(", "), "the schema is current");
    Ok(())
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
        let providers = providers::Providers::new(config.catalogue.clone(), &keys, &life.registry)?;
        let courier = deliver::courier().context("the couriers' HTTP client")?;
        let known: Vec<String> = config.catalogue.providers.iter().map(|provider| provider.name.clone()).collect();
        let metrics = metrics::Metrics::new(&life.registry, &known)?;
        let (playbooks, recent, leases) =
            (playbooks::Playbooks::default(), recent::Recent::default(), Leases::default());
        let routes = routes::Routes::new(&config.roster, &providers);
        let on = providers.status().iter().filter(|status| status.on).count();
        let share = share::Share::new(config.ask_concurrency, on);
        let parts = Arc::new(Parts {
            config,
            store,
            bus,
            providers,
            courier,
            playbooks,
            recent,
            leases,
            routes,
            blackouts: BlackoutCache::default(),
            share,
            metrics,
            traces: life.traces.clone(),
        });
        Ok(Self { parts, life: life.clone(), postgres, redis })
    }

    /// Runs until the stop, then finishes what is in flight.
    ///
    /// # Errors
    /// When the database is of another version than this program, or a playbook is refused.
    pub async fn run(self) -> anyhow::Result<()> {
        let Self { parts, life, postgres, redis } = self;
        let stop = life.stop.clone();
        life.tasks.spawn("redis", redis.follow(parts.bus.up(), stop.clone()));
        tokio::select! {
            ready = prepare(&parts) => ready?,
            () = stop.cancelled() => return Ok(()),
        }
        postgres.up();
        life.tasks.spawn("sweep", sweep::run(Arc::clone(&parts), stop.clone()));
        life.tasks.spawn("facts", facts::run(Arc::clone(&parts), stop));
        // What is finished during a drain still needs its lease: the keeper ends after the last task.
        tokio::select! {
            () = consume(&parts, &life) => Ok(()),
            () = parts.leases.cut_in_time(&life.stop, parts.config.common.drain) => bail!("the drain has no end"),
            () = parts.leases.keep(&parts.store, &parts.config.common.replica, parts.config.lease) => bail!("the leases are not kept"),
        }
    }
}

/// Waits until Postgres answers with the right schema, and puts the roster and the playbooks into it. A Postgres that
/// goes away meanwhile is waited for again.
async fn prepare(parts: &Parts) -> anyhow::Result<()> {
    loop {
        parts.store.until_current().await?;
        let Err(error) = introduce(parts).await else { return Ok(()) };
        if !error.downcast_ref::<store::Error>().is_some_and(store::Error::is_transient) {
            return Err(error);
        }
        tracing::warn!(error = format!("{error:#}"), "Postgres went away during the start; it is waited for");
        tokio::time::sleep(AGAIN).await;
    }
}

async fn introduce(parts: &Parts) -> anyhow::Result<()> {
    parts.store.roster_put(&parts.config.roster).await.context("the roster could not be stored")?;
    playbooks::publish(&parts.config, &parts.store).await
}

/// Reads the four topics until the stop; each ends when its last delivery is settled.
async fn consume(parts: &Arc<Parts>, life: &Life) {
    let (stop, tasks) = (&life.stop, &life.tasks);
    let advancer = Advancer::start(parts, tasks);
    let lease = parts.config.lease;
    let quick = ConsumerOptions { lease, ..ConsumerOptions::default() };
    let asks = ConsumerOptions { concurrency: parts.config.ask_concurrency.saturating_mul(share::PLACES), ..quick };
    let couriers = ConsumerOptions { slice: 16, concurrency: 64, ..quick };
    let plan = {
        let advancer = advancer.clone();
        let handler = move |slice| settle::plan(advancer.clone(), slice);
        parts.bus.consumer(topics::PLAN, quick).run(stop.clone(), handler)
    };
    let settled = {
        let (parts, advancer) = (Arc::clone(parts), advancer.clone());
        let bus = parts.bus.clone();
        let handler = move |slice| settle::settled(Arc::clone(&parts), advancer.clone(), slice);
        bus.consumer(topics::SETTLED, quick).run(stop.clone(), handler)
    };
    let ask = {
        let (parts, advancer, tasks) = (Arc::clone(parts), advancer.clone(), tasks.clone());
        let bus = parts.bus.clone();
        let handler = move |slice| ask::handle(Arc::clone(&parts), advancer.clone(), tasks.clone(), slice);
        bus.consumer(topics::ASK, asks).run(stop.clone(), handler)
    };
    let deliver = {
        let (parts, tasks) = (Arc::clone(parts), tasks.clone());
        let bus = parts.bus.clone();
        let handler = move |slice| deliver::handle(Arc::clone(&parts), advancer.clone(), tasks.clone(), slice);
        bus.consumer(topics::DELIVER, couriers).run(stop.clone(), handler)
    };
    tokio::join!(plan, settled, ask, deliver);
}
