//! Texts that Postgres can keep: everything but the character NUL.

use crate::error::Error;
use serde::Serialize;
use serde_json::Value;
use std::{borrow::Cow, time::Duration};

const NUL: char = '\0';
const REPLACEMENT: &str = "\u{FFFD}";

/// Refuses a text with NUL in it: for what people hand in.
pub(crate) fn check(field: &'static str, text: &str) -> Result<(), Error> {
    if text.contains(NUL) { Err(Error::Nul { field }) } else { Ok(()) }
}

/// Replaces each NUL by U+FFFD: for what performers bring.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains(NUL) { Cow::Owned(text.replace(NUL, REPLACEMENT)) } else { Cow::Borrowed(text) }
}

/// Writes a document, with each NUL in it replaced by U+FFFD.
pub(crate) fn json<T: Serialize>(statement: &'static str, document: &T) -> Result<String, Error> {
    let unreadable = |error: serde_json::Error| Error::Unreadable { statement, problem: error.to_string() };
    let text = serde_json::to_string(document).map_err(unreadable)?;
    // Rare enough to parse again: the six characters may also be an escaped backslash and a word.
    if !text.contains("\\u0000") {
        return Ok(text);
    }
    let mut value: Value = serde_json::from_str(&text).map_err(unreadable)?;
    scrub(&mut value);
    serde_json::to_string(&value).map_err(unreadable)
}

/// Writes a duration in milliseconds, as far as SQL can count.
pub(crate) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 1_000_000)
}

fn scrub(value: &mut Value) {
    match value {
        Value::String(text) => {
            if text.contains(NUL) {
                *text = text.replace(NUL, REPLACEMENT);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(scrub),
        Value::Object(members) => {
            if members.keys().any(|key| key.contains(NUL)) {
                *members = std::mem::take(members)
                    .into_iter()
                    .map(|(key, member)| (key.replace(NUL, REPLACEMENT), member))
                    .collect();
            }
            members.values_mut().for_each(scrub);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn replaces_nul_wherever_it_stands_and_nothing_else() {
        let document = json!({"겨울\0": ["예\0약", {"b": "\0"}], "literal": "\\u0000", "n": 1});
        let text = super::json("test", &document).unwrap();
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read, json!({"겨울\u{FFFD}": ["예\u{FFFD}약", {"b": "\u{FFFD}"}], "literal": "\\u0000", "n": 1}));
        assert_eq!(clean("a\0b"), "a\u{FFFD}b");
        assert!(check("title", "보고서\0").is_err());
    }
}
