//! The `chavion` command: everything in one process for a newcomer, and a client for everybody.
//! Refuses to know SQL and streams: as a client it speaks HTTP, and `up` only starts what the services are.

mod args;
mod batch;
mod budget;
mod client;
mod doctor;
mod held;
mod key;
mod moment;
mod order;
mod output;
pub mod servers;
mod table;
mod task;
mod tree;
mod up;
mod vars;
mod watch;

use args::{Args, Verb};
use clap::Parser as _;
use client::{Client, Done, Trouble};
use std::process::ExitCode;

/// Done.
pub const DONE: u8 = 0;
/// The order or the task failed or was cancelled, or `up` could not start or broke down.
pub const FAILED: u8 = 1;
/// The arguments, or what they ask for, were refused (clap's own code, and 4xx answers).
pub const REFUSED: u8 = 2;
/// No server answered, or it could not (5xx).
pub const UNREACHABLE: u8 = 3;
/// A variable or a file that it names is wrong.
pub const BAD_CONFIG: u8 = boot::EXIT_BAD_CONFIG;
/// A signal came before the order had ended.
pub const INTERRUPTED: u8 = 130;

/// Reads the command line, does what it says and returns one of the codes above.
#[must_use]
pub fn main() -> ExitCode {
    match Args::try_parse() {
        Ok(args) => boot::block_on(2, run(args)),
        Err(error) => misread(&error),
    }
}

async fn run(args: Args) -> ExitCode {
    let json = args.json;
    match perform(args).await {
        Ok(code) => ExitCode::from(code),
        Err(trouble) => {
            output::trouble(&trouble, json);
            ExitCode::from(trouble.code)
        }
    }
}

async fn perform(args: Args) -> Done {
    let Args { place, json, verb } = args;
    let client = || Client::new(&place);
    match verb {
        Verb::Up(verb) => up::run(&verb, &place, json).await,
        Verb::WithServers(verb) => servers::with(&place, &verb.command).await,
        Verb::Doctor(verb) => doctor::run(&verb, &place, json).await,
        Verb::Order(verb) => order::run(&client()?, &verb, json).await,
        Verb::Task { verb } => task::run(&client()?, &verb, json).await,
        Verb::Batch { verb } => batch::run(&client()?, &verb, json).await,
        Verb::Budget { verb } => budget::run(&client()?, &verb, json).await,
        Verb::Blackout { verb } => budget::blackout(&client()?, &verb, json).await,
        Verb::Key { verb } => key::run(&client()?, &verb, json).await,
    }
}

/// Answers `--help` and `--version`, and says what was wrong with the rest.
fn misread(error: &clap::Error) -> ExitCode {
    let wants_json = std::env::args_os().any(|word| word == "--json");
    if error.use_stderr() && wants_json {
        output::trouble(&Trouble::new(REFUSED, error.to_string().trim_end()), true);
    } else {
        // A reader that has gone away is no reason for another exit code.
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(REFUSED))
}
