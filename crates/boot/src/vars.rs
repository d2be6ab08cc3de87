//! Where a variable's text comes from. Refuses to know what any variable means.

use std::collections::BTreeMap;

/// A lookup of configuration variables, so that tests pass a map and never touch the process environment.
pub trait Vars {
    /// Returns the variable's text, or `None` when it is not set.
    fn get(&self, name: &str) -> Option<String>;
}

/// The variables of this process.
#[derive(Clone, Copy, Debug)]
pub struct Environment;

impl Vars for Environment {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the process environment")]
    fn get(&self, name: &str) -> Option<String> {
        std::env::var_os(name).map(|text| text.to_string_lossy().into_owned())
    }
}

impl Vars for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name).cloned()
    }
}
