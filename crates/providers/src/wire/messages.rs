//! Anthropic's Messages API: `POST /v1/messages`.
//! Refuses to send sampling parameters: newer models and API versions reject them.

use super::{Draft, Fault, Fold, PlainTurn, Prompt, Shape, Step, parse, said};
use crate::{chat::Stop, sse::Event};
use domain::money::Usage;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<&'a str>,
    messages: Vec<PlainTurn<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

#[derive(Serialize)]
struct OutputConfig<'a> {
    format: Format<'a>,
}

#[derive(Serialize)]
struct Format<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    schema: &'a Value,
}

pub(super) fn body(prompt: &Prompt<'_>) -> Result<Vec<u8>, serde_json::Error> {
    let output_config = match &prompt.shape {
        Shape::Schema { schema, .. } => Some(OutputConfig { format: Format { kind: "json_schema", schema } }),
        Shape::Free | Shape::Object => None,
    };
    serde_json::to_vec(&Body {
        model: prompt.model,
        max_tokens: prompt.max_tokens,
        system: prompt.system.as_deref(),
        messages: prompt.turns.iter().map(PlainTurn::from).collect(),
        output_config,
        stream: prompt.stream,
    })
}

/// A whole message.
#[derive(Deserialize)]
pub(crate) struct Reply {
    content: Option<Vec<Block>>,
    model: Option<String>,
    stop_reason: Option<String>,
    #[serde(default)]
    usage: Tokens,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Block {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
}

/// `input_tokens` excludes what a cache held or took.
#[derive(Default, Clone, Deserialize)]
struct Tokens {
    input_tokens: Option<i64>,
    cache_read_input_tokens: Option<i64>,
    cache_creation_input_tokens: Option<i64>,
    cache_creation: Option<Creation>,
    output_tokens: Option<i64>,
    service_tier: Option<String>,
}

#[derive(Default, Clone, Deserialize)]
struct Creation {
    ephemeral_5m_input_tokens: Option<i64>,
    ephemeral_1h_input_tokens: Option<i64>,
}

impl Tokens {
    /// Later counts of a stream replace the earlier ones that they repeat.
    fn update(&mut self, later: Self) {
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.cache_read_input_tokens = later.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.cache_creation_input_tokens = later.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_creation = later.cache_creation.or(self.cache_creation.take());
        self.output_tokens = later.output_tokens.or(self.output_tokens);
        self.service_tier = later.service_tier.or(self.service_tier.take());
    }

    fn usage(&self) -> Usage {
        let hour = self.cache_creation.as_ref().and_then(|made| made.ephemeral_1h_input_tokens).unwrap_or(0);
        let five = self.cache_creation.as_ref().and_then(|made| made.ephemeral_5m_input_tokens).unwrap_or(0);
        // The total wins over its parts: what no part claims lives five minutes.
        let written = self.cache_creation_input_tokens.unwrap_or(0).max(five.saturating_add(hour));
        Usage {
            input: self.input_tokens.unwrap_or(0).max(0),
            cache_read: self.cache_read_input_tokens.unwrap_or(0).max(0),
            cache_write: written.saturating_sub(hour).max(0),
            cache_write_hour: hour.max(0),
            output: self.output_tokens.unwrap_or(0).max(0),
        }
    }
}

fn stop(reason: String) -> Stop {
    match reason.as_str() {
        "end_turn" | "stop_sequence" => Stop::Complete,
        "max_tokens" | "model_context_window_exceeded" => Stop::MaxTokens,
        "refusal" => Stop::Refused,
        _ => Stop::Other(reason),
    }
}

pub(super) fn answer(body: &[u8]) -> Result<Draft, Fault> {
    draft(parse(body)?)
}

/// Takes a whole message apart.
pub(crate) fn draft(reply: Reply) -> Result<Draft, Fault> {
    if let Some(error) = &reply.error {
        return Err(said(error));
    }
    let blocks = reply.content.ok_or(Fault::Malformed)?;
    let text = blocks.into_iter().filter(|block| block.kind == "text").filter_map(|block| block.text).collect();
    Ok(Draft {
        text,
        stop: reply.stop_reason.map(stop),
        usage: reply.usage.usage(),
        model: reply.model,
        tier: reply.usage.service_tier,
        dollars: None,
    })
}

/// A streamed message.
#[derive(Default)]
pub(super) struct Folding {
    draft: Draft,
    tokens: Tokens,
    ended: bool,
}

/// The events that concern us; of the others not even the shape is looked at.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part {
    MessageStart {
        message: Reply,
    },
    ContentBlockStart {
        content_block: Block,
    },
    ContentBlockDelta {
        delta: Delta,
    },
    MessageDelta {
        delta: Delta,
        #[serde(default)]
        usage: Tokens,
    },
    MessageStop,
    Error {
        error: Value,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Delta {
    text: Option<String>,
    stop_reason: Option<String>,
}

impl Fold for Folding {
    fn event(&mut self, event: &Event) -> Result<Step, Fault> {
        match parse(event.data.as_bytes())? {
            Part::Error { error } => return Err(said(&error)),
            Part::MessageStart { message } => {
                self.draft.model = message.model;
                self.tokens = message.usage;
            }
            Part::ContentBlockStart { content_block } if content_block.kind == "text" => {
                return Ok(self.text(content_block.text));
            }
            Part::ContentBlockDelta { delta } => return Ok(self.text(delta.text)),
            Part::MessageDelta { delta, usage } => {
                self.draft.stop = delta.stop_reason.map(stop).or(self.draft.stop.take());
                self.tokens.update(usage);
            }
            Part::MessageStop => {
                self.ended = true;
                return Ok(Step::Done);
            }
            Part::ContentBlockStart { .. } | Part::Other => {}
        }
        Ok(Step::Nothing)
    }

    fn is_whole(&self) -> bool {
        self.ended
    }

    fn end(mut self: Box<Self>) -> Result<Draft, Fault> {
        if !self.ended {
            return Err(Fault::Truncated);
        }
        self.draft.usage = self.tokens.usage();
        self.draft.tier = self.tokens.service_tier;
        Ok(self.draft)
    }
}

impl Folding {
    fn text(&mut self, text: Option<String>) -> Step {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Step::Nothing };
        self.draft.text.push_str(&text);
        Step::Text(text)
    }
}
