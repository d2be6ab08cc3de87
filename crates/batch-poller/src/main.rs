//! The batch-poller's process, from its command line to its exit code.

use batch_poller::{Config, Service};
use std::process::ExitCode;

const PROGRAM: boot::Program = boot::Program {
    name: "batch-poller",
    about: "Carries Chavion's asks through the providers' batch APIs.",
    verbs: &[],
};

fn main() -> ExitCode {
    match boot::command_line(&PROGRAM, Config::read, Config::shown) {
        Ok((config, _)) => boot::block_on(config.common.worker_threads, live(config)),
        Err(exit) => exit,
    }
}

async fn live(config: Config) -> ExitCode {
    let life = match boot::Life::start(PROGRAM.name, &config.common).await {
        Ok(life) => life,
        Err(error) => return boot::failed(&error),
    };
    let ended = life.run(async { Service::build(config, &life)?.run().await }).await;
    life.end(ended).await
}
