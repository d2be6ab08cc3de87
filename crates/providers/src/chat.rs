//! One request and one answer, whoever serves them.
//! Refuses to know how either is spelled on a wire.

use domain::money::{Nanos, Usage};
use serde_json::Value;
use std::time::Duration;

/// What a model is asked.
#[derive(Debug, Clone)]
pub struct Request {
    /// `provider/model`; what follows the first slash is the provider's own name for it.
    pub model: String,
    /// What the model is and how it should answer.
    pub system: Option<String>,
    /// The conversation so far, oldest first; the last one is the user's.
    pub messages: Vec<Message>,
    /// A JSON Schema that the answer should satisfy; the caller still checks it.
    pub schema: Option<Value>,
    /// The most tokens of the answer, thinking included; lowered to what the model can write.
    pub max_tokens: u32,
    /// Takes the slower and cheaper tier where the model has one.
    pub flex: bool,
    /// The most time that all tries together may take.
    pub timeout: Duration,
    /// Sent as `X-Client-Request-Id`, to be found again in the provider's logs.
    pub request_id: String,
    /// The W3C trace context to send along.
    pub traceparent: Option<String>,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub text: String,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one who asks.
    User,
    /// The model.
    Assistant,
}

/// What a model answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What it wrote, without its thinking.
    pub text: String,
    /// The text as JSON, when a schema was asked for and the text is JSON.
    pub data: Option<Value>,
    /// Why it stopped.
    pub stop: Stop,
    /// The tokens of every billed try of this request.
    pub usage: Usage,
    /// What those tokens cost; 0 when the catalogue has no price for the model.
    pub nanos: Nanos,
    /// What they would have cost at pace now; the same as `nanos` when that was the pace.
    pub list_nanos: Nanos,
    /// `provider/model`, as the provider names the model that answered.
    pub model: String,
    /// The answer came from the emulator, not from a model.
    pub emulated: bool,
    /// The provider's own id of the last try.
    pub request_id: Option<String>,
}

/// Why a model stopped writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// It had said everything.
    Complete,
    /// It reached the limit of tokens or of the context window; the text is cut.
    MaxTokens,
    /// It declined, or the provider blocked the prompt. Only in [`crate::Error::billed`].
    Refused,
    /// The provider's filter cut the answer. Only in [`crate::Error::billed`].
    Filtered,
    /// A reason that this crate does not know, in the provider's word.
    Other(String),
}

/// A piece of an answer that is being written.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one is held at a time, and the large one ends the stream")]
pub enum Chunk {
    /// The next piece of text.
    Text(String),
    /// The whole answer; nothing follows.
    End(Answer),
}
