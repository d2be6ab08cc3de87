//! What the gateway is told by its environment. Refuses what contradicts itself.

use boot::{Common, ConfigError, Reader, Variable, Vars};
use secrecy::SecretString;
use std::{net::SocketAddr, path::PathBuf};

/// The gateway's settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// What all services have.
    pub common: Common,
    /// `GATEWAY_ADDR`: where the API listens; default `0.0.0.0:5002`. Port 0 takes a free one.
    pub addr: SocketAddr,
    /// `DATABASE_URL`: Postgres.
    pub database_url: SecretString,
    /// `DATABASE_CONNECTIONS`: the most connections to Postgres; default 8.
    pub database_connections: usize,
    /// `REDIS_URL`: Redis.
    pub redis_url: SecretString,
    /// `REDIS_PREFIX`: what every key in Redis starts with; default `chavion:`.
    pub redis_prefix: String,
    /// `EVENT_CLIENTS`: the most event streams and long polls open at once; default 1000.
    pub event_clients: usize,
    /// `FIRST_KEY_FILE`: where the first master key is written, for its owner's eyes alone; default: standard output.
    pub first_key_file: Option<PathBuf>,
    shown: Vec<Variable>,
}

impl Config {
    /// Reads the variables.
    ///
    /// # Errors
    /// Everything that is wrong with them, at once.
    pub fn read(vars: &dyn Vars) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(vars);
        let common = Common::read(&mut reader, "127.0.0.1:5003");
        let addr = reader.address("GATEWAY_ADDR", "where the API listens", "0.0.0.0:5002");
        let database_url = reader.secret_url("DATABASE_URL", "Postgres", &["postgres", "postgresql"]);
        let database_connections = reader.count("DATABASE_CONNECTIONS", "the most connections to Postgres", 8, 1..=200);
        let redis_url = reader.secret_url("REDIS_URL", "Redis", &["redis", "unix", "redis+unix"]);
        let redis_prefix = reader.text("REDIS_PREFIX", "what every key in Redis starts with", "chavion:");
        let event_clients =
            reader.count("EVENT_CLIENTS", "the most event streams and long polls open at once", 1000, 1..=100_000);
        let about = "the file the first master key is written to (default: standard output)";
        let first_key_file = reader.text_optional("FIRST_KEY_FILE", about).map(PathBuf::from);
        if addr.port() != 0 && addr.port() == common.admin_addr.port() {
            reader.refuse("GATEWAY_ADDR", "has the port of ADMIN_ADDR", "two different ports");
        }
        let shown = reader.finish()?;
        Ok(Self {
            common,
            addr,
            database_url,
            database_connections,
            redis_url,
            redis_prefix,
            event_clients,
            first_key_file,
            shown,
        })
    }

    /// Returns the variables in force, secrets masked.
    #[must_use]
    pub fn shown(&self) -> &[Variable] {
        &self.shown
    }
}
