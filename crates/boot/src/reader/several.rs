//! Variables that come in company: the file that one names, and those that a catalogue names.

use super::Reader;
use secrecy::SecretString;
use std::collections::HashMap;
use std::fmt::Display;

impl Reader<'_> {
    /// Reads what the file that a variable names says. `read` gets the file's path and text, or nothing when the
    /// variable is not set. `None` when the file or its text is refused, which is noted.
    pub fn file<T, E: Display>(
        &mut self,
        name: &str,
        about: &str,
        expected: &str,
        read: impl FnOnce(Option<(&str, &str)>) -> Result<T, E>,
    ) -> Option<T> {
        let text = match self.text_optional(name, about) {
            None => None,
            Some(path) => match std::fs::read_to_string(&path) {
                Ok(text) => Some((path, text)),
                Err(error) => {
                    self.refuse(name, &format!("cannot be read: {error}"), "the path of a readable file");
                    return None;
                }
            },
        };
        read(text.as_ref().map(|(path, text)| (path.as_str(), text.as_str())))
            .map_err(|error| self.refuse(name, &format!("is refused: {error}"), expected))
            .ok()
    }

    /// Reads those of these variables that are set, so that the others are not shown. Each is a name, what it is
    /// for, and whether it is a secret.
    pub fn those_set(&mut self, variables: &[(String, String, bool)]) -> HashMap<String, SecretString> {
        let mut found = HashMap::new();
        for (name, about, secret) in variables {
            let is_set = |name: &str| self.vars.get(name).is_some();
            let value = match secret {
                true if is_set(name) || is_set(&format!("{name}_FILE")) => self.secret_optional(name, about),
                false if is_set(name) => self.text_optional(name, about).map(SecretString::from),
                _ => None,
            };
            found.extend(value.map(|value| (name.clone(), value)));
        }
        found
    }
}
