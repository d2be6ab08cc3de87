//! The `chavion` command: everything in one process for a newcomer, and a client for everybody.
//! Refuses to know SQL and streams: as a client it speaks HTTP, and `up` only starts what the services are.

mod args;
mod client;
mod doctor;
mod key;
mod order;
mod output;
pub mod servers;
mod task;
mod tree;
mod up;
mod vars;
mod watch;

use args::{Args, Verb};
use clap::Parser as _;
use std::process::ExitCode;

/// Done.
pub const DONE: u8 = 0;
/// The order or the task failed or was cancelled.
pub const FAILED: u8 = 1;
/// The arguments, or what they ask for, were refused (clap's own code, and 4xx answers).
pub const REFUSED: u8 = 2;
/// No server answered, or it could not (5xx).
pub const UNREACHABLE: u8 = 3;

/// Reads the command line and does what it says. Exit codes: 0 done, 1 the order failed, 2 refused, 3 no server,
/// 64 bad configuration.
#[must_use]
pub fn main() -> ExitCode {
    let args = Args::parse();
    boot::block_on(2, run(args))
}

async fn run(args: Args) -> ExitCode {
    let done = match args.verb {
        Verb::Up(verb) => return up::run(verb, &args.place).await,
        Verb::WithServers(verb) => servers::with(&args.place, &verb.command).await,
        Verb::Doctor => doctor::run(&args.place, args.json).await,
        Verb::Order(verb) => match client::Client::new(&args.place) {
            Ok(client) => order::run(&client, &verb, args.json).await,
            Err(error) => Err(error),
        },
        Verb::Task { verb } => match client::Client::new(&args.place) {
            Ok(client) => task::run(&client, &verb, args.json).await,
            Err(error) => Err(error),
        },
        Verb::Key { verb } => match client::Client::new(&args.place) {
            Ok(client) => key::run(&client, &verb, args.json).await,
            Err(error) => Err(error),
        },
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(trouble) => {
            output::trouble(&trouble, args.json);
            ExitCode::from(trouble.code)
        }
    }
}
