//! Migrations: forward only, each once, each in its own transaction, one replica at a time. Refuses a database
//! that a newer program has migrated.

use crate::{
    connect::Store,
    error::Error,
    statement::{self, SCHEMA_CREATE, SCHEMA_PUT, SCHEMA_VERSION},
    transaction::{Durability, EXCLUSIVE, Transaction},
};
use sha2::{Digest, Sha256};
use std::{
    fmt::Write,
    time::{Duration, Instant},
};
use tokio_postgres::{Row, error::SqlState};

struct Migration {
    version: i32,
    name: &'static str,
    sql: &'static str,
}

macro_rules! migrations {
    ($($version:literal $name:literal),+ $(,)?) => {
        &[$(Migration { version: $version, name: $name, sql: include_str!(concat!("../migrations/", $name, ".sql")) }),+]
    };
}

/// All migrations, in order; the number in the name is the version.
const MIGRATIONS: &[Migration] = migrations![1 "0001_spine", 2 "0002_half_price"];

/// The version that this program was built for.
const KNOWN: i32 = {
    let [.., last] = MIGRATIONS else { panic!("there is a migration") };
    last.version
};

/// How long a starting service waits before it asks Postgres again.
const START_PAUSE: Duration = Duration::from_millis(50);

/// What a call of [`Store::migrate`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The names of the migrations that were applied, in order; empty when there was nothing to do.
    pub names: Vec<&'static str>,
    /// The version that the database has now.
    pub version: i32,
}

impl Store {
    /// Brings the schema to this program's version.
    ///
    /// # Errors
    /// [`Error::Version`] when the schema is newer, [`Error::Changed`] when it was made by other migrations.
    pub async fn migrate(&self) -> Result<Applied, Error> {
        let started = Instant::now();
        let mut names = Vec::new();
        let applied = loop {
            match self.migrate_once().await {
                Ok(Some(name)) => names.push(name),
                Ok(None) => break Ok(Applied { names, version: KNOWN }),
                Err(error) => break Err(error),
            }
        };
        self.metrics().observe(statement::MIGRATE, started, applied)
    }

    /// Waits until Postgres answers, however long that takes, and then refuses a schema of another version.
    ///
    /// # Errors
    /// As [`Store::check_version`], but none that trying again can mend.
    pub async fn until_current(&self) -> Result<(), Error> {
        let mut waiting = false;
        loop {
            match self.check_version().await {
                Err(error) if error.is_transient() => {
                    if !waiting {
                        tracing::warn!(%error, "Postgres does not answer; it is asked again until it does");
                        waiting = true;
                    }
                    tokio::time::sleep(START_PAUSE).await;
                }
                checked => return checked,
            }
        }
    }

    /// Refuses a schema of another version than this program's.
    ///
    /// # Errors
    /// [`Error::Version`] when it is newer or older, [`Error::Changed`] when it was made by other migrations.
    pub async fn check_version(&self) -> Result<(), Error> {
        let rows = match self.rows(&SCHEMA_VERSION, &[]).await {
            Err(Error::Statement { code: Some(code), .. }) if code == SqlState::UNDEFINED_TABLE => Vec::new(),
            rows => rows?,
        };
        match missing(&rows)? {
            None => Ok(()),
            Some(next) => Err(Error::Version { found: next.version - 1, known: KNOWN }),
        }
    }

    /// Applies the next missing migration, if there is one, and returns its name.
    async fn migrate_once(&self) -> Result<Option<&'static str>, Error> {
        let transaction = Transaction::on(self.client().await?);
        transaction.begin(EXCLUSIVE).await?;
        // Rewriting a table may take its time.
        transaction.script("set local statement_timeout = 0").await?;
        transaction.rows((&SCHEMA_CREATE, &[])).await?;
        let rows = transaction.rows((&SCHEMA_VERSION, &[])).await?;
        let Some(next) = missing(&rows)? else {
            transaction.end(Durability::Full).await?;
            return Ok(None);
        };
        transaction.script(next.sql).await?;
        transaction.rows((&SCHEMA_PUT, &[&next.version, &next.name, &checksum(next.sql)])).await?;
        transaction.end(Durability::Full).await?;
        tracing::info!(migration = next.name, "schema migrated");
        Ok(Some(next.name))
    }
}

/// Returns the first migration that the database lacks, after comparing those it has.
fn missing(rows: &[Row]) -> Result<Option<&'static Migration>, Error> {
    let mut known = MIGRATIONS.iter();
    for row in rows {
        let mut columns = crate::row::Columns::of(row, SCHEMA_VERSION.name);
        let (version, _name, found): (i32, &str, &str) = (columns.next()?, columns.next()?, columns.next()?);
        match known.next() {
            None => {
                // The list is in order, so the last row is the newest.
                let newest = rows
                    .last()
                    .map_or(Ok(version), |last| crate::row::Columns::of(last, SCHEMA_VERSION.name).next())?;
                return Err(Error::Version { found: newest, known: KNOWN });
            }
            Some(migration) if migration.version != version || checksum(migration.sql) != found => {
                return Err(Error::Changed { version });
            }
            Some(_) => {}
        }
    }
    Ok(known.next())
}

/// Returns the SHA-256 of a migration's text in hexadecimal.
fn checksum(sql: &str) -> String {
    Sha256::digest(sql.as_bytes()).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_without_a_gap_and_named_after_their_number() {
        for (expected, migration) in (1..).zip(MIGRATIONS) {
            assert_eq!(migration.version, expected);
            assert!(migration.name.starts_with(&format!("{expected:04}_")), "{}", migration.name);
        }
    }
}
