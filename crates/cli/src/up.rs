//! `chavion up`: the four services in one process, on private servers and the emulator where nothing else is
//! named. Refuses to pass the emulator off as a provider: it says so before, during and after.

mod backing;
mod merged;

use crate::{
    args::{Order, Place, Up},
    client::{Client, Done, Trouble},
    order, output,
    vars::{Filled, given},
};
use anyhow::Context as _;
use backing::Backing;
use boot::{ConfigError, EXIT_BAD_CONFIG, Life, Vars as _};
use std::{path::PathBuf, process::ExitCode, time::Duration};

/// How long the services may take to be ready once their servers answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts everything, serves until a signal (or until the given order's report), and ends everything.
pub(crate) async fn run(args: Up, place: &Place) -> ExitCode {
    let mut vars = Filled::default();
    let backing = match Backing::start(&place.folder(), &mut vars).await {
        Ok(backing) => backing,
        Err(error) => {
            output::note(&format!("chavion: {error:#}"));
            return ExitCode::FAILURE;
        }
    };
    let code = match Configs::read(&vars) {
        Ok(configs) => serve(&args, configs, &backing).await,
        Err(error) => {
            output::note(&error.to_string());
            ExitCode::from(EXIT_BAD_CONFIG)
        }
    };
    backing.stop().await;
    code
}

/// The settings of all four.
struct Configs {
    gateway: gateway::Config,
    orchestrator: orchestrator::Config,
    executor: executor::Config,
    batch_poller: batch_poller::Config,
    key_file: PathBuf,
}

impl Configs {
    fn read(vars: &Filled) -> Result<Self, ConfigError> {
        Ok(Self {
            gateway: gateway::Config::read(vars)?,
            orchestrator: orchestrator::Config::read(vars)?,
            executor: executor::Config::read(vars)?,
            batch_poller: batch_poller::Config::read(vars)?,
            key_file: PathBuf::from(vars.get("FIRST_KEY_FILE").unwrap_or_default()),
        })
    }
}

async fn serve(args: &Up, configs: Configs, backing: &Backing) -> ExitCode {
    let life = match Life::start("chavion", &configs.gateway.common).await {
        Ok(life) => life,
        Err(error) => return boot::failed(&error),
    };
    let ready = life.ready.part("services");
    let mut given = Ok(crate::DONE);
    let ended = life
        .run(async {
            orchestrator::migrate(&configs.orchestrator).await?;
            let key_file = configs.key_file.clone();
            let services = Services::build(configs, &life).await?;
            let (address, lives) = (services.address(), services.lives());
            let front = async {
                until_ready(&lives).await?;
                ready.up();
                greet(&address, &key_file, backing, life.admin);
                if let Some(text) = &args.order {
                    given = give(&address, &key_file, text).await;
                    if !args.stay {
                        life.stop.cancel();
                    }
                }
                anyhow::Ok(())
            };
            let (ran, fronted) = tokio::join!(services.run(), async {
                tokio::select! {
                    fronted = front => fronted.inspect_err(|_| life.stop.cancel()),
                    () = life.stop.cancelled() => Ok(()),
                }
            });
            fronted.and(ran)
        })
        .await;
    let code = life.end(ended).await;
    match given {
        Ok(crate::DONE) => code,
        Ok(other) => ExitCode::from(other),
        Err(trouble) => {
            output::trouble(&trouble, false);
            ExitCode::from(trouble.code)
        }
    }
}

/// Gives the order of the command line, as its master would.
async fn give(address: &str, key_file: &PathBuf, text: &str) -> Done {
    let key = match given("CHAVION_KEY") {
        Some(key) => key,
        None => std::fs::read_to_string(key_file).map_err(|error| {
            Trouble::new(crate::REFUSED, format!("no key: set CHAVION_KEY ({}: {error})", key_file.display()))
        })?,
    };
    let client = Client::with(address.to_owned(), key.trim().to_owned())?;
    order::run(&client, &Order::report(text), false).await
}

/// Each service with its own life in this process.
struct Services {
    gateway: (gateway::Service, Life),
    orchestrator: (orchestrator::Service, Life),
    executor: (executor::Service, Life),
    batch_poller: (batch_poller::Service, Life),
}

impl Services {
    async fn build(configs: Configs, process: &Life) -> anyhow::Result<Self> {
        let life = |name: &'static str| -> anyhow::Result<Life> {
            let life = Life::embedded(name, process.stop.clone());
            process.registry.register(Box::new(merged::Merged::new(name, life.registry.clone())?))?;
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

    fn address(&self) -> String {
        format!("http://{}", self.gateway.0.addr())
    }

    fn lives(&self) -> [Life; 4] {
        [self.gateway.1.clone(), self.orchestrator.1.clone(), self.executor.1.clone(), self.batch_poller.1.clone()]
    }

    /// Runs all four until the stop; the first that fails stops the rest.
    async fn run(self) -> anyhow::Result<()> {
        let (gateway, orchestrator) = (self.gateway, self.orchestrator);
        let (executor, poller) = (self.executor, self.batch_poller);
        let ended = tokio::join!(
            one(&gateway.1, gateway.0.run()),
            one(&orchestrator.1, orchestrator.0.run()),
            one(&executor.1, executor.0.run()),
            one(&poller.1, poller.0.run()),
        );
        ended.0.context("gateway").and(ended.1.context("orchestrator"))?;
        ended.2.context("executor").and(ended.3.context("batch-poller"))
    }
}

async fn one(life: &Life, service: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let ended = life.run(service).await;
    life.finish(ended).await
}

async fn until_ready(lives: &[Life]) -> anyhow::Result<()> {
    for life in lives {
        let waited = tokio::time::timeout(PATIENCE, life.ready.wait()).await;
        waited.with_context(|| format!("the {} is not ready: {:?} missing", life.service, life.ready.report().missing))?;
    }
    Ok(())
}

fn greet(address: &str, key_file: &PathBuf, backing: &Backing, admin: Option<std::net::SocketAddr>) {
    output::note(&format!("Chavion is ready at {address} (API {address}/api/docs, help {address}/help)"));
    if let Some(admin) = admin {
        output::note(&format!("Health and metrics: http://{admin}/health, /ready, /metrics"));
    }
    output::note(&format!("The master's key is in {}; give orders with: chavion order \"…\"", key_file.display()));
    if backing.is_emulated() {
        output::note(concat!(
            "\n*** EMULATED: no provider key is set (ANTHROPIC_API_KEY, OPENAI_API_KEY, GEMINI_API_KEY, …), so the emulator\n",
            "*** answers, not a model. · 제공자 키가 없어 모델이 아니라 에뮬레이터가 답합니다.\n"
        ));
    }
}
