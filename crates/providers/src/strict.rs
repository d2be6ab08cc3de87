//! Fits a JSON Schema to what a provider's constrained decoding takes.
//! Refuses to lose anything: every answer that the fitted schema allows, the given one allows too,
//! except for bounds that [`Fitted::whole`] says were dropped.

use serde_json::{Map, Value};

/// The deepest nesting that is fitted.
const DEEPEST: usize = 10;

/// Whose rules to fit to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// Strict mode of OpenAI and of those who copied it: every property required, bounds allowed.
    OpenAi,
    /// Anthropic's output format: optional properties allowed, bounds not.
    Anthropic,
}

/// A schema that fits.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fitted {
    /// The schema to send.
    pub(crate) schema: Value,
    /// Nothing was dropped; otherwise the given schema belongs in the prompt as well.
    pub(crate) whole: bool,
}

/// Returns the fitted schema, or `None` when it cannot be had without loss.
pub(crate) fn fit(schema: &Value, rules: Rules) -> Option<Fitted> {
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        return None;
    }
    let mut fitter = Fitter { rules, whole: true };
    let schema = fitter.node(schema, 0)?;
    Some(Fitted { schema, whole: fitter.whole })
}

struct Fitter {
    rules: Rules,
    whole: bool,
}

impl Fitter {
    fn node(&mut self, schema: &Value, depth: usize) -> Option<Value> {
        let schema = schema.as_object().filter(|_| depth <= DEEPEST)?;
        if !["type", "enum", "const", "anyOf", "$ref"].iter().any(|key| schema.contains_key(*key)) {
            return None;
        }
        let types = types(schema)?;
        let mut fitted = Map::new();
        for (key, value) in schema {
            match self.keyword(key, value, depth)? {
                Kept::As(value) => {
                    fitted.insert(key.clone(), value);
                }
                Kept::Not => {}
            }
        }
        if types.contains(&"object") || schema.contains_key("properties") {
            self.object(schema, &mut fitted)?;
        }
        if types.contains(&"array") && !schema.contains_key("items") {
            return None;
        }
        Some(Value::Object(fitted))
    }

    /// Decides on one keyword; `None` refuses the whole schema.
    fn keyword(&mut self, key: &str, value: &Value, depth: usize) -> Option<Kept> {
        let kept = match key {
            "type" | "required" | "additionalProperties" | "description" | "title" => value.clone(),
            "enum" => value.as_array().filter(|values| values.iter().all(is_plain)).map(|_| value.clone())?,
            "const" => Some(value).filter(|value| is_plain(value)).cloned()?,
            // Anthropic takes no recursion, and a reference may be one.
            "$ref" if self.rules == Rules::OpenAi => {
                value.as_str().filter(|target| target.starts_with('#')).map(|_| value.clone())?
            }
            "items" => self.node(value, depth + 1)?,
            "properties" | "$defs" | "definitions" => {
                let parts = value.as_object()?.iter();
                let parts = parts.map(|(name, part)| Some((name.clone(), self.node(part, depth + 1)?)));
                Value::Object(parts.collect::<Option<_>>()?)
            }
            "anyOf" if depth > 0 => {
                let parts = value.as_array()?.iter().map(|part| self.node(part, depth + 1));
                Value::Array(parts.collect::<Option<_>>()?)
            }
            "format" => Some(value).filter(|format| is_known_format(format, self.rules)).cloned()?,
            // Annotations: they allow and forbid nothing.
            "$schema" | "$comment" | "default" | "examples" => return Some(Kept::Not),
            _ => return self.bound(key, value),
        };
        Some(Kept::As(kept))
    }

    fn bound(&mut self, key: &str, value: &Value) -> Option<Kept> {
        let shared = matches!(
            key,
            "pattern"
                | "minimum"
                | "maximum"
                | "exclusiveMinimum"
                | "exclusiveMaximum"
                | "multipleOf"
                | "minItems"
                | "maxItems"
        );
        match self.rules {
            Rules::OpenAi => shared.then(|| Kept::As(value.clone())),
            Rules::Anthropic if key == "minItems" && value.as_u64().is_some_and(|least| least <= 1) => {
                Some(Kept::As(value.clone()))
            }
            Rules::Anthropic if shared || matches!(key, "minLength" | "maxLength" | "uniqueItems") => {
                self.whole = false;
                Some(Kept::Not)
            }
            Rules::Anthropic => None,
        }
    }

