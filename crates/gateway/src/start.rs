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
    let made = loop {
        // One of several gateways that start together makes it; the id tells whether it was this one.
        match store.key_first(&first).await {
            Ok(made) => break made,
            Err(error) if error.is_transient() => pause = rest(pause, &error).await,
            Err(error) => return Err(error.into()),
        }
    };
    if made {
        if let Err(error) = show(first_key, key) {
            // A key that nobody saw would keep the next start from making one.
            store.key_revoke(id).await?;
            return Err(error);
        }
        tracing::info!("made the first master key");
    }
    started.send_replace(true);
    part.up();
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
        tracing::warn!(%error, "waiting");
    }
    tokio::time::sleep(pause).await;
    pause.saturating_mul(2).min(LONGEST_PAUSE)
}

fn show(place: FirstKey, key: SecretString) -> anyhow::Result<()> {
    match place {
        FirstKey::Handed(sender) => sender.send(key).map_err(|_| anyhow::anyhow!("nobody took the first master key")),
        FirstKey::File(path) => write(&path, &key).with_context(|| format!("FIRST_KEY_FILE {}", path.display())),
        FirstKey::Output => {
            let key = key.expose_secret();
            let mut out = std::io::stdout().lock();
            writeln!(out, "The first master key, shown this once: {key}")?;
            Ok(out.flush()?)
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
