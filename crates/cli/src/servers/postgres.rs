//! The private Postgres: made at first use, listening on a unix socket alone.

use super::{Place, need, until_ready};
use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tokio::process::Child;

const USER: &str = "chavion";

/// What `DATABASE_URL` would say.
pub(super) fn url(place: &Place) -> String {
    match place.ports {
        None => format!("postgresql:///postgres?user={USER}&host={}", place.sockets.display()),
        Some((port, _)) => format!("postgresql://{USER}@127.0.0.1:{port}/postgres"),
    }
}

/// Makes the cluster when there is none, and starts its server.
pub(super) async fn start(place: &Place) -> anyhow::Result<Child> {
    let postgres = need("postgres", "postgresql")?;
    let data = place.folder.join("postgres");
    if !data.join("PG_VERSION").exists() {
        create(place, &data).await?;
    }
    refuse_other_version(&postgres, &data).await?;
    until_gone(&data).await?;
    let (log, sink) = place.log("postgres.log")?;
    let mut command = place.command(&postgres);
    command.arg("-D").arg(&data).arg("-k").arg(&place.sockets);
    match place.ports {
        None => command.args(["-c", "listen_addresses=", "-c", "max_connections=100"]),
        // Tests run side by side, each with pools of its own, and lose nothing that must last.
        Some((port, _)) => command.args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=400"]).args(["-p", &port.to_string()]),
    };
    for setting in [
        "shared_buffers=64MB",
        "wal_level=minimal",
        "max_wal_senders=0",
        "jit=off",
        "autovacuum_naptime=15min",
        "log_min_messages=warning",
    ] {
        command.arg("-c").arg(setting);
    }
    let mut child = command.stdout(std::process::Stdio::null()).stderr(sink).spawn().context("postgres cannot be started")?;
    let url = url(place);
    until_ready(&mut child, &log, "postgres", || answers(&url)).await?;
    Ok(child)
}

async fn create(place: &Place, data: &Path) -> anyhow::Result<()> {
    let initdb = need("initdb", "postgresql")?;
    // Sockets live in a folder that only the owner may enter: `trust` trusts that owner.
    let made = place
        .command(&initdb)
        .arg("-D")
        .arg(data)
        .args(["-A", "trust", "-U", USER, "-E", "UTF8", "--locale=C.UTF-8"])
        .output()
        .await
        .context("initdb cannot be started")?;
    if !made.status.success() {
        bail!("initdb failed: {}", String::from_utf8_lossy(&made.stderr).trim());
    }
    Ok(())
}

/// A cluster belongs to one major version; starting another would fail with less clear words.
async fn refuse_other_version(postgres: &Path, data: &Path) -> anyhow::Result<()> {
    let kept = std::fs::read_to_string(data.join("PG_VERSION")).context("the cluster has no PG_VERSION")?;
    let said = tokio::process::Command::new(postgres).arg("--version").output().await?.stdout;
    let said = String::from_utf8_lossy(&said);
    let major = said.split_whitespace().find_map(|word| word.split('.').next().filter(|w| w.parse::<u32>().is_ok()));
    if major != Some(kept.trim()) {
        bail!(
            "the data folder was made by Postgres {}, but {} is {}; install that version or name another folder with --data",
            kept.trim(),
            postgres.display(),
            said.trim()
        );
    }
    Ok(())
}

/// Waits for a server that a killed master left behind: the folder's lock says that nobody else may have it.
async fn until_gone(data: &Path) -> anyhow::Result<()> {
    let start = Instant::now();
    loop {
        let file = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
        let pid = file.lines().next().and_then(|line| line.trim().parse().ok()).and_then(Pid::from_raw);
        let Some(pid) = pid.filter(|pid| is_ours(*pid, data)) else { return Ok(()) };
        // An error means that it has just ended.
        let _ = kill_process(pid, Signal::INT);
        if start.elapsed() > super::PATIENCE {
            bail!("the Postgres of an earlier start (process {}) does not end", pid.as_raw_nonzero());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Tells whether a process is a Postgres of this folder; its number may long be another's.
fn is_ours(pid: Pid, data: &Path) -> bool {
    let command = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).into_owned();
    command.contains("postgres") && command.split('\0').any(|word| Path::new(word) == data)
}

async fn answers(url: &str) -> bool {
    let options =
        store::Options { url: url.to_owned().into(), max_connections: 1, application_name: "chavion-up".to_owned() };
    match store::Store::connect(&options, &prometheus::Registry::new()) {
        Ok(store) => store.ping().await.is_ok(),
        Err(_) => false,
    }
}
