//! Joins schemas that hold together: `allOf`, and what stands beside a `$ref`. Refuses to solve contradictions.

use serde_json::{Map, Value};

/// Whether a schema consists of others.
pub(super) fn is_compound(schema: &Map<String, Value>) -> bool {
    schema.contains_key("$ref") || schema.contains_key("allOf")
}

/// A schema with its `$ref`s and `allOf`s put in.
pub(super) fn resolve(schema: &Map<String, Value>, root: &Value) -> Map<String, Value> {
    let mut whole = schema.clone();
    for _ in 0..32 {
        if let Some(Value::String(path)) = whole.shift_remove("$ref") {
            if let Some(Value::Object(target)) = target(root, &path) {
                whole = merged(&whole, target);
            }
        } else if let Some(Value::Array(all)) = whole.shift_remove("allOf") {
            for part in all.iter().filter_map(Value::as_object) {
                whole = merged(&whole, part);
            }
        } else {
            break;
        }
    }
    whole
}

/// What a `$ref` of the same document points at.
pub(super) fn target<'a>(root: &'a Value, path: &str) -> Option<&'a Value> {
    let pointer = path.strip_prefix('#')?;
    root.pointer(pointer).or_else(|| root.pointer(&pointer.replace("%20", " ")))
}

/// One schema that asks for both.
pub(super) fn merged(first: &Map<String, Value>, second: &Map<String, Value>) -> Map<String, Value> {
    let mut whole = first.clone();
    for (name, value) in second {
        let joined = match whole.get(name) {
            None => value.clone(),
            Some(old) => join(name, old, value),
        };
        whole.insert(name.clone(), joined);
    }
    whole
}

fn join(name: &str, old: &Value, new: &Value) -> Value {
    match (name, old, new) {
        ("properties" | "$defs" | "definitions", Value::Object(old), Value::Object(new)) => {
            let mut all = old.clone();
            for (name, schema) in new {
                let joined = match (all.get(name), schema) {
                    (Some(Value::Object(old)), Value::Object(new)) => Value::Object(merged(old, new)),
                    _ => schema.clone(),
                };
                all.insert(name.clone(), joined);
            }
            Value::Object(all)
        }
        ("required", Value::Array(old), Value::Array(new)) => {
            let added = new.iter().filter(|name| !old.contains(name));
            Value::Array(old.iter().chain(added).cloned().collect())
        }
        ("enum", Value::Array(old), Value::Array(new)) => {
            Value::Array(old.iter().filter(|option| new.contains(option)).cloned().collect())
        }
        ("allOf", Value::Array(old), Value::Array(new)) => Value::Array(old.iter().chain(new).cloned().collect()),
        ("minimum" | "exclusiveMinimum" | "minLength" | "minItems" | "minProperties", old, new) => {
            if old.as_f64() > new.as_f64() { old.clone() } else { new.clone() }
        }
        ("maximum" | "exclusiveMaximum" | "maxLength" | "maxItems" | "maxProperties", old, new) => {
            if old.as_f64() < new.as_f64() { old.clone() } else { new.clone() }
        }
        ("type", old, new) => narrower(old, new),
        _ => new.clone(),
    }
}

/// The types that both name.
fn narrower(old: &Value, new: &Value) -> Value {
    let list = |value: &Value| match value {
        Value::Array(names) => names.clone(),
        one => vec![one.clone()],
    };
    let (old, new) = (list(old), list(new));
    let has = |names: &[Value], name: &Value| {
        names.contains(name) || (name == "integer" && names.iter().any(|other| other == "number"))
    };
    let mut both: Vec<Value> = old.iter().filter(|name| has(&new, name)).cloned().collect();
    both.extend(new.iter().filter(|name| has(&old, name) && !both.contains(name)).cloned().collect::<Vec<_>>());
    match both.as_slice() {
        [] => Value::Array(new),
        [one] => one.clone(),
        _ => Value::Array(both),
    }
}
