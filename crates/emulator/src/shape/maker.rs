//! Walks a schema and makes a value. Refuses to go deeper than it must: optional parts end at a fixed depth.

use serde_json::{Map, Value};

use super::merge::{self, merged};
use super::{Subject, choice, fits::fits, number, string};
use crate::seed::Draw;

/// Below this many levels only what is required is made.
const DEPTH: usize = 6;
/// Below this many levels nothing is made: a schema that requires itself has no finite value.
const BOTTOM: usize = 24;
/// Lists of what was found wrong; an emulated checker finds nothing.
const FAULT_LISTS: [&str; 10] =
    ["finding", "problem", "issue", "error", "gap", "missing", "contradiction", "objection", "violation", "warning"];

/// Makes values for one schema document.
pub(super) struct Maker<'a> {
    root: &'a Value,
    pub(super) subject: &'a Subject<'a>,
    pub(super) draw: Draw,
}

impl<'a> Maker<'a> {
    pub(super) fn new(root: &'a Value, subject: &'a Subject<'a>, number: u64) -> Self {
        Self { root, subject, draw: Draw::new(number) }
    }

    /// A value for the schema; `name` is the property it is for, empty at the top.
    pub(super) fn value(&mut self, schema: &Value, name: &str, depth: usize) -> Value {
        let Value::Object(object) = schema else { return Value::String(string::plain(self, "", name)) };
        if depth > BOTTOM {
            return Value::Null;
        }
        let whole;
        let object = if merge::is_compound(object) {
            whole = merge::resolve(object, self.root);
            &whole
        } else {
            object
        };
        if let Some(value) = object.get("const") {
            return value.clone();
        }
        if let Some(Value::Array(options)) = object.get("enum") {
            return choice::of_enum(self, options, object, name);
        }
        for word in ["oneOf", "anyOf"] {
            if let Some(Value::Array(options)) = object.get(word) {
                return self.one_of(object, word, options, name, depth);
            }
        }
        match kind(object) {
            "object" => Value::Object(self.object(object, depth)),
            "array" => Value::Array(self.array(object, name, depth)),
            "integer" => number::integer(object, &mut self.draw),
            "number" => number::decimal(object, name, &mut self.draw),
            "boolean" => Value::Bool(!FAULT_LISTS.iter().any(|word| name.to_lowercase().contains(word))),
            "null" => Value::Null,
            _ => Value::String(string::of_schema(self, object, name)),
        }
    }

    /// A value for one of the options, together with what stands beside them.
    fn one_of(
        &mut self,
        object: &Map<String, Value>,
        word: &str,
        options: &[Value],
        name: &str,
        depth: usize,
    ) -> Value {
        let mut rest = object.clone();
        rest.shift_remove(word);
        let alternatives: Vec<Map<String, Value>> = options
            .iter()
            .filter_map(Value::as_object)
            .map(|option| merged(&rest, &merge::resolve(option, self.root)))
            .collect();
        let mut order: Vec<usize> = (0..alternatives.len()).collect();
        let weight = |at: &usize| alternatives.get(*at).map_or(0, |option| self.preference(option, depth));
        order.sort_by_key(|at| std::cmp::Reverse(weight(at)));
        let mut first = None;
        for at in order {
            let Some(option) = alternatives.get(at) else { continue };
            let value = self.value(&Value::Object(option.clone()), name, depth + 1);
            let fitting = options.iter().filter(|option| fits(option, &value, self.root)).count();
            let good = if word == "oneOf" { fitting == 1 } else { fitting > 0 };
            if good && fits(&Value::Object(rest.clone()), &value, self.root) {
                return value;
            }
            first.get_or_insert(value);
        }
        first.unwrap_or(Value::Null)
    }

    /// How much an option is wanted: never null by choice, simple ones when it is deep, else what fits the question.
    fn preference(&self, option: &Map<String, Value>, depth: usize) -> usize {
        match kind(option) {
            "null" if depth <= DEPTH => 0,
            "null" => 4,
            "object" | "array" if depth > DEPTH => 1,
            _ if depth > DEPTH => 3,
            _ => 1 + choice::option_weight(self.subject.question, option),
        }
    }

