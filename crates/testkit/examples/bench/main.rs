//! The benchmark: orders of three chained asks through the real processes, beside bare calls and bare commits of
//! the same run, with what each process takes. One JSON on standard output, all else on standard error. Refuses to
//! compare with anything that was measured elsewhere.

mod baseline;
mod events;
mod figures;
mod goals;
mod http;
mod idle;
mod load;
mod postgres;
mod redis;
mod run;
mod stand;
mod usage;

use anyhow::{Context as _, bail};
use cli::servers::{Reach, Servers};
use futures_util::FutureExt as _;
use run::Plan;
use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    process::ExitCode,
};
use tokio::signal::unix::{SignalKind, signal};

/// Where the servers keep their data: a place that is a disk also where `/tmp` is memory.
const PLACE: &str = "/var/tmp";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match bench().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Tells whoever watches what is being done.
fn say(words: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(std::io::stderr(), "bench: {words}");
}

async fn bench() -> anyhow::Result<()> {
    let plan = read_arguments()?;
    let (mut interrupted, mut terminated) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stopped = async {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
        anyhow::anyhow!("stopped before the end")
    };
    tokio::pin!(stopped);
    let folder = Folder::fresh()?;
    say(&format!("starting private servers in {}", folder.0.display()));
    let data = folder.0.join("servers");
    let servers = tokio::select! {
        started = Servers::start(&data, Reach::Sockets) => started?,
        error = &mut stopped => return Err(error),
    };
    // A panic must not leave the servers behind either.
    let outcome = tokio::select! {
        outcome = AssertUnwindSafe(run::measured(&folder.0, &servers, &plan)).catch_unwind() => outcome,
        error = stopped => Ok(Err(error)),
    };
    servers.stop().await;
    let answer = outcome.unwrap_or_else(|_| Err(anyhow::anyhow!("the benchmark panicked")))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{answer:#}")?;
    Ok(out.flush()?)
}

fn read_arguments() -> anyhow::Result<Plan> {
    let mut plan = Plan::FULL;
    for word in std::env::args().skip(1) {
        match word.as_str() {
            "--quick" => plan = Plan::QUICK,
            _ => bail!("{word:?} is unknown; there is only --quick"),
        }
    }
    Ok(plan)
}

/// A folder that goes with its handle.
struct Folder(PathBuf);

impl Folder {
    fn fresh() -> anyhow::Result<Self> {
        let folder = Path::new(PLACE).join(format!("chavion-bench-{}", uuid::Uuid::now_v7().simple()));
        fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        // The servers of root run as another user, who must be able to enter.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            say(&format!("{} is left behind: {error}", self.0.display()));
        }
    }
}
