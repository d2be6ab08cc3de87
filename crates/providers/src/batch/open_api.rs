//! A JSON Schema as the schema of OpenAPI's kind that Gemini's batches keep to: the same schema as `responseJsonSchema`
//! makes answers degenerate there (seen by others in 2026). Refuses what would allow an answer that the given schema
//! does not allow, but for properties that it does not name: constrained decoding writes none.

use serde_json::{Map, Value, json};

/// The deepest nesting that is written.
const DEEPEST: usize = 10;

/// Returns the schema, or `None` when it cannot be written so.
pub(super) fn convert(schema: &Value) -> Option<Value> {
    node(schema, 0)
}

/// Puts the schema of a request that was written as for a single call where batches keep to it, if that can be done.
pub(super) fn put(request: &mut Value) -> Option<()> {
    let config = request.get_mut("generationConfig")?.as_object_mut()?;
    let schema = convert(config.get("responseJsonSchema")?)?;
    config.shift_remove("responseJsonSchema");
    config.insert("responseSchema".to_owned(), schema);
    Some(())
}

fn node(schema: &Value, depth: usize) -> Option<Value> {
    let schema = schema.as_object().filter(|_| depth <= DEEPEST)?;
    let mut written = Map::new();
    if !schema.contains_key("anyOf") {
        let (kind, nullable) = kind(schema.get("type")?)?;
        written.insert("type".to_owned(), kind.into());
        if nullable {
            written.insert("nullable".to_owned(), true.into());
        }
        match kind {
            "object" => object(schema, &mut written, depth)?,
            "array" => drop(written.insert("items".to_owned(), node(schema.get("items")?, depth + 1)?)),
            _ => {}
        }
    }
    for (key, value) in schema {
        match key.as_str() {
            // Written above, or of no use to a decoder.
            "type" | "properties" | "required" | "items" | "$schema" => {}
            "additionalProperties" if value == &Value::Bool(false) => {}
            "title" | "description" | "pattern" if value.is_string() => keep(&mut written, key, value),
            "minItems" | "maxItems" | "minLength" | "maxLength" | "minimum" | "maximum" if value.is_number() => {
                keep(&mut written, key, value);
            }
            "format" if value == "date-time" => keep(&mut written, key, value),
            "enum" if value.as_array()?.iter().all(Value::is_string) => keep(&mut written, key, value),
            "anyOf" => {
                let choices = value.as_array()?.iter().map(|choice| node(choice, depth + 1));
                written.insert(key.clone(), choices.collect::<Option<Vec<_>>>()?.into());
            }
            _ => return None,
        }
    }
    Some(Value::Object(written))
}

/// An object without a property of its own is refused there.
fn object(schema: &Map<String, Value>, written: &mut Map<String, Value>, depth: usize) -> Option<()> {
    let properties = schema.get("properties")?.as_object().filter(|properties| !properties.is_empty())?;
    let nodes = properties.iter().map(|(name, property)| Some((name.clone(), node(property, depth + 1)?)));
    written.insert("properties".to_owned(), Value::Object(nodes.collect::<Option<_>>()?));
    let required = schema.get("required").map_or(Some(&[][..]), |names| names.as_array().map(Vec::as_slice))?;
    if !required.iter().all(|name| name.as_str().is_some_and(|name| properties.contains_key(name))) {
        return None;
    }
    if !required.is_empty() {
        written.insert("required".to_owned(), required.into());
    }
    // In their own order: else the decoder sorts them, and a conclusion may come before its reasons.
    written.insert("propertyOrdering".to_owned(), json!(properties.keys().collect::<Vec<_>>()));
    Some(())
}

fn kind(value: &Value) -> Option<(&str, bool)> {
    let (kind, nullable) = match value {
        Value::String(kind) => (kind.as_str(), false),
        Value::Array(kinds) => match kinds.as_slice() {
            [Value::String(kind), Value::String(null)] if null == "null" => (kind.as_str(), true),
            _ => return None,
        },
        _ => return None,
    };
    matches!(kind, "object" | "array" | "string" | "number" | "integer" | "boolean").then_some((kind, nullable))
}

fn keep(written: &mut Map<String, Value>, key: &str, value: &Value) {
    written.insert(key.to_owned(), value.clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_batch_keeps_to_is_written_in_the_schemas_own_order() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "요약": {"type": "string", "minLength": 1, "description": "한 줄"},
                "부서": {"type": "array", "items": {"type": "string", "enum": ["영업", "회계"]}, "maxItems": 3},
                "점수": {"type": ["integer", "null"], "minimum": 0},
                "까닭": {"anyOf": [{"type": "string"}, {"type": "boolean"}]}
            },
            "required": ["요약", "부서"],
            "additionalProperties": false
        });
        let written = convert(&schema).map(|written| written.to_string());
        let wanted = concat!(
            r#"{"type":"object","properties":{"요약":{"type":"string","minLength":1,"description":"한 줄"},"#,
            r#""부서":{"type":"array","items":{"type":"string","enum":["영업","회계"]},"maxItems":3},"#,
            r#""점수":{"type":"integer","nullable":true,"minimum":0},"#,
            r#""까닭":{"anyOf":[{"type":"string"},{"type":"boolean"}]}},"#,
            r#""required":["요약","부서"],"propertyOrdering":["요약","부서","점수","까닭"]}"#
        );
        assert_eq!(written.as_deref(), Some(wanted));
    }

    #[test]
    fn what_would_be_lost_is_not_written() {
        for schema in [
            json!(true),
            json!({}),
            json!({"type": "object"}),
            json!({"type": "object", "properties": {}}),
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["b"]}),
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}}),
            json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "string"}}}),
            json!({"type": "array"}),
            json!({"type": "string", "format": "email"}),
            json!({"type": "integer", "enum": [1, 2]}),
            json!({"type": "integer", "multipleOf": 5}),
            json!({"type": ["string", "integer"]}),
            json!({"const": "하나"}),
        ] {
            assert_eq!(convert(&schema), None, "{schema}");
        }
        let mut deep = json!({"type": "string"});
        for _ in 0..12 {
            deep = json!({"type": "array", "items": deep});
        }
        assert_eq!(convert(&deep), None);
    }

    #[test]
    fn a_schema_that_cannot_be_written_stays_where_it_was() {
        let mut request = json!({"generationConfig": {"responseJsonSchema": {"const": 1}}});
        assert_eq!(put(&mut request), None);
        assert!(request.pointer("/generationConfig/responseJsonSchema").is_some());
        let mut request = json!({"generationConfig": {"responseJsonSchema": {"type": "string"}, "maxOutputTokens": 7}});
        assert_eq!(put(&mut request), Some(()));
        assert_eq!(request, json!({"generationConfig": {"maxOutputTokens": 7, "responseSchema": {"type": "string"}}}));
    }
}
