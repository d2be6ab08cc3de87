//! The switches by which servers differ that otherwise speak the same wire.
//! Refuses to hold what no code reads: sampling parameters are never sent and a model's thinking is
//! never read, so neither has a switch.

use serde::Deserialize;

/// How a server is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dialect {
    /// The wire format.
    pub wire: Wire,
    /// It may be asked without a key.
    #[serde(default)]
    pub key_optional: bool,
    /// The field of Chat Completions that limits the answer.
    #[serde(default)]
    pub max_tokens: MaxTokens,
    /// How Chat Completions and Responses are told a schema.
    #[serde(default)]
    pub schema: SchemaDialect,
    /// It must be asked to count tokens in a stream.
    #[serde(default = "yes")]
    pub usage_in_stream: bool,
    /// User and assistant must take turns: neighbours of one role are joined.
    #[serde(default)]
    pub alternate: bool,
    /// It says in `usage.cost` what a call cost, in dollars, and is believed.
    #[serde(default)]
    pub reports_cost: bool,
}

const fn yes() -> bool {
    true
}

/// A wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wire {
    /// Anthropic's Messages.
    Messages,
    /// OpenAI's Chat Completions, and everybody's.
    ChatCompletions,
    /// OpenAI's Responses.
    Responses,
    /// Gemini's `generateContent`.
    GenerateContent,
}

/// The field of Chat Completions that limits an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxTokens {
    /// The older one, which most servers know.
    #[default]
    MaxTokens,
    /// The one that OpenAI's newer models insist on.
    MaxCompletionTokens,
}

/// How a server that speaks one of OpenAI's wires is told a schema.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaDialect {
    /// By `json_schema`, strict where the schema qualifies.
    #[default]
    JsonSchema,
    /// In the prompt, with `json_object` beside it.
    JsonObject,
    /// In the prompt.
    Prompt,
}

/// A batch API. Offered are those of Anthropic, OpenAI and Gemini; the others are known, but not written yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Batch {
    /// It has none.
    #[default]
    None,
    /// Anthropic's message batches.
    Anthropic,
    /// Files and batches of OpenAI, and of those who copied both whole.
    Openai,
    /// Gemini's `batchGenerateContent`.
    Gemini,
    /// Mistral's batch jobs.
    Mistral,
    /// OpenAI's with Together's file purpose and upper-case states.
    Together,
    /// OpenRouter's inline batches.
    Openrouter,
    /// xAI's, filled call by call.
    Xai,
    /// OpenAI's for Chat Completions alone, as Groq has them.
    Groq,
    /// OpenAI's for Responses alone, as Perplexity has them.
    Perplexity,
}
