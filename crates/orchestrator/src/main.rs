//! The orchestrator as a process of its own.

use orchestrator::{Config, Service};
use std::process::ExitCode;

const PROGRAM: boot::Program = boot::Program {
    name: "orchestrator",
    about: "Divides orders, asks models, settles what ended and delivers reports.",
    verbs: &[("migrate", "bring Postgres to this version's schema, and end")],
};

fn main() -> ExitCode {
    match boot::command_line(&PROGRAM, Config::read, Config::shown) {
        Ok((config, verb)) => boot::block_on(config.common.worker_threads, live(config, verb)),
        Err(exit) => exit,
    }
}

async fn live(config: Config, verb: Option<&'static str>) -> ExitCode {
    let life = match boot::Life::start(PROGRAM.name, &config.common).await {
        Ok(life) => life,
        Err(error) => return boot::failed(&error),
    };
    let ended = match verb {
        Some(_) => orchestrator::migrate(&config).await.inspect(|()| life.stop.cancel()),
        None => life.run(async { Service::build(config, &life)?.run().await }).await,
    };
    life.end(ended).await
}
