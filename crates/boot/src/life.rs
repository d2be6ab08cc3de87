//! A service's life in one order: not ready, ready, asked to stop, draining, flushed, gone.
//! Refuses to know which service.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{anyhow, bail};
use futures_util::FutureExt as _;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admin::Admin;
use crate::metrics::Metrics;
use crate::process::ProcessFigures;
use crate::signals::Signals;
use crate::tasks::said;
use crate::telemetry::Telemetry;
use crate::trace::Traces;
use crate::{Common, Readiness, Tasks};

/// How long an embedded service may drain of which nothing else is said.
const EMBEDDED_DRAIN: Duration = Duration::from_secs(25);

/// Why a service could not begin its life.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The async runtime got no threads.
    #[error("cannot start the async runtime: {0}")]
    Runtime(#[source] std::io::Error),
    /// The admin port is taken or not ours to take.
    #[error("cannot listen on ADMIN_ADDR {addr}: {source}; stop what has it, or set ADMIN_ADDR to another")]
    Admin {
        /// The address that was asked for.
        addr: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The signals cannot be taken over.
    #[error("cannot take over SIGTERM and SIGINT: {0}")]
    Signals(#[source] std::io::Error),
    /// The logs or traces cannot be set up.
    #[error("cannot set up the telemetry: {0}")]
    Telemetry(String),
    /// A metric is refused by the registry.
    #[error("cannot register a metric: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// What a service is given to live with; clones share one life.
#[derive(Clone, Debug)]
pub struct Life {
    /// The service's name.
    pub service: &'static str,
    /// Where the service registers its metrics.
    pub registry: Registry,
    /// Where the service names its parts and brings them up.
    pub ready: Readiness,
    /// Cancelled when the service is asked to stop, and when one of its tasks panicked.
    pub stop: CancellationToken,
    /// The tasks that the service owns.
    pub tasks: Tasks,
    /// Where spans are told that are over.
    pub traces: Traces,
    /// The admin port's address; `None` when the service is embedded.
    pub admin: Option<SocketAddr>,
    drain: Duration,
    stopped_at: Arc<OnceLock<Instant>>,
    process: Arc<Mutex<Process>>,
}

/// What only the life of a whole process has; empty when the service is embedded.
#[derive(Debug, Default)]
struct Process {
    telemetry: Option<Telemetry>,
    background: JoinSet<()>,
}

impl Life {
    /// Begins the life of a process: logs and traces, signals, admin port (not ready yet).
    ///
    /// # Errors
    /// When the admin port is taken, or the process has telemetry already.
    pub async fn start(service: &'static str, common: &Common) -> Result<Self, StartError> {
        let mut life = Self::embedded(service, CancellationToken::new());
        life.drain = common.drain;
        life.registry.register(Box::new(ProcessFigures::new()?))?;
        let metrics = Metrics::new(&life.registry, service)?;
        let signals = Signals::take().map_err(StartError::Signals)?;
        let refused = |source| StartError::Admin { addr: common.admin_addr, source };
        let listener = TcpListener::bind(common.admin_addr).await.map_err(refused)?;
        let addr = listener.local_addr().map_err(refused)?;
        let telemetry = Telemetry::start(service, common, metrics.spans_lost.clone())?;
        life.traces = telemetry.traces();
        let telemetry = Some(telemetry);
        let mut background = JoinSet::new();
        background.spawn(signals.obey(life.stop.clone()));
        let admin = Admin {
            service,
            replica: common.replica.clone(),
            registry: life.registry.clone(),
            metrics,
            ready: life.ready.clone(),
        };
        background.spawn(admin.serve(listener));
        life.process = Arc::new(Mutex::new(Process { telemetry, background }));
        life.admin = Some(addr);
        tracing::info!(version = env!("CARGO_PKG_VERSION"), admin = %addr, "started");
        Ok(life)
    }

    /// Begins the life of a service among others in one process: its own registry, readiness and tasks, but no
    /// signals, no admin port and no telemetry, which are the process's.
    #[must_use]
    pub fn embedded(service: &'static str, stop: CancellationToken) -> Self {
        Self {
            service,
            registry: Registry::new(),
            ready: Readiness::new(stop.clone()),
            tasks: Tasks::new(stop.clone()),
            stop,
            traces: Traces::default(),
            admin: None,
            drain: EMBEDDED_DRAIN,
            stopped_at: Arc::default(),
            process: Arc::default(),
        }
    }

    /// Begins the life of a service inside this one's process: as [`Life::embedded`], with this life's stop, its traces
    /// and as much time to drain as it has.
    #[must_use]
    pub fn within(&self, service: &'static str) -> Self {
        Self { drain: self.drain, traces: self.traces.clone(), ..Self::embedded(service, self.stop.clone()) }
    }

    /// Runs the service, and cuts it when it has not returned within the drain time after the stop.
    ///
    /// # Errors
    /// What the service returned, its panic, that it overran its drain, or that it ended unasked.
    pub async fn run<F>(&self, service: F) -> anyhow::Result<()>
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        let overdue = async {
            self.stop.cancelled().await;
            self.stopped_at.get_or_init(Instant::now);
            tokio::time::sleep(self.drain).await;
        };
        tokio::select! {
            ended = AssertUnwindSafe(service).catch_unwind() => match ended {
                Ok(Ok(())) if !self.stop.is_cancelled() => bail!("the service ended although nobody asked it to"),
                Ok(ended) => ended,
                Err(panic) => bail!("the service panicked: {}", said(panic.as_ref())),
            },
            () = overdue => bail!("the service did not drain within {:?}; still at work: {}", self.drain, self.names()),
        }
    }

    /// Ends the life: waits for the tasks until the drain time is over, logs what went wrong, sends the last spans.
    /// Returns 0 after a clean stop, else 1.
    pub async fn end(self, ended: anyhow::Result<()>) -> ExitCode {
        let finished = self.finish(ended).await;
        let code = match &finished {
            Ok(()) => {
                tracing::info!("stopped");
                ExitCode::SUCCESS
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "ended by a failure");
                ExitCode::FAILURE
            }
        };
        let mut process = std::mem::take(&mut *self.process.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(telemetry) = process.telemetry {
            telemetry.end().await;
        }
        process.background.shutdown().await;
        code
    }

    /// Does what [`Life::end`] does for an embedded service, which has no exit code.
    ///
    /// # Errors
    /// What the service ended with, a task that panicked, or tasks that did not end in time.
    pub async fn finish(&self, ended: anyhow::Result<()>) -> anyhow::Result<()> {
        self.stop.cancel();
        let since = *self.stopped_at.get_or_init(Instant::now);
        let left = self.tasks.drain(self.drain.saturating_sub(since.elapsed())).await;
        ended?;
        if let Some(task) = self.tasks.crashed() {
            return Err(anyhow!("the task {task} panicked"));
        }
        if !left.is_empty() {
            return Err(anyhow!("these tasks did not end within {:?}: {}", self.drain, left.join(", ")));
        }
        Ok(())
    }

    fn names(&self) -> String {
        let names = self.tasks.running();
        if names.is_empty() { "no named task".to_owned() } else { names.join(", ") }
    }
}
