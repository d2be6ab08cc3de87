//! The private Postgres: a cluster that is made at first use, whole or not at all.

use super::{Place, leftover, password, programs::need, until_ready};
use anyhow::{Context as _, bail};
use secrecy::{ExposeSecret as _, SecretString};
use std::{
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::{io::AsyncWriteExt as _, process::Child};

const USER: &str = "chavion";

/// What `DATABASE_URL` would say.
pub(super) fn url(place: &Place) -> String {
    let sockets = place.sockets.display();
    let password = place.guard.as_ref().map(|guard| guard.password.expose_secret());
    match (place.ports, password) {
        (None, None) => format!("postgresql:///postgres?user={USER}&host={sockets}"),
        (None, Some(password)) => format!("postgresql:///postgres?user={USER}&password={password}&host={sockets}"),
        (Some((port, _)), None) => format!("postgresql://{USER}@127.0.0.1:{port}/postgres"),
        (Some((port, _)), Some(password)) => format!("postgresql://{USER}:{password}@127.0.0.1:{port}/postgres"),
    }
}

/// Makes the cluster when there is none, and starts its server.
pub(super) async fn start(place: &Place) -> anyhow::Result<(Child, PathBuf)> {
    let postgres = need("postgres")?;
    let data = place.folder.join("postgres");
    if data.join("PG_VERSION").exists() {
        refuse_other_version(&postgres, &data).await?;
        leftover::until_gone("postgres", &data.join("postmaster.pid"), &data).await?;
        adopt(place, &postgres, &data).await?;
    } else {
        create(place, &data).await?;
    }
    let (log, sink) = place.log("postgres.log")?;
    let mut command = place.command(&postgres);
    command.arg("-D").arg(&data).arg("-k").arg(&place.sockets);
    command.arg("-c").arg(format!("hba_file={}", rules(place)?));
    match place.ports {
        None => command.args(["-c", "listen_addresses=", "-c", "max_connections=100"]),
        // Tests run side by side, each with pools of its own, and lose nothing that must last.
        Some((port, _)) => {
            command.args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=400", "-p", &port.to_string()])
        }
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
    let mut child = command.stdout(Stdio::null()).stderr(sink).spawn().context("postgres cannot be started")?;
    let url = SecretString::from(url(place));
    until_ready(&mut child, &log, "postgres", || answers(place, &url)).await?;
    Ok((child, log))
}

/// Makes a cluster beside its place and moves it there when it is whole.
async fn create(place: &Place, data: &Path) -> anyhow::Result<()> {
    let initdb = need("initdb")?;
    let fresh = place.folder.join("postgres.new");
    if fresh.exists() {
        std::fs::remove_dir_all(&fresh).with_context(|| format!("{} cannot be removed", fresh.display()))?;
    }
    place.make_private(&fresh)?;
    let mut command = place.command(&initdb);
    command.arg("-D").arg(&fresh).args(["-U", USER, "-E", "UTF8", "--locale=C.UTF-8"]);
    let note = place.sockets.join("verifier");
    if let Some(guard) = &place.guard {
        password::keep(&place.folder, &guard.password)?;
        place.write_private(&note, &password::verifier(&guard.password))?;
        command.args(["-A", "scram-sha-256"]).arg("--pwfile").arg(&note);
    } else {
        command.args(["-A", "trust"]);
    }
    let made = command.output().await.context("initdb cannot be started");
    // It may never have been there.
    let _ = std::fs::remove_file(&note);
    let made = made?;
    if !made.status.success() {
        bail!("initdb failed: {}", String::from_utf8_lossy(&made.stderr).trim());
    }
    std::fs::rename(&fresh, data).with_context(|| format!("{} is there and is no cluster", data.display()))
}

/// Sets the password of a cluster whose folder keeps none: it was made before passwords, or the file was lost.
async fn adopt(place: &Place, postgres: &Path, data: &Path) -> anyhow::Result<()> {
    let Some(guard) = place.guard.as_ref().filter(|guard| !guard.is_kept) else { return Ok(()) };
    let verifier = password::verifier(&guard.password);
    let mut command = place.command(postgres);
    command.arg("--single").arg("-D").arg(data).arg("postgres");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("postgres cannot be started")?;
    if let Some(mut input) = child.stdin.take() {
        // Where it has ended already, its own words tell why.
        let _ = input.write_all(format!("alter role {USER} password '{verifier}'\n").as_bytes()).await;
    }
    let ended = child.wait_with_output().await?;
    let said = String::from_utf8_lossy(&ended.stderr).replace(&verifier, "***");
    if !ended.status.success() || said.contains("ERROR:") {
        bail!("no password could be set for the cluster in {}: {}", data.display(), said.trim());
    }
    tracing::info!("the cluster had no password; it has one now");
    password::keep(&place.folder, &guard.password)
}

/// Writes who may connect, for this start alone, and returns the file's path.
fn rules(place: &Place) -> anyhow::Result<String> {
    let method = if place.guard.is_some() { "scram-sha-256" } else { "trust" };
    let path = place.sockets.join("pg_hba.conf");
    place.write_private(&path, &format!("local all all {method}\nhost all all 127.0.0.1/32 {method}\n"))?;
    Ok(path.display().to_string())
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

/// Asks for an answer; fails at once where the password is not the cluster's.
async fn answers(place: &Place, url: &SecretString) -> anyhow::Result<bool> {
    let options = store::Options { url: url.clone(), max_connections: 1, application_name: "chavion-up".to_owned() };
    let store = store::Store::connect(&options, &prometheus::Registry::new())?;
    match store.ping().await {
        Ok(()) => Ok(true),
        Err(error) if error.is_transient() => Ok(false),
        Err(error) => Err(error).with_context(|| {
            let file = password::file(&place.folder);
            format!(
                "Postgres refuses the password of {0}; remove {0} and start again: a new one is set",
                file.display()
            )
        }),
    }
}