    /// Closes an object. Closing one that was left open forbids only what nobody described; one
    /// that describes nothing, or that wants to stay open, cannot be closed without loss.
    fn object(&self, schema: &Map<String, Value>, fitted: &mut Map<String, Value>) -> Option<()> {
        let properties = schema.get("properties")?.as_object()?;
        if !schema.get("additionalProperties").is_none_or(|more| more == &Value::Bool(false)) {
            return None;
        }
        let required: Vec<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        if required.iter().any(|name| !properties.contains_key(*name)) {
            return None;
        }
        if self.rules == Rules::OpenAi && properties.keys().any(|name| !required.contains(&name.as_str())) {
            return None;
        }
        fitted.insert("additionalProperties".to_owned(), Value::Bool(false));
        Some(())
    }
}

enum Kept {
    As(Value),
    Not,
}

fn types(schema: &Map<String, Value>) -> Option<Vec<&str>> {
    match schema.get("type") {
        None => Some(Vec::new()),
        Some(Value::String(word)) => Some(vec![word]),
        Some(Value::Array(words)) => words.iter().map(Value::as_str).collect(),
        Some(_) => None,
    }
}

const fn is_plain(value: &Value) -> bool {
    !matches!(value, Value::Array(_) | Value::Object(_))
}

fn is_known_format(format: &Value, rules: Rules) -> bool {
    let known = ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"];
    format.as_str().is_some_and(|word| known.contains(&word) || (word == "uri" && rules == Rules::Anthropic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_closed_schema_goes_through_and_keeps_its_order() {
        let schema = json!({"type": "object", "properties": {
            "부서": {"type": "string", "enum": ["영업", "마케팅"], "description": "어느 부서인가"},
            "points": {"type": "array", "items": {"type": ["integer", "null"], "minimum": 0}, "minItems": 1, "maxItems": 5}
        }, "required": ["부서", "points"]});
        let fitted = fit(&schema, Rules::OpenAi).unwrap();
        let mut expected = schema.clone();
        expected["additionalProperties"] = json!(false);
        assert_eq!(fitted, Fitted { schema: expected, whole: true });
        assert_eq!(fitted.schema["properties"].as_object().unwrap().keys().next().unwrap(), "부서");

        let anthropic = fit(&schema, Rules::Anthropic).unwrap();
        assert!(!anthropic.whole, "bounds were dropped");
        assert_eq!(anthropic.schema["properties"]["points"]["items"], json!({"type": ["integer", "null"]}));
        assert_eq!(anthropic.schema["properties"]["points"]["minItems"], json!(1));
    }

    #[test]
    fn what_would_lose_something_is_refused() {
        let object = |properties: Value| json!({"type": "object", "properties": properties, "required": ["a"]});
        let refused = [
            json!({"type": "array", "items": {"type": "string"}}),
            json!({"type": "object"}),
            json!(true),
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": true}),
            object(json!({"a": {"type": "string"}, "b": {"type": "string"}})),
            object(json!({"a": {}})),
            object(json!({"a": {"type": "array"}})),
            object(json!({"a": {"type": "string", "minLength": 3}})),
            object(json!({"a": {"type": "string", "format": "iban"}})),
            object(json!({"a": {"not": {"type": "string"}}})),
            object(json!({"a": {"$ref": "https://elsewhere.example/x"}})),
            object(json!({"a": {"allOf": [{"type": "string"}]}})),
            object(json!({"a": {"type": "object", "properties": {"b": {"type": "string"}}}})),
        ];
        for schema in refused {
            assert_eq!(fit(&schema, Rules::OpenAi), None, "{schema}");
        }
        let optional = object(json!({"a": {"type": "string"}, "b": {"type": "string", "maxLength": 9}}));
        assert!(!fit(&optional, Rules::Anthropic).unwrap().whole);
        let recursive = json!({"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]});
        assert!(fit(&recursive, Rules::OpenAi).is_some());
    }

    #[test]
    fn a_schema_of_any_depth_ends() {
        let deep = (0..200).fold(
            json!({"type": "string"}),
            |inner, _| json!({"type": "object", "properties": {"a": inner}, "required": ["a"]}),
        );
        assert_eq!(fit(&deep, Rules::OpenAi), None);
    }
}
