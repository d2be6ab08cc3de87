//! Where a variable's text comes from. Refuses to know what any variable means.

use std::collections::BTreeMap;
use std::path::Path;

/// A lookup of configuration variables, so that tests pass a map and never touch the process environment.
pub trait Vars {
    /// Returns the variable's text, or `None` when it is not set.
    fn get(&self, name: &str) -> Option<String>;
}

/// Names a folder whose files stand for variables: a file's name is the variable's, its text the value. A variable of
/// the environment that is not blank goes before the file. Containers and systemd hand over secrets like that.
const FOLDER: &str = "SECRETS_DIR";

/// The variables of this process, and behind them the files of the folder that `SECRETS_DIR` names.
#[derive(Clone, Copy, Debug)]
pub struct Environment;

impl Vars for Environment {
    fn get(&self, name: &str) -> Option<String> {
        let text = of_process(name);
        if text.as_ref().is_some_and(|text| !text.trim().is_empty()) {
            return text;
        }
        of_process(FOLDER).and_then(|folder| of_folder(Path::new(&folder), name)).or(text)
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the process environment")]
fn of_process(name: &str) -> Option<String> {
    std::env::var_os(name).map(|text| text.to_string_lossy().into_owned())
}

/// Reads a file that is named like a variable; other names are no files here.
fn of_folder(folder: &Path, name: &str) -> Option<String> {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    if !is_plain || name == FOLDER || !folder.is_absolute() {
        return None;
    }
    std::fs::read_to_string(folder.join(name)).ok()
}

impl Vars for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name).cloned()
    }
}
