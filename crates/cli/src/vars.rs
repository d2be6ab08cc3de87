//! The process environment with what `chavion up` fills in. Refuses to read anything else.

use crate::args::Place;
use boot::{Environment, Vars};
use std::{collections::BTreeMap, path::PathBuf};

/// Variables of the environment, and those that stand in where it says nothing.
#[derive(Debug, Default)]
pub(crate) struct Filled {
    defaults: BTreeMap<String, String>,
}

impl Filled {
    /// Sets what holds when the environment does not say otherwise.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.defaults.insert(name.to_owned(), value.into());
    }
}

impl Vars for Filled {
    fn get(&self, name: &str) -> Option<String> {
        given(name).or_else(|| self.defaults.get(name).cloned())
    }
}

/// Reads a variable; an empty one counts as not set.
pub(crate) fn given(name: &str) -> Option<String> {
    Environment.get(name).filter(|text| !text.trim().is_empty())
}

impl Place {
    /// Returns the data folder.
    pub(crate) fn folder(&self) -> PathBuf {
        if let Some(folder) = self.data.clone().or_else(|| given("CHAVION_DATA").map(PathBuf::from)) {
            return folder;
        }
        // Root's home is closed to the user that Postgres runs as.
        if rustix::process::geteuid().is_root() {
            return PathBuf::from("/var/lib/chavion");
        }
        let share = given("XDG_DATA_HOME").map(PathBuf::from);
        share.unwrap_or_else(|| PathBuf::from(given("HOME").unwrap_or_default()).join(".local/share")).join("chavion")
    }

    /// Returns the server's base URL, without a slash at its end.
    pub(crate) fn server(&self) -> String {
        let url = self.url.clone().or_else(|| given("CHAVION_URL"));
        url.unwrap_or_else(|| "http://127.0.0.1:5002".to_owned()).trim_end_matches('/').to_owned()
    }
}