    fn object(&mut self, schema: &Map<String, Value>, depth: usize) -> Map<String, Value> {
        let mut made = Map::new();
        let empty = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let required: Vec<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let most = count(schema, "maxProperties").unwrap_or(usize::MAX).max(required.len());
        let mut optional = most - required.len();
        for (name, property) in properties {
            let needed = required.contains(&name.as_str());
            if !needed && (depth >= DEPTH || optional == 0) {
                continue;
            }
            optional -= usize::from(!needed);
            let value = self.value(property, name, depth + 1);
            made.insert(name.clone(), value);
        }
        let others = schema.get("additionalProperties").unwrap_or(&Value::Bool(true));
        for name in required {
            if !made.contains_key(name) {
                let value = self.value(others, name, depth + 1);
                made.insert(name.to_owned(), value);
            }
        }
        let least = count(schema, "minProperties").unwrap_or(0);
        for number in made.len()..least {
            let name = format!("extra_{number}");
            let value = self.value(others, &name, depth + 1);
            made.insert(name, value);
        }
        made
    }

    fn array(&mut self, schema: &Map<String, Value>, name: &str, depth: usize) -> Vec<Value> {
        let any = Value::Object(Map::new());
        let (fixed, items) = match (schema.get("prefixItems"), schema.get("items")) {
            (Some(Value::Array(fixed)), items) => (fixed.as_slice(), items),
            (_, Some(Value::Array(fixed))) => (fixed.as_slice(), schema.get("additionalItems")),
            (_, items) => (&[][..], items),
        };
        let least = count(schema, "minItems").unwrap_or(0);
        let most = match items {
            Some(Value::Bool(false)) => fixed.len(),
            _ => count(schema, "maxItems").unwrap_or(usize::MAX),
        };
        let lower = name.to_lowercase();
        let wanted = match FAULT_LISTS.iter().any(|word| lower.contains(word)) || depth >= DEPTH {
            true => least,
            false => (2 + self.draw.below(2)).max(fixed.len()).max(least),
        };
        let wanted = wanted.min(most);
        let unique = schema.get("uniqueItems") == Some(&Value::Bool(true));
        let mut made: Vec<Value> = Vec::new();
        let mut tries = 0;
        while made.len() < wanted && tries < wanted + 40 {
            tries += 1;
            let schema = fixed.get(made.len()).or(items).unwrap_or(&any);
            let value = if unique && tries > made.len() + 1 {
                self.another(schema, name, depth, &made)
            } else {
                self.value(schema, name, depth + 1)
            };
            if !unique || !made.contains(&value) {
                made.push(value);
            }
        }
        made
    }

    /// A value that is not yet in the list: an unused option of an enum, or another draw.
    fn another(&mut self, schema: &Value, name: &str, depth: usize, made: &[Value]) -> Value {
        let whole = schema.as_object().map(|object| merge::resolve(object, self.root)).unwrap_or_default();
        let options = whole.get("enum").and_then(Value::as_array);
        if let Some(option) = options.into_iter().flatten().find(|option| !made.contains(option)) {
            return option.clone();
        }
        match self.value(schema, name, depth + 1) {
            Value::String(text) if made.iter().any(|other| *other == text) => {
                string::numbered(&whole, &text, made.len() + 1)
            }
            value => value,
        }
    }
}

/// A schema's count such as `minItems`, which Gemini also writes as a string.
pub(super) fn count(schema: &Map<String, Value>, name: &str) -> Option<usize> {
    match schema.get(name)? {
        Value::String(text) => text.parse().ok(),
        value => value.as_u64().and_then(|number| usize::try_from(number).ok()),
    }
}

/// The JSON type to make: the first that is not null, or the one that the keywords speak of.
fn kind(schema: &Map<String, Value>) -> &'static str {
    let named = |name: &str| {
        ["object", "array", "integer", "number", "boolean", "null", "string"]
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(name))
    };
    match schema.get("type") {
        Some(Value::String(name)) => return named(name).unwrap_or("string"),
        Some(Value::Array(names)) => {
            let mut kinds = names.iter().filter_map(Value::as_str).filter_map(named);
            let all: Vec<_> = kinds.by_ref().collect();
            return all.iter().copied().find(|kind| *kind != "null").unwrap_or("null");
        }
        _ => {}
    }
    let has = |names: &[&str]| names.iter().any(|name| schema.contains_key(*name));
    if has(&["properties", "required", "minProperties"]) {
        "object"
    } else if has(&["items", "prefixItems", "minItems"]) {
        "array"
    } else if has(&["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]) {
        "number"
    } else {
        "string"
    }
}
