//! Finds the field that keeps a body from being read. Refuses to be fast: only refused requests come here.

use serde_json::Value;

/// What is wrong with a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    /// It is not JSON; serde's words.
    NotJson(String),
    /// A field has the wrong type: its name, what it must be, what it is.
    Type { field: String, expected: &'static str, found: &'static str },
    /// Something deeper; serde's words.
    Other(String),
}

/// Compares a refused body with the types of its top-level fields.
pub(super) fn find(body: &[u8], fields: &[(&str, &'static str)], error: &serde_json::Error) -> Mistake {
    let value: Value = match serde_json::from_slice(body) {
        Ok(value) => value,
        Err(error) => return Mistake::NotJson(error.to_string()),
    };
    let Value::Object(object) = &value else {
        return Mistake::Type { field: "body".to_owned(), expected: "an object", found: name(&value) };
    };
    for (field, expected) in fields {
        if let Some(found) = object.get(*field).filter(|found| !found.is_null() && !is(found, expected)) {
            return Mistake::Type { field: (*field).to_owned(), expected, found: name(found) };
        }
    }
    let words = error.to_string();
    Mistake::Other(words.split(" at line ").next().unwrap_or_default().to_owned())
}

fn is(value: &Value, expected: &str) -> bool {
    match expected {
        "a string" => value.is_string(),
        "an integer" => value.is_i64() || value.is_u64(),
        "a number" => value.is_number(),
        "a boolean" => value.is_boolean(),
        "an array" => value.is_array(),
        "an object" => value.is_object(),
        _ => true,
    }
}

fn name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a decimal",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
