//! The process environment with what `chavion up` fills in. Refuses to read anything else.

use crate::{REFUSED, args::Place, client::Trouble};
use boot::{Environment, Vars};
use std::{collections::BTreeMap, path::PathBuf};

/// Variables of the environment, and those that stand in where it says nothing. Some hold a password.
#[derive(Default)]
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
        let in_file = || given(&format!("{name}_FILE")).is_some();
        given(name).or_else(|| if in_file() { None } else { self.defaults.get(name).cloned() })
    }
}

/// Reads a variable; an empty one counts as not set.
pub(crate) fn given(name: &str) -> Option<String> {
    Environment.get(name).filter(|text| !text.trim().is_empty())
}

/// Tells whether a secret is set, or the file that holds it is named.
pub(crate) fn is_given(name: &str) -> bool {
    [name, &format!("{name}_FILE")].iter().any(|name| given(name).is_some())
}

impl Place {
    /// Returns the data folder.
    ///
    /// # Errors
    /// When nothing says where it should be.
    pub(crate) fn folder(&self) -> Result<PathBuf, Trouble> {
        if let Some(folder) = self.data.clone().or_else(|| given("CHAVION_DATA").map(PathBuf::from)) {
            return Ok(folder);
        }
        // Root's home is closed to the user that Postgres runs as.
        if rustix::process::geteuid().is_root() {
            return Ok(PathBuf::from("/var/lib/chavion"));
        }
        let share = given("XDG_DATA_HOME").map(PathBuf::from);
        let share = share.or_else(|| given("HOME").map(|home| PathBuf::from(home).join(".local/share")));
        let nowhere = "HOME is not set: name the data folder with --data or CHAVION_DATA";
        share.map(|share| share.join("chavion")).ok_or_else(|| Trouble::new(REFUSED, nowhere))
    }

    /// Tells whether somebody has said which data folder it is.
    pub(crate) fn names_folder(&self) -> bool {
        self.data.is_some() || given("CHAVION_DATA").is_some()
    }

    /// Returns the server's base URL, without a slash at its end.
    pub(crate) fn server(&self) -> String {
        let url = self.url.clone().or_else(|| given("CHAVION_URL"));
        url.unwrap_or_else(|| "http://127.0.0.1:5002".to_owned()).trim_end_matches('/').to_owned()
    }
}
