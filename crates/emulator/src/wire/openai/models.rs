//! OpenAI's list of models. Refuses to know limits, as the real list does.

use serde::Serialize;

use super::super::json;

/// Names with their second of creation.
const MODELS: &[(&str, i64)] = &[
    ("gpt-6.2-astra", 1_794_873_600),
    ("gpt-6.2-sol", 1_794_873_600),
    ("gpt-6-astra", 1_788_220_800),
    ("gpt-6.1-sol", 1_791_072_000),
    ("gpt-6.1-terra", 1_791_072_000),
    ("gpt-6-sol", 1_788_220_800),
    ("gpt-6-luna", 1_788_220_800),
    ("gpt-5.4-mini", 1_772_323_200),
    ("gpt-5.4-nano", 1_772_323_200),
];

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    owned_by: &'static str,
}

fn write<'a>(&(id, created): &(&'a str, i64)) -> Model<'a> {
    Model { id, object: "model", created, owned_by: "system" }
}

/// The body of `GET /v1/models`.
pub(crate) fn models() -> String {
    #[derive(Serialize)]
    struct List<'a> {
        object: &'static str,
        data: Vec<Model<'a>>,
    }
    json(&List { object: "list", data: MODELS.iter().map(write).collect() })
}

/// The body of `GET /v1/models/{id}`; any name but `missing-model` is one.
pub(crate) fn model(id: &str) -> Option<String> {
    let known = MODELS.iter().find(|model| model.0 == id).copied();
    (id != "missing-model").then(|| json(&write(&known.unwrap_or((id, 1_767_225_600)))))
}
