//! Random schemas: what is made satisfies them, what is unmade does not.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Subject, fit, loose_end, misfit};
use crate::text::Question;

fn with_question<T>(act: impl FnOnce(&Subject<'_>) -> T) -> T {
    let prompt = "Order:\n우리 애견호텔의 겨울 예약을 늘릴 방법을 보고서로 써줘";
    let question = Question::find(prompt);
    act(&Subject { question: &question, prompt, system: "You set prices." })
}

fn valid(schema: &Value, value: &Value) -> bool {
    let options = jsonschema::options().should_validate_formats(true);
    options.build(schema).unwrap().is_valid(value)
}

fn string() -> BoxedStrategy<Value> {
    let patterns = prop::sample::select(vec![
        "^[a-z0-9_-]{1,64}$",
        r"^\d{4}-\d{2}-\d{2}$",
        "^(now|flex|batch)$",
        "^[가-힣]{2,5}$",
        "^v[0-9]+(\\.[0-9]+)*$",
        "^[^x]{3}$",
        "a.c",
        "^[A-Z]{3}-?[0-9]{2,}$",
    ]);
    let formats =
        prop::sample::select(vec!["date", "time", "date-time", "email", "uri", "uuid", "ipv4", "ipv6", "hostname"]);
    prop_oneof![
        (0_usize..40, 0_usize..200)
            .prop_map(|(least, more)| json!({"type": "string", "minLength": least, "maxLength": least + more})),
        Just(json!({"type": "string"})),
        patterns.prop_map(|pattern| json!({"type": "string", "pattern": pattern})),
        (5_usize..20)
            .prop_map(|least| json!({"type": "string", "pattern": "^[a-z ]+$", "minLength": least, "maxLength": 25})),
        formats.prop_map(|format| json!({"type": "string", "format": format})),
    ]
    .boxed()
}

fn number() -> BoxedStrategy<Value> {
    prop_oneof![
        (-1000_i64..1000, 0_i64..50)
            .prop_map(|(low, more)| json!({"type": "integer", "minimum": low, "maximum": low + more})),
        (-1000_i64..1000, 2_i64..50).prop_map(
            |(low, more)| json!({"type": "integer", "exclusiveMinimum": low, "exclusiveMaximum": low + more})
        ),
        (-100_i64..100, 1_i64..30)
            .prop_map(|(low, step)| json!({"type": "integer", "minimum": low, "multipleOf": step})),
        (-100_i64..100).prop_map(|high| json!({"type": "integer", "maximum": high})),
        Just(json!({"type": "integer"})),
        (-100_f64..100.0, 0.01_f64..50.0)
            .prop_map(|(low, more)| json!({"type": "number", "minimum": low, "exclusiveMaximum": low + more})),
        Just(json!({"type": "number", "minimum": 0, "maximum": 1})),
        (1_i64..20).prop_map(|step| json!({"type": "number", "exclusiveMinimum": 0, "multipleOf": step})),
        Just(json!({"minimum": 3})),
    ]
    .boxed()
}

fn leaf() -> BoxedStrategy<Value> {
    prop_oneof![
        3 => string(),
        3 => number(),
        1 => Just(json!({"type": "boolean"})),
        1 => Just(json!({"type": "null"})),
        1 => Just(json!({"type": ["string", "null"]})),
        1 => Just(json!({"enum": ["재무", "마케팅", 3, null, {"a": 1}]})),
        1 => Just(json!({"const": {"kind": "고정", "n": [1, 2]}})),
        1 => Just(json!(true)),
        1 => Just(json!({})),
        1 => Just(json!({"$ref": "#/$defs/name"})),
        1 => Just(json!({"$ref": "#/$defs/tree"})),
    ]
    .boxed()
}

fn object(inner: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let names = ["title", "department", "findings", "confidence", "가격", "answer", "id", "done"];
    let property = (prop::sample::select(names.to_vec()), inner, any::<bool>());
    (prop::collection::vec(property, 0..5), any::<bool>(), 0_usize..3)
        .prop_map(|(list, closed, least)| {
            let mut properties = Map::new();
            let mut required = Vec::new();
            for (name, schema, needed) in list {
                if needed && !properties.contains_key(name) {
                    required.push(name);
                }
                properties.insert(name.to_owned(), schema);
            }
            let mut schema = json!({"type": "object", "required": required});
            if closed {
                schema["additionalProperties"] = json!(false);
            } else {
                schema["additionalProperties"] = json!({"type": "integer"});
                schema["minProperties"] = json!(least);
            }
            schema["properties"] = Value::Object(properties);
            schema
        })
        .boxed()
}

fn array(inner: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    prop_oneof![
        (inner.clone(), 0_usize..5, 0_usize..4).prop_map(|(items, least, more)| {
            json!({"type": "array", "items": items, "minItems": least, "maxItems": least + more})
        }),
        (0_usize..6).prop_map(|least| {
            json!({"type": "array", "items": {"type": "string"}, "minItems": least, "uniqueItems": true})
        }),
        (1_usize..4).prop_map(|least| {
            json!({"type": "array", "items": {"enum": ["가", "나", "다"]}, "minItems": least, "uniqueItems": true})
        }),
        prop::collection::vec(inner, 1..3).prop_map(|fixed| {
            let least = fixed.len();
            json!({"type": "array", "prefixItems": fixed, "items": false, "minItems": least})
        }),
    ]
    .boxed()
}

fn schema() -> BoxedStrategy<Value> {
    leaf()
        .prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                3 => object(inner.clone().boxed()),
                2 => array(inner.clone().boxed()),
                1 => prop::collection::vec(inner.clone(), 1..4).prop_map(|any| json!({"anyOf": any})),
                1 => object(inner.clone().boxed()).prop_map(|object| json!({"oneOf": [object, {"type": "integer"}, {"type": "null"}]})),
                1 => object(inner.boxed()).prop_map(|object| json!({"allOf": [object, {"minProperties": 0}], "description": "둘 다"})),
            ]
        })
        .boxed()
}

