//! The benchmark: orders of three chained asks through the real processes, beside bare calls and bare commits of
//! the same run, with what each process takes. One JSON on standard output, all else on standard error. Refuses to
//! compare with anything that was measured elsewhere.

mod baseline;
mod events;
mod figures;
mod goals;
mod half_price;
mod http;
mod idle;
mod load;
mod paces;
mod postgres;
mod redis;
mod run;
mod stand;
mod usage;

use anyhow::{Context as _, bail};
use cli::servers::{Reach, Servers};
use futures_util::FutureExt as _;
use run::Plan;
use serde_json::{Value, json};
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
    let wish = read_arguments()?;
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
        outcome = AssertUnwindSafe(measured(&folder.0, &servers, &wish)).catch_unwind() => outcome,
        error = stopped => Ok(Err(error)),
    };
    servers.stop().await;
    let answer = outcome.unwrap_or_else(|_| Err(anyhow::anyhow!("the benchmark panicked")))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{answer:#}")?;
    Ok(out.flush()?)
}

/// What is to be measured.
enum Wish {
    /// Orders at pace now.
    Orders(Plan),
    /// So many asks at pace batch, and one broadcast at each pace.
    HalfPrice(usize),
}

async fn measured(folder: &Path, servers: &Servers, wish: &Wish) -> anyhow::Result<Value> {
    match wish {
        Wish::Orders(plan) => run::measured(folder, servers, plan).await,
        Wish::HalfPrice(items) => {
            let paces = paces::measured(folder, servers).await?;
            Ok(json!({ "paces": paces, "batch": half_price::measured(folder, servers, *items).await? }))
        }
    }
}

fn read_arguments() -> anyhow::Result<Wish> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => Ok(Wish::Orders(Plan::FULL)),
        ["--quick"] => Ok(Wish::Orders(Plan::QUICK)),
        ["--half-price"] => Ok(Wish::HalfPrice(100_000)),
        ["--half-price", items] => {
            let items = items.parse().with_context(|| format!("{items:?} is no number of items"))?;
            Ok(Wish::HalfPrice(items))
        }
        _ => bail!("unknown words; there are --quick and --half-price [ITEMS]"),
    }
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
