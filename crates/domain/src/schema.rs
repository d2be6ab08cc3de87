//! Answers that must satisfy a JSON Schema. Refuses to fetch anything: a schema refers to itself or to nothing.

use serde_json::Value;
use std::collections::HashMap;

/// The longest reason, in characters: it goes into a row, an event and the next try's prompt.
const MAX_REASON_CHARS: usize = 300;
/// How many places of an answer are tried as the beginning of its JSON.
const MAX_TRIES: usize = 1_000;

/// Checks a value against a schema; the error is one line: where, and what is wrong.
///
/// # Errors
/// The value does not satisfy the schema, or the schema itself is not valid.
pub fn check(schema: &Value, value: &Value) -> Result<(), String> {
    satisfies(&compile(schema)?, value)
}

fn satisfies(validator: &jsonschema::Validator, value: &Value) -> Result<(), String> {
    match validator.iter_errors(value).next() {
        None => Ok(()),
        Some(error) => {
            let path = error.instance_path().to_string();
            let place = if path.is_empty() { "the answer" } else { path.as_str() };
            Err(one_line(&format!("{place}: {error}")))
        }
    }
}

/// The checks of many answers, few of whose schemas differ: each schema is made ready once.
#[derive(Debug, Default)]
pub struct Checks {
    ready: HashMap<String, Result<jsonschema::Validator, String>>,
}

impl Checks {
    /// As [`fits`].
    ///
    /// # Errors
    /// As [`fits`].
    pub fn fits(&mut self, schema: Option<&Value>, data: Option<Value>, text: &str) -> Result<Option<Value>, String> {
        fits_by(schema, data, text, |wanted, data| {
            let ready = self.ready.entry(wanted.to_string()).or_insert_with(|| compile(wanted));
            ready.as_ref().map_err(Clone::clone).and_then(|validator| satisfies(validator, data))
        })
    }
}

/// Tells whether an answer can be used, and returns its data: an answer without a schema must not be empty, one with
/// a schema must satisfy it. `data` is the answer as JSON where its provider has read it already.
///
/// # Errors
/// One line that says what is wrong, for [`correction`].
pub fn fits(schema: Option<&Value>, data: Option<Value>, text: &str) -> Result<Option<Value>, String> {
    fits_by(schema, data, text, check)
}

fn fits_by(
    schema: Option<&Value>,
    data: Option<Value>,
    text: &str,
    check: impl FnOnce(&Value, &Value) -> Result<(), String>,
) -> Result<Option<Value>, String> {
    let Some(wanted) = schema else {
        return if text.trim().is_empty() { Err("the answer is empty".to_owned()) } else { Ok(data) };
    };
    let data = data.or_else(|| extract_json(text)).ok_or_else(|| "the answer is not JSON".to_owned())?;
    check(wanted, &data)?;
    Ok(Some(data))
}

/// Returns what a model is told whose answer did not fit.
#[must_use]
pub fn correction(misfit: &str) -> String {
    format!("Your answer could not be used: {misfit}. Answer again with JSON alone that satisfies the schema.")
}

/// Checks that a schema is one; the error is one line.
///
/// # Errors
/// The schema is not a valid JSON Schema, or refers to something outside itself.
pub fn check_schema(schema: &Value) -> Result<(), String> {
    compile(schema).map(|_| ())
}

fn compile(schema: &Value) -> Result<jsonschema::Validator, String> {
    jsonschema::validator_for(schema).map_err(|error| {
        let path = error.instance_path().to_string();
        let place = if path.is_empty() { "the schema" } else { path.as_str() };
        one_line(&format!("not a valid JSON Schema: {place}: {error}"))
    })
}

fn one_line(text: &str) -> String {
    let mut line: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if let Some((end, _)) = line.char_indices().nth(MAX_REASON_CHARS) {
        line.truncate(end);
        line.push('…');
    }
    line
}

/// Finds the JSON in a model's answer: the whole answer, a fenced block, or the longest object within prose.
#[must_use]
pub fn extract_json(text: &str) -> Option<Value> {
    let text = text.trim().trim_start_matches('\u{feff}');
    if let Ok(value) = serde_json::from_str(text) {
        return Some(value);
    }
    fenced(text).or_else(|| longest(text, '{')).or_else(|| longest(text, '['))
}

/// Returns the first fenced block that is JSON.
fn fenced(text: &str) -> Option<Value> {
    // Odd parts lie between fences; the first line of each is the language's name.
    text.split("```").skip(1).step_by(2).find_map(|block| {
        let body = block.find('\n').and_then(|end| block.get(end..)).unwrap_or(block);
        [body, block].into_iter().find_map(|body| {
            serde_json::from_str::<Value>(body.trim()).ok().filter(|found| found.is_object() || found.is_array())
        })
    })
}

/// Returns the longest JSON value that begins with the given bracket.
fn longest(text: &str, open: char) -> Option<Value> {
    let mut best: Option<(usize, Value)> = None;
    let mut from = 0;
    for _ in 0..MAX_TRIES {
        let Some(rest) = text.get(from..) else { break };
        let Some(start) = rest.find(open) else { break };
        let rest = rest.get(start..).unwrap_or_default();
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        let length = match stream.next() {
            Some(Ok(value)) => {
                let length = stream.byte_offset();
                if best.as_ref().is_none_or(|(known, _)| length > *known) {
                    best = Some((length, value));
                }
                length
            }
            _ => open.len_utf8(),
        };
        from += start + length;
    }
    best.map(|(_, value)| value)
}
