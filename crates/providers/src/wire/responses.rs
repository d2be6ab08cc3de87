//! OpenAI's Responses API: `POST /responses`.
//! Refuses to leave a copy at the provider: `store` is always false.

use super::{Draft, Fault, Fold, PlainTurn, Prompt, Shape, Step, chat_completions::inclusive, parse, said};
use crate::{chat::Stop, sse::Event};
use domain::money::Usage;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<&'a str>,
    input: Vec<PlainTurn<'a>>,
    max_output_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'static str>,
    store: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

#[derive(Serialize)]
struct Text<'a> {
    format: Format<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Format<'a> {
    JsonObject,
    JsonSchema { name: &'static str, schema: &'a Value, strict: bool },
}

pub(super) fn body(prompt: &Prompt<'_>) -> Result<Vec<u8>, serde_json::Error> {
    let format = match &prompt.shape {
        Shape::Free => None,
        Shape::Object => Some(Format::JsonObject),
        Shape::Schema { schema, strict } => Some(Format::JsonSchema { name: "answer", schema, strict: *strict }),
    };
    serde_json::to_vec(&Body {
        model: prompt.model,
        instructions: prompt.system.as_deref(),
        input: prompt.turns.iter().map(PlainTurn::from).collect(),
        max_output_tokens: prompt.max_tokens,
        text: format.map(|format| Text { format }),
        service_tier: prompt.flex.then_some("flex"),
        store: false,
        stream: prompt.stream,
    })
}

/// A whole response.
#[derive(Deserialize)]
pub(crate) struct Reply {
    status: Option<String>,
    output: Option<Vec<Item>>,
    model: Option<String>,
    incomplete_details: Option<Incomplete>,
    pub(crate) error: Option<Value>,
    usage: Option<Tokens>,
    service_tier: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(rename = "type")]
    kind: String,
    /// Reasoning items have content of other shapes, which do not concern us.
    #[serde(default)]
    content: Value,
}

#[derive(Deserialize)]
struct Incomplete {
    reason: Option<String>,
}

/// `input_tokens` includes what a cache held or took.
#[derive(Deserialize)]
struct Tokens {
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
    input_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<i64>,
    cache_write_tokens: Option<i64>,
}

impl Tokens {
    fn usage(&self) -> Usage {
        let details = self.input_tokens_details.as_ref();
        inclusive(
            self.input_tokens,
            details.and_then(|details| details.cached_tokens),
            details.and_then(|details| details.cache_write_tokens),
            self.output_tokens,
        )
    }
}

pub(super) fn answer(body: &[u8]) -> Result<Draft, Fault> {
    draft(parse(body)?)
}

/// Takes a whole response apart.
pub(crate) fn draft(reply: Reply) -> Result<Draft, Fault> {
    if let Some(error) = &reply.error {
        return Err(said(error));
    }
    let status = reply.status.ok_or(Fault::Malformed)?;
    let (text, refused) = text(&reply.output.ok_or(Fault::Malformed)?);
    let stop = match (refused, status.as_str()) {
        (true, _) => Stop::Refused,
        (false, "completed") => Stop::Complete,
        (false, "incomplete") => match reply.incomplete_details.and_then(|details| details.reason) {
            Some(reason) if reason == "content_filter" => Stop::Filtered,
            Some(reason) if reason != "max_output_tokens" => Stop::Other(reason),
            _ => Stop::MaxTokens,
        },
        (false, _) => Stop::Other(status),
    };
    Ok(Draft {
        text,
        stop: Some(stop),
        usage: reply.usage.map(|tokens| tokens.usage()).unwrap_or_default(),
        model: reply.model,
        tier: reply.service_tier,
        dollars: None,
    })
}

/// Joins the text of all messages; a refusal takes the place of the text.
fn text(items: &[Item]) -> (String, bool) {
    let parts = || {
        let messages = items.iter().filter(|item| item.kind == "message");
        messages.filter_map(|item| item.content.as_array()).flatten()
    };
    let field = |kind: &'static str, field: &'static str| {
        parts()
            .filter(move |part| part.get("type").and_then(Value::as_str) == Some(kind))
            .filter_map(move |part| part.get(field)?.as_str())
    };
    let refusal: String = field("refusal", "refusal").collect();
    if refusal.is_empty() { (field("output_text", "text").collect(), false) } else { (refusal, true) }
}

/// A streamed response: the last event carries the whole, the others its text as it grows.
#[derive(Default)]
pub(super) struct Folding {
    draft: Option<Draft>,
    text: String,
}

/// The events that concern us; of the others not even the shape is looked at.
#[derive(Deserialize)]
#[serde(tag = "type")]
enum Part {
    #[serde(rename = "response.output_text.delta")]
    Text { delta: String },
    #[serde(rename = "response.completed", alias = "response.incomplete", alias = "response.failed")]
    End { response: Box<Reply> },
    #[serde(rename = "error")]
    Error,
    #[serde(other)]
    Other,
}

impl Fold for Folding {
    fn event(&mut self, event: &Event) -> Result<Step, Fault> {
        if event.data.trim() == "[DONE]" {
            return Ok(Step::Done);
        }
        match parse(event.data.as_bytes())? {
            Part::Text { delta } => {
                self.text.push_str(&delta);
                Ok(if delta.is_empty() { Step::Nothing } else { Step::Text(delta) })
            }
            Part::End { response } => {
                self.draft = Some(draft(*response)?);
                Ok(Step::Done)
            }
            // Flat or wrapped in `error`: the classifier reads both.
            Part::Error => Err(Fault::Said(event.data.clone().into_bytes())),
            Part::Other => Ok(Step::Nothing),
        }
    }

    fn is_whole(&self) -> bool {
        self.draft.is_some()
    }

    fn end(self: Box<Self>) -> Result<Draft, Fault> {
        let mut draft = self.draft.ok_or(Fault::Truncated)?;
        if draft.text.is_empty() {
            draft.text = self.text;
        }
        Ok(draft)
    }
}
