//! What the batch-poller is told by its environment and its file. Refuses what contradicts itself.

use boot::{Common, ConfigError, Reader, Variable, Vars};
use providers::Catalogue;
use secrecy::SecretString;
use std::{collections::HashMap, time::Duration};

/// The batch-poller's settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// What all services have.
    pub common: Common,
    /// `DATABASE_URL`: Postgres.
    pub database_url: SecretString,
    /// `DATABASE_CONNECTIONS`: the most connections to Postgres; default 4.
    pub database_connections: usize,
    /// `REDIS_URL`: Redis.
    pub redis_url: SecretString,
    /// `REDIS_PREFIX`: what every key in Redis starts with; default `chavion:`.
    pub redis_prefix: String,
    /// `LEASE_SECONDS`: how long a batch, or an entry of a dead replica, waits for another; default 30.
    pub lease: Duration,
    /// `BATCH_WINDOW_SECONDS`: how long an ask waits for others of its provider; default 30.
    pub window: Duration,
    /// `BATCH_POLL_SECONDS`: the longest pause between two looks at a batch; default 60.
    pub poll: Duration,
    /// `BATCH_PATIENCE_SECONDS`: the age at which a batch is cancelled; default 93,600 (26 h).
    pub patience: Duration,
    /// `LOOKUP_GRACE_SECONDS`: how long a create may be on its way, and how long after that the absence of what it was
    /// to make is believed; default 60.
    pub grace: Duration,
    /// `BATCH_TRIES`: batches that an ask may fail in before it is asked at pace now; default 3.
    pub tries: u32,
    /// The providers, their models and prices, from `PROVIDERS_FILE` or built in.
    pub catalogue: Catalogue,
    /// Keys and base URLs of the providers, by the variable names that the catalogue gives.
    pub provider_vars: HashMap<String, SecretString>,
    shown: Vec<Variable>,
}

impl Config {
    /// Reads the variables and the file that they name.
    ///
    /// # Errors
    /// Everything that is wrong with them, at once.
    pub fn read(vars: &dyn Vars) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(vars);
        let common = Common::read(&mut reader, "127.0.0.1:5006");
        let database_url = reader.secret_url("DATABASE_URL", "Postgres", &["postgres", "postgresql"]);
        let database_connections = reader.count("DATABASE_CONNECTIONS", "the most connections to Postgres", 4, 2..=200);
        let redis_url = reader.secret_url("REDIS_URL", "Redis", &["redis", "rediss", "unix", "redis+unix"]);
        let redis_prefix = reader.text("REDIS_PREFIX", "what every key in Redis starts with", "chavion:");
        let about = "seconds that a batch, or an entry of a dead replica, waits for another";
        let lease = reader.duration_seconds("LEASE_SECONDS", about, 30, 1..=3600);
        let about = "seconds that an ask waits for others of its provider before they go as a batch";
        let window = reader.duration_seconds("BATCH_WINDOW_SECONDS", about, 30, 0..=86_400);
        let about = "the longest pause between two looks at a batch, in seconds";
        let poll = reader.duration_seconds("BATCH_POLL_SECONDS", about, 60, 0..=3600);
        let about = "the age in seconds at which a batch is cancelled and its asks go other ways";
        let patience = reader.duration_seconds("BATCH_PATIENCE_SECONDS", about, 93_600, 1..=604_800);
        let about =
            "seconds that a create of unknown outcome may be on its way, and again until its absence is believed";
        let grace = reader.duration_seconds("LOOKUP_GRACE_SECONDS", about, 60, 0..=3600);
        let about = "batches that an ask may fail in before it is asked at pace now";
        let tries = reader.count("BATCH_TRIES", about, 3, 1..=10);
        let about = "providers, models and prices (default: built in)";
        let catalogue = reader.file("PROVIDERS_FILE", about, "a file like the built-in providers.toml", |file| {
            file.map_or_else(Catalogue::built_in, |(name, text)| Catalogue::parse(name, text))
        });
        let provider_vars = catalogue.as_ref().map(|it| reader.those_set(&it.variables())).unwrap_or_default();
        if poll < Duration::from_millis(10) {
            reader.refuse("BATCH_POLL_SECONDS", "is too short", "at least 0.01");
        }
        let shown = reader.finish()?;
        let Some(catalogue) = catalogue else {
            // What was refused above has made `finish` fail already.
            return Err(ConfigError { problems: Vec::new(), variables: shown });
        };
        let tries = u32::try_from(tries).unwrap_or(u32::MAX);
        Ok(Self {
            common,
            database_url,
            database_connections,
            redis_url,
            redis_prefix,
            lease,
            window,
            poll,
            patience,
            grace,
            tries,
            catalogue,
            provider_vars,
            shown,
        })
    }

    /// Where Postgres is.
    pub(crate) fn store_options(&self) -> store::Options {
        store::Options {
            url: self.database_url.clone(),
            max_connections: self.database_connections,
            application_name: "batch-poller".to_owned(),
        }
    }

    /// Where Redis is.
    pub(crate) fn bus_options(&self) -> bus::Options {
        bus::Options {
            url: self.redis_url.clone(),
            prefix: self.redis_prefix.clone(),
            replica: self.common.replica.clone(),
        }
    }

    /// Returns the variables in force, secrets masked.
    #[must_use]
    pub fn shown(&self) -> &[Variable] {
        &self.shown
    }
}
