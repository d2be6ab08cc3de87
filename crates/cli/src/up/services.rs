//! The four services in this process: their settings, their lives, their end. Refuses to know what is behind them.

use super::merged::Merged;
use anyhow::Context as _;
use boot::{ConfigError, Life, Vars};
use std::time::Duration;

/// The settings of all four.
pub(super) struct Configs {
    pub(super) gateway: gateway::Config,
    pub(super) orchestrator: orchestrator::Config,
    executor: executor::Config,
    batch_poller: batch_poller::Config,
}

impl Configs {
    /// Reads the settings of all four.
    ///
    /// # Errors
    /// Everything that is wrong with any of them, each variable once.
    pub(super) fn read(vars: &dyn Vars) -> Result<Self, ConfigError> {
        let (gateway, orchestrator) = (gateway::Config::read(vars), orchestrator::Config::read(vars));
        let (executor, batch_poller) = (executor::Config::read(vars), batch_poller::Config::read(vars));
        match (gateway, orchestrator, executor, batch_poller) {
            (Ok(gateway), Ok(orchestrator), Ok(executor), Ok(batch_poller)) => {
                Ok(Self { gateway, orchestrator, executor, batch_poller })
            }
            (gateway, orchestrator, executor, batch_poller) => {
                let errors = [gateway.err(), orchestrator.err(), executor.err(), batch_poller.err()];
                Err(errors
                    .into_iter()
                    .flatten()
                    .fold(ConfigError { problems: Vec::new(), variables: Vec::new() }, joined))
            }
        }
    }
}

fn joined(mut all: ConfigError, more: ConfigError) -> ConfigError {
    for problem in more.problems {
        if !all.problems.contains(&problem) {
            all.problems.push(problem);
        }
    }
    all.variables.extend(more.variables);
    all
}

/// Each service with its own life in this process.
pub(super) struct Services {
    gateway: (gateway::Service, Life),
    orchestrator: (orchestrator::Service, Life),
    executor: (executor::Service, Life),
    batch_poller: (batch_poller::Service, Life),
}

impl Services {
    /// Builds all four; their stop, and the time that they have to drain, are the process's.
    ///
    /// # Errors
    /// What the first that cannot be built says.
    pub(super) async fn build(configs: Configs, process: &Life) -> anyhow::Result<Self> {
        let life = |name: &'static str| -> anyhow::Result<Life> {
            let life = process.within(name);
            process.registry.register(Box::new(Merged::new(name, life.registry.clone())?))?;
            Ok(life)
        };
        let (of_gateway, of_orchestrator) = (life("gateway")?, life("orchestrator")?);
        let (of_executor, of_poller) = (life("executor")?, life("batch-poller")?);
        // First, because it installs the process's cryptography for every client.
        let orchestrator = orchestrator::Service::build(configs.orchestrator, &of_orchestrator)?;
        Ok(Self {
            gateway: (gateway::Service::build(configs.gateway, &of_gateway).await?, of_gateway),
            orchestrator: (orchestrator, of_orchestrator),
            executor: (executor::Service::build(configs.executor, &of_executor)?, of_executor),
            batch_poller: (batch_poller::Service::build(configs.batch_poller, &of_poller)?, of_poller),
        })
    }

    /// Returns where the API is.
    pub(super) fn address(&self) -> String {
        format!("http://{}", self.gateway.0.addr())
    }

    /// Returns the lives of all four.
    pub(super) fn lives(&self) -> [Life; 4] {
        [self.gateway.1.clone(), self.orchestrator.1.clone(), self.executor.1.clone(), self.batch_poller.1.clone()]
    }

    /// Runs all four until the stop; the first that fails stops the rest.
    ///
    /// # Errors
    /// What each that failed says.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let ended = tokio::join!(
            one(&self.gateway.1, self.gateway.0.run()),
            one(&self.orchestrator.1, self.orchestrator.0.run()),
            one(&self.executor.1, self.executor.0.run()),
            one(&self.batch_poller.1, self.batch_poller.0.run()),
        );
        let failed: Vec<String> = [ended.0, ended.1, ended.2, ended.3]
            .into_iter()
            .filter_map(|ended| Some(format!("{:#}", ended.err()?)))
            .collect();
        anyhow::ensure!(failed.is_empty(), "{}", failed.join("; "));
        Ok(())
    }
}

async fn one(life: &Life, service: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let ended = life.run(service).await;
    life.finish(ended).await.context(life.service)
}

/// Waits until all services are ready.
///
/// # Errors
/// Which one is not in time, and what it misses.
pub(super) async fn until_ready(lives: &[Life], patience: Duration) -> anyhow::Result<()> {
    for life in lives {
        let waited = tokio::time::timeout(patience, life.ready.wait()).await;
        waited.with_context(|| {
            let missing = life.ready.report().missing.join(", ");
            format!("the {} is not ready after {} s: missing {missing}", life.service, patience.as_secs())
        })?;
    }
    Ok(())
}
