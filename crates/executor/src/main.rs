//! The executor's process, from its command line to its exit code.

use executor::{Config, Service};
use std::process::ExitCode;

const PROGRAM: boot::Program = boot::Program {
    name: "executor",
    about: "Runs Chavion's commands, each confined in a folder of its own.",
    verbs: &[],
};

fn main() -> ExitCode {
    sandbox::init_if_asked();
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
