//! The `chavion` command: everything in one process for a newcomer, and a client for everybody.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The executor starts this very file again as the sandbox's first process.
    sandbox::init_if_asked();
    cli::main()
}
