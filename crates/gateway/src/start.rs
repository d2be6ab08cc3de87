//! What happens before the first call is let in: the schema is checked and there is a master key.
//! Refuses to give up while Postgres is away, and to go on with a schema of another version.

use crate::keyring::{fresh_key, hash_of};
use anyhow::Context;
use boot::Part;
use bus::Bus;
use secrecy::{ExposeSecret, SecretString};
use std::{
    fs::{OpenOptions, Permissions},
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};
use store::{NewKey, Role, Store};
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// What the first master key is called.
const FIRST_KEY_NAME: &str = "first";

/// Where the first master key goes: the one time it is ever shown.
#[derive(Debug)]
pub(crate) enum FirstKey {
    /// To the process that this service is embedded in.
    Handed(oneshot::Sender<SecretString>),
    /// To a file that its owner alone can read.
    File(PathBuf),
    /// To standard output.
    Output,
}

/// Checks the schema, waiting for Postgres, and makes the first master key where there is none.
///
/// # Errors
/// When the schema is not this program's, or the key cannot be written.
pub(crate) async fn postgres(
    store: Store,
    first_key: FirstKey,
    part: Part,
    started: watch::Sender<bool>,
) -> anyhow::Result<()> {
    let mut pause = FIRST_PAUSE;
    while let Err(error) = store.check_version().await {
        if !error.is_transient() {
            return Err(error.into());
        }
        pause = rest(pause, &error).await;
    }
    let (id, key) = (Uuid::now_v7(), fresh_key());
    let hash = hash_of(key.expose_secret()).to_vec();
    let first = NewKey { id, name: FIRST_KEY_NAME.to_owned(), role: Role::Master, agent_name: None, hash };
    let mut is_shown = false;
    loop {
        // One of several gateways that start together makes it. It is shown before it is committed: a kill in between
        // leaves a key that nobody can use, never one that nobody knows.
        let show = || {
            if !is_shown {
                first_key.show(&key)?;
                is_shown = true;
            }
            anyhow::Ok(())
        };
        match store.key_first(&first, show).await {
            Ok(made) => {
                // An answer to the commit may have been lost, and another gateway have been faster than the next try.
                if !made? && is_shown && matches!(store.key_find(&first.hash).await, Ok(None)) {
                    tracing::warn!("the key that was shown here does not work: another gateway has made the first one");
                    is_shown = false;
                }
                break;
            }
            Err(error) if error.is_transient() => pause = rest(pause, &error).await,
            Err(error) => return Err(error.into()),
        }
    }
    if is_shown {
        tracing::info!("made the first master key");
    }
    started.send_replace(true);
    part.up();
    if is_shown && let FirstKey::Handed(sender) = first_key {
        // Who has gone since has no use for it.
        let _ = sender.send(key);
    }
    Ok(())
}

/// Waits for the first answer of Redis.
pub(crate) async fn redis(bus: Bus, part: Part) {
    let mut pause = FIRST_PAUSE;
    while let Err(error) = bus.ping().await {
        pause = rest(pause, &error).await;
    }
    part.up();
}

async fn rest(pause: Duration, error: &(dyn std::error::Error + Send + Sync)) -> Duration {
    if pause == FIRST_PAUSE {
        let mut said = error.to_string();
        let mut cause = error.source();
        while let Some(deeper) = cause {
            said = format!("{said}: {deeper}");
            cause = deeper.source();
        }
        tracing::warn!(error = said, "waiting");
    }
    tokio::time::sleep(pause).await;
    pause.saturating_mul(2).min(LONGEST_PAUSE)
}

impl FirstKey {
    fn show(&self, key: &SecretString) -> anyhow::Result<()> {
        match self {
            Self::Handed(sender) => {
                // Whoever lives and dies with this process gets it once it works.
                anyhow::ensure!(!sender.is_closed(), "nobody waits for the first master key");
                Ok(())
            }
            Self::File(path) => write(path, key).with_context(|| format!("FIRST_KEY_FILE {}", path.display())),
            Self::Output => {
                let key = key.expose_secret();
                let mut out = std::io::stdout().lock();
                writeln!(out, "The first master key, shown this once: {key}")?;
                Ok(out.flush()?)
            }
        }
    }
}

fn write(path: &Path, key: &SecretString) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // The file may have been there before, readable by others.
    file.set_permissions(Permissions::from_mode(0o600))?;
    writeln!(file, "{}", key.expose_secret())?;
    file.sync_all()
}
