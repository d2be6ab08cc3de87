//! What the orchestrator is told by its environment and its files. Refuses what contradicts itself.

use boot::{Common, ConfigError, Reader, Variable, Vars};
use domain::roster::Roster;
use providers::Catalogue;
use secrecy::SecretString;
use std::{collections::HashMap, path::PathBuf, time::Duration};

/// The orchestrator's settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// What all services have.
    pub common: Common,
    /// `DATABASE_URL`: Postgres.
    pub database_url: SecretString,
    /// `DATABASE_CONNECTIONS`: the most connections to Postgres; default 8.
    pub database_connections: usize,
    /// `REDIS_URL`: Redis.
    pub redis_url: SecretString,
    /// `REDIS_PREFIX`: what every key in Redis starts with; default `chavion:`.
    pub redis_prefix: String,
    /// `LEASE_SECONDS`: how long a claimed task stays ours without a renewal; default 30.
    pub lease: Duration,
    /// `STALE_SECONDS`: how long an announced task may sit before the sweep announces it again; default 60.
    pub stale: Duration,
    /// `SWEEP_SECONDS`: how often the sweep looks; default 5.
    pub sweep: Duration,
    /// `ASK_CONCURRENCY`: asks in flight at once in this replica; default 256.
    pub ask_concurrency: usize,
    /// The agents and their departments, from `AGENTS_FILE` or built in.
    pub roster: Roster,
    /// The providers, their models and prices, from `PROVIDERS_FILE` or built in.
    pub catalogue: Catalogue,
    /// Keys and base URLs of the providers, by the variable names that the catalogue gives.
    pub provider_vars: HashMap<String, SecretString>,
    /// `PLAYBOOKS_DIR`: a folder of playbooks besides the built-in ones; default none.
    pub playbooks_dir: Option<PathBuf>,
    /// `WEBHOOK_SECRET`: signs the reports that go to webhooks; without it none is sent.
    pub webhook_secret: Option<SecretString>,
    shown: Vec<Variable>,
}

impl Config {
    /// Reads the variables and the files that they name.
    ///
    /// # Errors
    /// Everything that is wrong with them, at once.
    pub fn read(vars: &dyn Vars) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(vars);
        let common = Common::read(&mut reader, "127.0.0.1:5004");
        let database_url = reader.secret_url("DATABASE_URL", "Postgres", &["postgres", "postgresql"]);
        let database_connections = reader.count("DATABASE_CONNECTIONS", "the most connections to Postgres", 8, 4..=200);
        let redis_url = reader.secret_url("REDIS_URL", "Redis", &["redis", "rediss", "unix", "redis+unix"]);
        let redis_prefix = reader.text("REDIS_PREFIX", "what every key in Redis starts with", "chavion:");
        let about = "seconds a claimed task stays ours without a renewal";
        let lease = reader.duration_seconds("LEASE_SECONDS", about, 30, 1..=3600);
        let about = "seconds an announced task may sit before it is announced again";
        let stale = reader.duration_seconds("STALE_SECONDS", about, 60, 1..=3600);
        let sweep = reader.duration_seconds("SWEEP_SECONDS", "seconds between two sweeps", 5, 1..=600);
        let ask_concurrency = reader.count("ASK_CONCURRENCY", "asks in flight at once", 256, 1..=10_000);
        let roster = read_roster(&mut reader);
        let catalogue = read_catalogue(&mut reader);
        let about = "a folder of playbooks besides the built-in ones";
        let playbooks_dir = reader.text_optional("PLAYBOOKS_DIR", about).map(PathBuf::from);
        if playbooks_dir.as_ref().is_some_and(|folder| !folder.is_dir()) {
            reader.refuse("PLAYBOOKS_DIR", "is not a folder", "the path of a folder that holds *.toml files");
        }
        let webhook_secret = reader.secret_optional("WEBHOOK_SECRET", "signs the reports that go to webhooks");
        let provider_vars = catalogue.as_ref().map(|it| reader.those_set(&it.variables())).unwrap_or_default();
        if sweep > stale {
            reader.refuse(
                "SWEEP_SECONDS",
                "is longer than STALE_SECONDS",
                "a sweep at least as often as tasks grow stale",
            );
        }
        let shown = reader.finish()?;
        let (Some(roster), Some(catalogue)) = (roster, catalogue) else {
            // Whatever was refused above has made `finish` fail already.
            return Err(ConfigError { problems: Vec::new(), variables: shown });
        };
        Ok(Self {
            common,
            database_url,
            database_connections,
            redis_url,
            redis_prefix,
            lease,
            stale,
            sweep,
            ask_concurrency,
            roster,
            catalogue,
            provider_vars,
            playbooks_dir,
            webhook_secret,
            shown,
        })
    }

    /// Where Postgres is.
    pub(crate) fn store_options(&self) -> store::Options {
        store::Options {
            url: self.database_url.clone(),
            max_connections: self.database_connections,
            application_name: "orchestrator".to_owned(),
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

/// The agents of every installation that names no others.
const AGENTS: &str = include_str!("../agents.toml");

fn read_roster(reader: &mut Reader<'_>) -> Option<Roster> {
    let about = "agents and departments (default: built in)";
    reader.file("AGENTS_FILE", about, "a file like the built-in agents.toml", |file| {
        let (name, text) = file.unwrap_or(("agents.toml", AGENTS));
        Roster::parse(name, text)
    })
}

fn read_catalogue(reader: &mut Reader<'_>) -> Option<Catalogue> {
    let about = "providers, models and prices (default: built in)";
    reader.file("PROVIDERS_FILE", about, "a file like the built-in providers.toml", |file| {
        file.map_or_else(Catalogue::built_in, |(name, text)| Catalogue::parse(name, text))
    })
}
