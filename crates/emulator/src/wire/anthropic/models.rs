//! Anthropic's list of models. Refuses to know prices, as the real list does.

use serde::Serialize;

use super::super::json;

/// Name, display name, day of creation, input limit, output limit.
const MODELS: &[(&str, &str, &str, u64, u64)] = &[
    ("claude-fable-5-1", "Claude Fable 5.1", "2026-08-11", 1_000_000, 128_000),
    ("claude-opus-5-5", "Claude Opus 5.5", "2026-09-22", 1_000_000, 128_000),
    ("claude-sonnet-5-5", "Claude Sonnet 5.5", "2026-09-22", 1_000_000, 128_000),
    ("claude-haiku-5-5", "Claude Haiku 5.5", "2026-09-22", 1_000_000, 64_000),
    ("claude-opus-5", "Claude Opus 5", "2026-04-07", 1_000_000, 128_000),
    ("claude-sonnet-5", "Claude Sonnet 5", "2026-04-07", 1_000_000, 128_000),
    ("claude-haiku-4-5", "Claude Haiku 4.5", "2025-10-01", 200_000, 64_000),
];

#[derive(Serialize)]
struct Model<'a> {
    r#type: &'static str,
    id: &'a str,
    display_name: &'a str,
    created_at: String,
    max_input_tokens: u64,
    max_tokens: u64,
    capabilities: Capabilities,
}

#[derive(Serialize)]
struct Capabilities {
    batch: Supported,
    structured_outputs: Supported,
}

#[derive(Serialize)]
struct Supported {
    supported: bool,
}

fn write<'a>(&(id, display_name, day, max_input_tokens, max_tokens): &(&'a str, &'a str, &str, u64, u64)) -> Model<'a> {
    Model {
        r#type: "model",
        id,
        display_name,
        created_at: format!("{day}T00:00:00Z"),
        max_input_tokens,
        max_tokens,
        capabilities: Capabilities {
            batch: Supported { supported: true },
            structured_outputs: Supported { supported: true },
        },
    }
}

/// The body of `GET /v1/models`.
pub(crate) fn models() -> String {
    #[derive(Serialize)]
    struct List<'a> {
        data: Vec<Model<'a>>,
        has_more: bool,
        first_id: Option<&'a str>,
        last_id: Option<&'a str>,
    }
    json(&List {
        data: MODELS.iter().map(write).collect(),
        has_more: false,
        first_id: MODELS.first().map(|model| model.0),
        last_id: MODELS.last().map(|model| model.0),
    })
}

/// The body of `GET /v1/models/{id}`; any name but `missing-model` is one.
pub(crate) fn model(id: &str) -> Option<String> {
    let known = MODELS.iter().find(|model| model.0 == id).copied();
    let model = known.unwrap_or((id, id, "2026-01-01", 200_000, 64_000));
    (id != "missing-model").then(|| json(&write(&model)))
}
