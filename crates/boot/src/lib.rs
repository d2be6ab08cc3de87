//! From `main` to ready, and from SIGTERM to the end: config, telemetry, admin port, task set, drain.
//! Refuses to know Postgres, Redis, HTTP routes, or what any service does.
//!
//! The four mains look alike; this is the whole of one:
//!
//! ```no_run
//! # mod example {
//! #     use std::process::ExitCode;
//! #     pub struct Config { pub common: boot::Common, shown: Vec<boot::Variable> }
//! #     impl Config {
//! #         pub fn read(vars: &dyn boot::Vars) -> Result<Self, boot::ConfigError> {
//! #             let mut reader = boot::Reader::new(vars);
//! #             let common = boot::Common::read(&mut reader, "127.0.0.1:5006");
//! #             Ok(Self { common, shown: reader.finish()? })
//! #         }
//! #         pub fn shown(&self) -> &[boot::Variable] { &self.shown }
//! #     }
//! #     pub struct Service(tokio_util::sync::CancellationToken);
//! #     impl Service {
//! #         pub async fn build(_config: Config, life: &boot::Life) -> anyhow::Result<Self> {
//! #             Ok(Self(life.stop.clone()))
//! #         }
//! #         pub async fn run(self) -> anyhow::Result<()> { self.0.cancelled().await; Ok(()) }
//! #     }
//! # }
//! # use std::process::ExitCode;
//! # use example::{Config, Service};
//! const PROGRAM: boot::Program = boot::Program { name: "example", about: "Shows the order of life.", verbs: &[] };
//!
//! fn main() -> ExitCode {
//!     match boot::command_line(&PROGRAM, Config::read, Config::shown) {
//!         Ok((config, _)) => boot::block_on(config.common.worker_threads, live(config)),
//!         Err(exit) => exit,
//!     }
//! }
//!
//! async fn live(config: Config) -> ExitCode {
//!     let life = match boot::Life::start(PROGRAM.name, &config.common).await {
//!         Ok(life) => life,
//!         Err(error) => return boot::failed(&error),
//!     };
//!     let ended = life.run(async { Service::build(config, &life).await?.run().await }).await;
//!     life.end(ended).await
//! }
//! ```

mod admin;
mod command;
mod common;
mod fresh;
mod life;
mod line;
mod mask;
mod metrics;
mod otlp;
mod probe;
mod process;
mod reader;
mod ready;
mod runtime;
mod signals;
mod tasks;
mod telemetry;
pub mod trace;
mod vars;

pub use command::{EXIT_BAD_CONFIG, Program, Read, Show, command_line};
pub use common::{Common, LogFormat};
pub use fresh::{Fresh, Listed};
pub use life::{Life, StartError};
pub use reader::{ConfigError, Problem, Reader, Variable};
pub use ready::{Part, Readiness, Report};
pub use runtime::{block_on, failed};
pub use tasks::Tasks;
pub use vars::{Environment, Vars};
