//! What the batch-poller is told by its environment. Refuses what contradicts itself.

use boot::{Common, ConfigError, Reader, Variable, Vars};
use secrecy::SecretString;
use std::time::Duration;

/// The batch-poller's settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// What all services have.
    pub common: Common,
    /// `DATABASE_URL`: Postgres.
    pub database_url: SecretString,
    /// `DATABASE_CONNECTIONS`: the most connections to Postgres; default 2.
    pub database_connections: usize,
    /// `REDIS_URL`: Redis.
    pub redis_url: SecretString,
    /// `REDIS_PREFIX`: what every key in Redis starts with; default `chavion:`.
    pub redis_prefix: String,
    /// `LEASE_SECONDS`: how long an entry of a dead replica waits for another; default 30.
    pub lease: Duration,
    shown: Vec<Variable>,
}

impl Config {
    /// Reads the variables.
    ///
    /// # Errors
    /// Everything that is wrong with them, at once.
    pub fn read(vars: &dyn Vars) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(vars);
        let common = Common::read(&mut reader, "127.0.0.1:5006");
        let database_url = reader.secret_url("DATABASE_URL", "Postgres", &["postgres", "postgresql"]);
        let database_connections = reader.count("DATABASE_CONNECTIONS", "the most connections to Postgres", 2, 1..=200);
        let redis_url = reader.secret_url("REDIS_URL", "Redis", &["redis", "unix", "redis+unix"]);
        let redis_prefix = reader.text("REDIS_PREFIX", "what every key in Redis starts with", "chavion:");
        let about = "seconds that an entry of a dead replica waits for another";
        let lease = reader.duration_seconds("LEASE_SECONDS", about, 30, 1..=3600);
        let shown = reader.finish()?;
        Ok(Self { common, database_url, database_connections, redis_url, redis_prefix, lease, shown })
    }

    /// Returns the variables in force, secrets masked.
    #[must_use]
    pub fn shown(&self) -> &[Variable] {
        &self.shown
    }
}
