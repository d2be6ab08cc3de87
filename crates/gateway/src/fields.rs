//! Takes the members of a body or the parameters of a query one by one and gathers everything that is
//! wrong with them, so that a caller is told all of it at once.

use crate::error::{Problem, Wrong};
use serde_json::{Map, Value};
use std::{fmt::Display, str::FromStr};

/// The longest name of an agent, in characters.
const MAX_NAME: usize = 64;

/// Names and values that are still to be taken, and what was wrong so far.
#[derive(Debug)]
pub(crate) struct Fields {
    left: Map<String, Value>,
    known: Vec<&'static str>,
    wrong: Vec<Wrong>,
}

impl Fields {
    /// Starts with nothing given.
    pub(crate) fn nothing() -> Self {
        Self { left: Map::new(), known: Vec::new(), wrong: Vec::new() }
    }

    /// Starts with a JSON object.
    ///
    /// # Errors
    /// 422 when the value is not an object.
    pub(crate) fn of_json(value: Value) -> Result<Self, Problem> {
        match value {
            Value::Object(left) => Ok(Self { left, ..Self::nothing() }),
            other => Err(Problem::invalid(vec![Wrong::new("", format!("is {}", kind_of(&other)), "a JSON object")])),
        }
    }

    /// Starts with a query string; a parameter given twice is wrong.
    pub(crate) fn of_query(query: &str) -> Self {
        let mut fields = Self::nothing();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if fields.left.insert(name.to_string(), Value::String(value.into_owned())).is_some() {
                fields.say(name, "is given twice", "once");
            }
        }
        fields
    }

    /// Notes something wrong.
    pub(crate) fn say(&mut self, field: impl Into<String>, problem: impl Into<String>, expected: impl Into<String>) {
        self.wrong.push(Wrong::new(field, problem, expected));
    }

    /// Gives the whole object away, for a reader that names unknown fields itself.
    pub(crate) fn into_map(self) -> Map<String, Value> {
        self.left
    }

    /// Takes any JSON value.
    pub(crate) fn any(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.left.shift_remove(name).filter(|value| !value.is_null())
    }

    /// Takes a text of 1 to `max` characters.
    pub(crate) fn text(&mut self, name: &'static str, max: usize) -> Option<String> {
        let expected = || format!("text of 1 to {max} characters");
        match self.any(name)? {
            Value::String(text) if text.trim().is_empty() => {
                self.say(name, "is empty", expected());
                None
            }
            Value::String(text) if text.contains('\0') => {
                self.say(name, "has a NUL character", expected());
                None
            }
            Value::String(text) if text.chars().nth(max).is_some() => {
                self.say(name, format!("has {} characters", text.chars().count()), expected());
                None
            }
            Value::String(text) => Some(text),
            other => {
                self.say(name, format!("is {}", kind_of(&other)), expected());
                None
            }
        }
    }

    /// Takes a text that must be there.
    pub(crate) fn needed_text(&mut self, name: &'static str, max: usize) -> String {
        let before = self.wrong.len();
        let text = self.text(name, max);
        if text.is_none() && self.wrong.len() == before {
            self.say(name, "is missing", format!("text of 1 to {max} characters"));
        }
        text.unwrap_or_default()
    }

    /// Tells whether a member is there and not null.
    pub(crate) fn given(&mut self, name: &'static str) -> bool {
        let given = self.left.get(name).is_some_and(|value| !value.is_null());
        if !given {
            self.any(name);
        }
        given
    }

    /// Takes an agent's name that must be there.
    pub(crate) fn needed_name(&mut self, name: &'static str) -> String {
        let text = self.needed_text(name, MAX_NAME);
        let sound = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_-".contains(letter);
        if !text.chars().all(sound) {
            self.say(name, "is not a name", format!("a name made of a-z, 0-9, _ and -, at most {MAX_NAME} characters"));
        }
        text
    }

    /// Takes a text that `T` can be parsed from; its error says what would have been right.
    pub(crate) fn parsed<T: FromStr>(&mut self, name: &'static str, expected: &str) -> Option<T>
    where
        T::Err: Display,
    {
        let text = self.text(name, 200)?;
        match text.parse::<T>() {
            Ok(value) => Some(value),
            Err(_) => {
                self.say(name, format!("{text:?} is not one"), expected);
                None
            }
        }
    }

    /// Takes a text that `T` can be parsed from and that must be there.
    pub(crate) fn needed_word<T: FromStr>(&mut self, name: &'static str, expected: &str) -> Option<T>
    where
        T::Err: Display,
    {
        if self.given(name) {
            return self.parsed(name, expected);
        }
        self.say(name, "is missing", expected);
        None
    }

    /// Ends the taking.
    ///
    /// # Errors
    /// 422 naming everything that was wrong, fields that nobody took included.
    pub(crate) fn finish(mut self) -> Result<(), Problem> {
        let expected = match self.known.as_slice() {
            [] => "no fields at all".to_owned(),
            known => format!("one of {}", known.join(", ")),
        };
        for name in std::mem::take(&mut self.left).into_iter().map(|(name, _)| name) {
            self.say(shortened(name), "is unknown", expected.clone());
        }
        if self.wrong.is_empty() { Ok(()) } else { Err(Problem::invalid(self.wrong)) }
    }
}

/// Names what a JSON value is, for people.
pub(crate) const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Keeps a name that a stranger chose short enough to be repeated to them.
fn shortened(name: String) -> String {
    match name.char_indices().nth(80) {
        Some((at, _)) => format!("{}…", name.get(..at).unwrap_or_default()),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_that_is_wrong_is_named_at_once() {
        let mut fields = Fields::of_json(json!({"agent_name": 7, "result": "다 했어요", "extra": 1})).expect("object");
        fields.needed_text("agent_name", 64);
        assert_eq!(fields.any("result"), Some(json!("다 했어요")));
        fields.needed_text("missing", 5);
        let body = fields.finish().expect_err("wrong").body("r");
        let named: Vec<_> = body["errors"].as_array().expect("list").iter().map(|wrong| &wrong["field"]).collect();
        assert_eq!(named, ["agent_name", "missing", "extra"]);
    }

    #[test]
    fn length_is_counted_in_characters() {
        let mut fields = Fields::of_query("q=%EC%95%A0%EA%B2%AC%ED%98%B8%ED%85%94");
        assert_eq!(fields.text("q", 4).as_deref(), Some("애견호텔"));
        let mut fields = Fields::of_query("q=12345&q=1");
        fields.text("q", 4);
        assert!(fields.finish().is_err());
    }
}
