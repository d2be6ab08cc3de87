//! Makes JSON that satisfies a JSON Schema, or that violates it, from the schema and the question alone.
//! Refuses schemas of other documents: only `$ref`s into the same document are followed.
//!
//! Strings quote the question. A choice among an `enum` goes to the option whose words fit the question best;
//! between a good and a bad verdict it goes to the good one. A plain string, say `department`, is taken
//! from a list in the prompt when there are lines such as `- marketing: customers, bookings` under a line that
//! names the property, or when the property's description says that the value is listed. With no option that
//! fits, the answer is `unsure` where the prompt allows it.

mod choice;
mod fits;
mod maker;
mod merge;
mod number;
mod pattern;
mod string;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

use crate::text::Question;
use fits::fits;
use maker::Maker;

/// What the made values are about.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) question: &'a Question<'a>,
    /// The whole prompt, in which options may be listed.
    pub(crate) prompt: &'a str,
    pub(crate) system: &'a str,
}

/// A value that satisfies the schema, as far as one can be made.
pub(crate) fn fit(schema: &Value, subject: &Subject<'_>, number: u64) -> Value {
    Maker::new(schema, subject, number).value(schema, "", 0)
}

/// A value that violates the schema; a schema that everything satisfies gets a string.
pub(crate) fn misfit(schema: &Value, subject: &Subject<'_>, number: u64) -> Value {
    let good = fit(schema, subject, number);
    let mut candidates = Vec::new();
    if let Value::Object(object) = &good {
        for name in object.keys() {
            let mut poorer = object.clone();
            poorer.shift_remove(name);
            candidates.push(Value::Object(poorer));
            let mut wrong = object.clone();
            wrong.insert(name.clone(), json!({"misfit": 1}));
            candidates.push(Value::Object(wrong));
        }
    }
    candidates.extend([json!([42]), Value::Null, json!({}), json!(-0.5), json!("misfit")]);
    candidates.into_iter().find(|value| !fits(schema, value, schema)).unwrap_or_else(|| json!("misfit"))
}

/// What keeps a schema from being strict as OpenAI means it: an open object, or a property that is not required.
pub(crate) fn loose_end(schema: &Value) -> Option<String> {
    let Value::Object(object) = schema else { return None };
    if let Some(Value::Object(properties)) = object.get("properties") {
        if object.get("additionalProperties") != Some(&Value::Bool(false)) {
            return Some("'additionalProperties' must be false".to_owned());
        }
        let required = object.get("required").and_then(Value::as_array);
        let listed = |name: &String| required.is_some_and(|list| list.iter().any(|item| item == name));
        if let Some(name) = properties.keys().find(|name| !listed(name)) {
            return Some(format!("'required' must list '{name}'"));
        }
    }
    below(object).find_map(loose_end)
}

/// The schemas directly inside a schema.
fn below(object: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    object.iter().flat_map(|(name, value)| -> Vec<&Value> {
        match (name.as_str(), value) {
            ("properties" | "$defs" | "definitions", Value::Object(inner)) => inner.values().collect(),
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(inner)) => inner.iter().collect(),
            ("items", value) => vec![value],
            _ => Vec::new(),
        }
    })
}
