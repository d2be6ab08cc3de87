//! Gemini's list of models. Refuses to know prices, as the real list does.

use serde::Serialize;

use super::super::json;

const MODELS: &[(&str, &str)] = &[
    ("gemini-3.8-flash", "Gemini 3.8 Flash"),
    ("gemini-3.6-flash", "Gemini 3.6 Flash"),
    ("gemini-3.5-flash", "Gemini 3.5 Flash"),
    ("gemini-3.5-flash-lite", "Gemini 3.5 Flash-Lite"),
    ("gemini-3.1-pro-preview", "Gemini 3.1 Pro Preview"),
    ("gemini-2.5-pro", "Gemini 2.5 Pro"),
    ("gemini-2.5-flash", "Gemini 2.5 Flash"),
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Model<'a> {
    name: String,
    version: &'static str,
    display_name: &'a str,
    input_token_limit: u64,
    output_token_limit: u64,
    supported_generation_methods: [&'static str; 2],
}

fn write<'a>(&(name, display_name): &(&'a str, &'a str)) -> Model<'a> {
    Model {
        name: format!("models/{name}"),
        version: "001",
        display_name,
        input_token_limit: 1_048_576,
        output_token_limit: 65_536,
        supported_generation_methods: ["generateContent", "countTokens"],
    }
}

/// The body of `GET /{version}/models`.
pub(crate) fn models() -> String {
    #[derive(Serialize)]
    struct List<'a> {
        models: Vec<Model<'a>>,
    }
    json(&List { models: MODELS.iter().map(write).collect() })
}

/// The body of `GET /{version}/models/{id}`; any name but `missing-model` is one.
pub(crate) fn model(id: &str) -> Option<String> {
    let known = MODELS.iter().find(|model| model.0 == id).copied();
    (id != "missing-model").then(|| json(&write(&known.unwrap_or((id, id)))))
}
