//! Checks a value against the part of JSON Schema that values are made for. Refuses to judge what it does not know:
//! other keywords are satisfied.

use serde_json::{Map, Value};

use super::maker::count;
use super::merge::target;

/// Whether a value satisfies a schema, as far as the known keywords tell.
pub(super) fn fits(schema: &Value, value: &Value, root: &Value) -> bool {
    check(schema, value, root, 0)
}

fn check(schema: &Value, value: &Value, root: &Value, depth: usize) -> bool {
    let object = match schema {
        Value::Bool(all) => return *all,
        Value::Object(object) => object,
        _ => return true,
    };
    if depth > 64 {
        return true;
    }
    let inner = |schema: &Value, value: &Value| check(schema, value, root, depth + 1);
    let list = |name: &str| object.get(name).and_then(Value::as_array);
    if let Some(Value::String(path)) = object.get("$ref")
        && !target(root, path).is_none_or(|schema| inner(schema, value))
    {
        return false;
    }
    let nullable = object.get("nullable") == Some(&Value::Bool(true));
    object.get("const").is_none_or(|constant| constant == value)
        && list("enum").is_none_or(|options| options.contains(value))
        && (typed(object, value) || (nullable && value.is_null()))
        && list("allOf").is_none_or(|all| all.iter().all(|schema| inner(schema, value)))
        && list("anyOf").is_none_or(|any| any.iter().any(|schema| inner(schema, value)))
        && list("oneOf").is_none_or(|one| one.iter().filter(|schema| inner(schema, value)).count() == 1)
        && match value {
            Value::Object(members) => members_fit(object, members, &inner),
            Value::Array(items) => items_fit(object, items, &inner),
            Value::String(text) => length_fits(object, text.chars().count(), "minLength", "maxLength"),
            Value::Number(number) => number_fits(object, number.as_f64().unwrap_or_default()),
            Value::Null | Value::Bool(_) => true,
        }
}

fn typed(schema: &Map<String, Value>, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().unwrap_or_default().to_ascii_lowercase().as_str() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => true,
    };
    match schema.get("type") {
        None => true,
        Some(Value::Array(names)) => names.iter().any(is),
        Some(name) => is(name),
    }
}

fn length_fits(schema: &Map<String, Value>, length: usize, least: &str, most: &str) -> bool {
    count(schema, least).is_none_or(|least| length >= least) && count(schema, most).is_none_or(|most| length <= most)
}

fn number_fits(schema: &Map<String, Value>, number: f64) -> bool {
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    let opened = |name: &str| schema.get(name) == Some(&Value::Bool(true));
    bound("minimum").is_none_or(|low| number > low || (number >= low && !opened("exclusiveMinimum")))
        && bound("maximum").is_none_or(|high| number < high || (number <= high && !opened("exclusiveMaximum")))
        && bound("exclusiveMinimum").is_none_or(|low| number > low)
        && bound("exclusiveMaximum").is_none_or(|high| number < high)
        && bound("multipleOf").is_none_or(|step| (number / step - (number / step).round()).abs() < 1e-9)
}

fn members_fit(
    schema: &Map<String, Value>,
    members: &Map<String, Value>,
    inner: &impl Fn(&Value, &Value) -> bool,
) -> bool {
    let properties = schema.get("properties").and_then(Value::as_object);
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    let others = schema.get("additionalProperties").unwrap_or(&Value::Bool(true));
    length_fits(schema, members.len(), "minProperties", "maxProperties")
        && required.filter_map(Value::as_str).all(|name| members.contains_key(name))
        && members
            .iter()
            .all(|(name, value)| inner(properties.and_then(|properties| properties.get(name)).unwrap_or(others), value))
}

fn items_fit(schema: &Map<String, Value>, items: &[Value], inner: &impl Fn(&Value, &Value) -> bool) -> bool {
    let fixed: &[Value] = schema.get("prefixItems").and_then(Value::as_array).map_or(&[], Vec::as_slice);
    let (fixed, rest) = match schema.get("items") {
        Some(Value::Array(list)) => (list.as_slice(), schema.get("additionalItems")),
        rest => (fixed, rest),
    };
    let unique = schema.get("uniqueItems") != Some(&Value::Bool(true))
        || items.iter().enumerate().all(|(at, item)| !items.iter().take(at).any(|other| other == item));
    unique
        && length_fits(schema, items.len(), "minItems", "maxItems")
        && items.iter().enumerate().all(|(at, item)| fixed.get(at).or(rest).is_none_or(|schema| inner(schema, item)))
}
