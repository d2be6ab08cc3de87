//! A private Redis and Postgres from the machine's packages, in a data folder. Refuses to touch servers that it
//! did not start.
//!
//! A command in the sandbox may have the servers' own uid (when nobody here is root) and an older kernel lets it
//! open their unix sockets: so a password, which the sandbox cannot read, stands before both.

mod leftover;
mod password;
mod place;
mod postgres;
mod programs;
mod redis;

use crate::{
    FAILED, REFUSED, UNREACHABLE,
    client::{Done, Trouble, done},
};
use anyhow::bail;
use place::Place;
pub(crate) use place::{check_reachable, make_open};
pub(crate) use programs::find;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::File,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::process::{Child, Command};

/// How long a server may take to answer: a first start of Postgres after a crash replays its log.
const PATIENCE: Duration = Duration::from_secs(60);

/// The two servers, running; they end with [`Servers::stop`], or with this process.
pub struct Servers {
    /// What `DATABASE_URL` would say; holds a password when the servers are guarded.
    pub database_url: String,
    /// What `REDIS_URL` would say; holds a password when the servers are guarded.
    pub redis_url: String,
    postgres: (Child, PathBuf),
    redis: (Child, PathBuf),
    /// Held while the folder is in use: two masters of one folder would ruin it.
    _lock: File,
}

impl Servers {
    /// Starts both servers on a data folder, which is made when it is missing. Whoever reaches them needs no
    /// password: for tests and measurements, which speak to them by hand.
    ///
    /// # Errors
    /// When a program is not installed, the folder is in use or cannot be used, or a server does not start:
    /// each says what to do.
    pub async fn start(folder: &Path, reach: Reach) -> anyhow::Result<Self> {
        Self::begin(folder, reach, false).await
    }

    /// Starts both servers as [`Servers::start`] does, behind a password that only the data folder's owner and
    /// the URLs know.
    ///
    /// # Errors
    /// As [`Servers::start`].
    pub async fn start_guarded(folder: &Path, reach: Reach) -> anyhow::Result<Self> {
        Self::begin(folder, reach, true).await
    }

    async fn begin(folder: &Path, reach: Reach, guarded: bool) -> anyhow::Result<Self> {
        programs::check_installed()?;
        let place = Place::prepare(folder)?;
        let lock = place.lock()?;
        let place = place.furnish(reach, guarded)?;
        let (database_url, redis_url) = (postgres::url(&place), redis::url(&place));
        match tokio::join!(postgres::start(&place), redis::start(&place)) {
            (Ok(postgres), Ok(redis)) => Ok(Self { database_url, redis_url, postgres, redis, _lock: lock }),
            (postgres, redis) => {
                let mut failed = Vec::new();
                for (started, name) in [(redis, "redis-server"), (postgres, "postgres")] {
                    match started {
                        Ok((mut child, _)) => end(&mut child, name).await,
                        Err(error) => failed.push(format!("{error:#}")),
                    }
                }
                failed.extend(place.scant_room());
                bail!("{}", failed.join("; "))
            }
        }
    }

    /// Waits until one of them ends although nobody asked it to, and returns what it said last.
    pub(crate) async fn until_broken(&mut self) -> anyhow::Error {
        let ((postgres, of_postgres), (redis, of_redis)) = (&mut self.postgres, &mut self.redis);
        let (name, status, log) = tokio::select! {
            status = postgres.wait() => ("postgres", status, of_postgres),
            status = redis.wait() => ("redis-server", status, of_redis),
        };
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        anyhow::anyhow!("the private {name} ended with {status}: {}", last_words(log))
    }

    /// Ends both, Postgres with a clean checkpoint.
    pub async fn stop(mut self) {
        end(&mut self.redis.0, "redis-server").await;
        end(&mut self.postgres.0, "postgres").await;
    }
}

/// Runs a command with `DATABASE_URL` and `REDIS_URL` of private servers that end with it; returns its code.
pub(crate) async fn with(place: &crate::args::Place, command: &[String]) -> Done {
    let trouble = |error: anyhow::Error| Trouble::new(UNREACHABLE, format!("{error:#}"));
    let servers = Servers::start_guarded(&place.folder()?, Reach::Loopback).await.map_err(trouble)?;
    let [program, arguments @ ..] = command else { return done() };
    let ran = Command::new(program)
        .args(arguments)
        .env("DATABASE_URL", &servers.database_url)
        .env("REDIS_URL", &servers.redis_url)
        .status()
        .await;
    servers.stop().await;
    let status = ran.map_err(|error| Trouble::new(REFUSED, format!("{program} cannot be started: {error}")))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(FAILED))
}

/// How the servers can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// By unix sockets in a folder that only their user and root may enter.
    Sockets,
    /// Also by free ports of the loopback address: for tests, which put proxies before them.
    Loopback,
}

/// Asks a server to end, and kills it when it does not.
async fn end(child: &mut Child, name: &str) {
    if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        // An error means that it has ended already.
        let _ = kill_process(pid, Signal::INT);
    }
    if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
        tracing::warn!(name, "the server did not end in time and is killed");
        let _ = child.kill().await;
    }
}

/// Waits until a started server answers; its log explains when it does not. What `answers` fails with ends the
/// waiting: no time mends it.
async fn until_ready<F, Fut>(child: &mut Child, log: &Path, name: &str, answers: F) -> anyhow::Result<()>
where
    F: Fn() -> Fut,
    Fut: Future<Output = anyhow::Result<bool>>,
{
    let start = Instant::now();
    loop {
        if answers().await? {
            return Ok(());
        }
        if let Some(status) = child.try_wait()? {
            bail!("{name} ended with {status}: {}", last_words(log));
        }
        if start.elapsed() > PATIENCE {
            bail!("{name} did not answer within {} s: {}", PATIENCE.as_secs(), last_words(log));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    let last: Vec<&str> = lines.into_iter().rev().collect();
    format!("{} (all of it in {})", last.join(" | "), log.display())
}
