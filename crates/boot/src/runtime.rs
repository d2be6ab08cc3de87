//! The async runtime that a service lives in. Refuses to know what runs on it.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Builder;

use crate::StartError;

/// How long blocking calls that are still under way may hold up the exit.
const LAST_GRACE: Duration = Duration::from_millis(200);

/// Runs `life` to its end on a runtime with that many worker threads; what is still running then is dropped.
/// Exits with 1 when the system grants no threads.
pub fn block_on(worker_threads: usize, life: impl Future<Output = ExitCode>) -> ExitCode {
    let runtime = match Builder::new_multi_thread().worker_threads(worker_threads).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&StartError::Runtime(error)),
    };
    let code = runtime.block_on(life);
    runtime.shutdown_timeout(LAST_GRACE);
    code
}

/// Says on standard error why the service did not come up, before there is a log, and returns exit code 1.
#[must_use]
pub fn failed(error: &StartError) -> ExitCode {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(std::io::stderr(), "{error}");
    ExitCode::FAILURE
}