/// A schema with definitions that it may refer to; one of them refers to itself.
fn document() -> BoxedStrategy<Value> {
    schema()
        .prop_map(|schema| {
            let defs = json!({
                "name": {"type": "string", "minLength": 2, "maxLength": 9},
                "tree": {"type": "object", "properties": {"name": {"$ref": "#/$defs/name"},
                    "below": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
                    "required": ["name", "below"], "additionalProperties": false},
            });
            match schema {
                Value::Object(mut object) => {
                    object.insert("$defs".to_owned(), defs);
                    Value::Object(object)
                }
                other => json!({"allOf": [other], "$defs": defs}),
            }
        })
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_made_satisfies_its_schema(schema in document(), number in any::<u64>()) {
        let value = with_question(|subject| fit(&schema, subject, number));
        prop_assert!(valid(&schema, &value), "{value} does not satisfy {schema}");
        let again = with_question(|subject| fit(&schema, subject, number));
        prop_assert_eq!(value, again);
    }

    #[test]
    fn what_is_unmade_violates_a_closed_object(inner in schema(), number in any::<u64>()) {
        let schema = json!({"type": "object", "properties": {"a": inner}, "required": ["a"], "$defs": {
            "name": {"type": "string"}, "tree": {"type": "string"}}, "additionalProperties": false});
        let value = with_question(|subject| misfit(&schema, subject, number));
        prop_assert!(!valid(&schema, &value), "{value} satisfies {schema}");
    }
}

#[test]
fn geminis_spelling_is_understood() {
    let schema = json!({"type": "OBJECT", "properties": {
        "department": {"type": "STRING", "enum": ["finance", "marketing"]},
        "points": {"type": "ARRAY", "items": {"type": "STRING"}, "minItems": "2", "maxItems": "3"},
        "note": {"type": "STRING", "nullable": true}}, "propertyOrdering": ["department", "points", "note"]});
    let value = with_question(|subject| fit(&schema, subject, 1));
    assert_eq!(value["department"], "marketing");
    assert!((2..=3).contains(&value["points"].as_array().unwrap().len()));
    assert!(value["note"].is_string());
}

#[test]
fn a_schema_that_requires_itself_ends() {
    let schema = json!({"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]});
    assert!(with_question(|subject| fit(&schema, subject, 1)).is_object());
    let circle = json!({"$ref": "#"});
    with_question(|subject| fit(&circle, subject, 1));
}

#[test]
fn loose_ends_of_a_strict_schema_are_found() {
    let closed = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false});
    assert_eq!(loose_end(&closed), None);
    let open = json!({"type": "array", "items": {"type": "object", "properties": {"a": {}}, "required": ["a"]}});
    assert!(loose_end(&open).unwrap().contains("additionalProperties"));
    let optional = json!({"type": "object", "properties": {"a": {}}, "additionalProperties": false});
    assert!(loose_end(&optional).unwrap().contains("'a'"));
}
