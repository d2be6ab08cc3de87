//! The pool: how connections are made and what each is told once. Refuses to know any statement.

use crate::{error::Error, metrics::Metrics};
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime, Timeouts};
use secrecy::{ExposeSecret, SecretString};
use std::{sync::Arc, time::Duration};
use tokio_postgres::NoTls;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a caller waits for a connection of the pool.
const WAIT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a server may keep silent under unacknowledged data before it counts as gone.
const SILENCE: Duration = Duration::from_secs(20);

/// What every connection is told at its start, in the start-up message and so without a round trip.
///
/// * A statement that runs 30 s, or a transaction left open as long, is stuck: it must not hold locks.
/// * Each statement is planned once, and takes few rows by their keys. On a fresh database the tables are nearly empty,
///   so the planner would rather read them whole, and that plan would outlive the moment: after 300 orders it took
///   ten times the time. So it is told that rows cost and pages do not, and to go by keys.
/// * Compiling plans costs more than these statements take.
/// * What Postgres notes besides (a table was there already) is nothing that an operator has to read.
const SESSION: &str = "-c statement_timeout=30s -c idle_in_transaction_session_timeout=30s \
     -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off \
     -c enable_material=off -c seq_page_cost=0 -c random_page_cost=0 -c cpu_tuple_cost=1 -c cpu_index_tuple_cost=1 \
     -c jit=off -c client_min_messages=warning";

/// How to reach Postgres.
#[derive(Debug, Clone)]
pub struct Options {
    /// `postgres://user:password@host:port/database`, or `…/database?host=/directory` for a Unix socket.
    pub url: SecretString,
    /// The most connections that are kept.
    pub max_connections: usize,
    /// The name that the server's activity view shows.
    pub application_name: String,
}

/// A handle to the database; clones share one pool.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("pool", &self.pool.status()).finish_non_exhaustive()
    }
}

impl Store {
    /// Makes a pool that connects when it is first used, and registers its metrics.
    ///
    /// # Errors
    /// [`Error::Url`] when the URL is malformed, [`Error::Metrics`] when the registry holds a store's metrics already.
    pub fn connect(options: &Options, registry: &prometheus::Registry) -> Result<Self, Error> {
        let mut config: tokio_postgres::Config = options.url.expose_secret().parse().map_err(|_| Error::Url)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(Error::Url);
        }
        // What the URL sets comes last and wins.
        let session = match config.get_options() {
            Some(given) => format!("{SESSION} {given}"),
            None => SESSION.to_owned(),
        };
        // tokio-postgres sets TCP_NODELAY itself; on a Unix socket the TCP settings do nothing.
        config
            .options(session)
            .application_name(&options.application_name)
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_user_timeout(SILENCE)
            .keepalives_idle(SILENCE)
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3);
        // Fast: a connection whose socket is closed is not handed out again; no query is spent on asking.
        let manager = Manager::from_config(config, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let pool = Pool::builder(manager)
            .max_size(options.max_connections.max(1))
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts { wait: Some(WAIT_TIMEOUT), create: Some(CONNECT_TIMEOUT), recycle: None })
            .build()
            .map_err(|_| Error::Connect { problem: "the pool has no runtime".to_owned(), transient: false })?;
        let metrics = Metrics::new(registry)?;
        metrics.watch_pool(registry, &pool)?;
        Ok(Self { pool, metrics: Arc::new(metrics) })
    }

    /// Asks the server for an answer.
    ///
    /// # Errors
    /// When there is none.
    pub async fn ping(&self) -> Result<(), Error> {
        let client = self.client().await?;
        let pinged = client.check_connection().await.map_err(|error| Error::statement("ping", &error));
        self.metrics.note(pinged)
    }

    /// Takes a connection from the pool.
    pub(crate) async fn client(&self) -> Result<Object, Error> {
        let client = self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => Error::connect(&error),
            PoolError::Timeout(deadpool_postgres::TimeoutType::Wait) => Error::Busy { seconds: WAIT_TIMEOUT.as_secs() },
            PoolError::Timeout(_) => {
                Error::Connect { problem: "the server did not answer in time".to_owned(), transient: true }
            }
            PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Error::Connect { problem: "the pool is closed".to_owned(), transient: false }
            }
        });
        self.metrics.note(client)
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}
