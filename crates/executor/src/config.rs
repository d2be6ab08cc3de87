//! What the executor is told by its environment. Refuses what contradicts itself.

use crate::limits;
use boot::{Common, ConfigError, Reader, Variable, Vars};
use sandbox::{Layer, Limits};
use secrecy::SecretString;
use std::{path::PathBuf, time::Duration};

/// The executor's settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// What all services have.
    pub common: Common,
    /// `DATABASE_URL`: Postgres.
    pub database_url: SecretString,
    /// `REDIS_URL`: Redis.
    pub redis_url: SecretString,
    /// `REDIS_PREFIX`: what every key in Redis starts with; default `chavion:`.
    pub redis_prefix: String,
    /// `LEASE_SECONDS`: how long a claimed command stays ours without a renewal; default 30.
    pub lease: Duration,
    /// `WORK_DIR`: where commands get their folders; default `/var/lib/chavion/work`.
    pub work_dir: PathBuf,
    /// `COMMAND_CONCURRENCY`: commands that run at once in this replica; default 5.
    pub concurrency: usize,
    /// `COMMAND_LIMITS`: what each command may use up at most.
    pub limits: Limits,
    /// `SANDBOX_READ`: folders that commands may read and execute besides the system's; default none.
    pub read: Vec<PathBuf>,
    /// `SANDBOX_REQUIRE`: layers without which nothing is run, besides those that are never optional; default none.
    pub require: Vec<Layer>,
    /// The program that serves as launcher of the sandbox; this very program.
    pub launcher: PathBuf,
    shown: Vec<Variable>,
}

impl Config {
    /// Reads the variables.
    ///
    /// # Errors
    /// Everything that is wrong with them, at once.
    pub fn read(vars: &dyn Vars) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(vars);
        let common = Common::read(&mut reader, "127.0.0.1:5051");
        let database_url = reader.secret_url("DATABASE_URL", "Postgres", &["postgres", "postgresql"]);
        let redis_url = reader.secret_url("REDIS_URL", "Redis", &["redis", "unix", "redis+unix"]);
        let redis_prefix = reader.text("REDIS_PREFIX", "what every key in Redis starts with", "chavion:");
        let about = "seconds a claimed command stays ours without a renewal";
        let lease = reader.duration_seconds("LEASE_SECONDS", about, 30, 1..=3600);
        let about = "where commands get their folders; root's commands must be able to pass every folder above";
        let work_dir = PathBuf::from(reader.text("WORK_DIR", about, "/var/lib/chavion/work"));
        if !work_dir.is_absolute() {
            reader.refuse("WORK_DIR", "is not absolute", "a path such as /var/lib/chavion/work");
        }
        let concurrency = reader.count("COMMAND_CONCURRENCY", "commands that run at once", 5, 1..=1000);
        let text = reader.text("COMMAND_LIMITS", limits::ABOUT, limits::DEFAULT);
        let limits = limits::parse(&text).unwrap_or_else(|problem| {
            reader.refuse("COMMAND_LIMITS", &problem, &format!("pairs such as {}", limits::DEFAULT));
            Limits::default()
        });
        let about = "folders that commands may read and execute besides the system's, with colons between";
        let read = words(&reader.text("SANDBOX_READ", about, ""), ':').map(PathBuf::from).collect::<Vec<_>>();
        for path in read.iter().filter(|path| !path.is_absolute() || !path.exists()) {
            reader.refuse("SANDBOX_READ", &format!("{} is not there", path.display()), "absolute paths that exist");
        }
        let about = "layers without which nothing is run: identity, network, scope, with commas between";
        let require = layers(&mut reader, about);
        let shown = reader.finish()?;
        let launcher = PathBuf::from("/proc/self/exe");
        Ok(Self {
            common,
            database_url,
            redis_url,
            redis_prefix,
            lease,
            work_dir,
            concurrency,
            limits,
            read,
            require,
            launcher,
            shown,
        })
    }

    /// Returns the variables in force, secrets masked.
    #[must_use]
    pub fn shown(&self) -> &[Variable] {
        &self.shown
    }
}

fn layers(reader: &mut Reader<'_>, about: &str) -> Vec<Layer> {
    let text = reader.text("SANDBOX_REQUIRE", about, "");
    let find = |word: &str| Layer::ALL.iter().copied().find(|layer| layer.as_str() == word);
    for unknown in words(&text, ',').filter(|word| find(word).is_none()) {
        let known: Vec<&str> = Layer::ALL.iter().map(|layer| layer.as_str()).collect();
        reader.refuse("SANDBOX_REQUIRE", &format!("{unknown:?} is no layer"), &known.join(", "));
    }
    words(&text, ',').filter_map(find).collect()
}

fn words(text: &str, separator: char) -> impl Iterator<Item = &str> {
    text.split(separator).map(str::trim).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn read(vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let mut all = BTreeMap::from([
            ("DATABASE_URL".to_owned(), "postgres://chavion:비밀@db/chavion".to_owned()),
            ("REDIS_URL".to_owned(), "redis://redis".to_owned()),
        ]);
        all.extend(vars.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())));
        Config::read(&all)
    }

    #[test]
    fn has_defaults_and_shows_no_secret() {
        let config = read(&[]).unwrap();
        assert_eq!(
            config.limits,
            Limits { output_bytes: 256 << 10, wall: Duration::from_secs(3600), ..Limits::default() }
        );
        assert_eq!((config.concurrency, config.common.admin_addr.port()), (5, 5051));
        assert!(config.shown().iter().all(|variable| !variable.value.contains("비밀")));
    }

    #[test]
    fn names_every_mistake() {
        let error = read(&[
            ("WORK_DIR", "작업"),
            ("COMMAND_LIMITS", "memory_mib=lots"),
            ("SANDBOX_READ", "/없음"),
            ("SANDBOX_REQUIRE", "network, 방화벽"),
        ])
        .unwrap_err()
        .to_string();
        for word in ["WORK_DIR", "memory_mib", "/없음", "방화벽"] {
            assert!(error.contains(word), "{word}: {error}");
        }
        assert_eq!(error.lines().count(), 4);
        let config = read(&[("SANDBOX_REQUIRE", "network,scope"), ("SANDBOX_READ", "/usr:/bin")]).unwrap();
        assert_eq!(config.require, [Layer::Network, Layer::Scope]);
        assert_eq!(config.read.len(), 2);
    }
}
