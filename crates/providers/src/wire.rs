//! What the four wire formats have in common: a prompt made ready, an answer taken apart.
//! Refuses to know addresses, keys, prices and retries.

pub(crate) mod chat_completions;
pub(crate) mod generate_content;
pub(crate) mod messages;
pub(crate) mod responses;

use crate::{
    catalogue::{Dialect, MaxTokens, SchemaDialect, Wire},
    chat::{Request, Role, Stop},
    sse::Event,
    strict::{self, Rules},
};
use domain::money::Usage;
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;

/// A request as one wire needs it.
#[derive(Debug)]
pub(crate) struct Prompt<'a> {
    /// The provider's own name of the model.
    pub(crate) model: &'a str,
    pub(crate) system: Option<Cow<'a, str>>,
    pub(crate) turns: Vec<Turn<'a>>,
    pub(crate) shape: Shape<'a>,
    pub(crate) max_tokens: u32,
    pub(crate) flex: bool,
    pub(crate) stream: bool,
    pub(crate) limit: MaxTokens,
    pub(crate) usage_in_stream: bool,
}

/// One turn of the conversation.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) role: Role,
    pub(crate) text: Cow<'a, str>,
}

/// What the answer has to look like, as far as the wire can say it.
#[derive(Debug, PartialEq)]
pub(crate) enum Shape<'a> {
    /// Text; a schema, if there is one, stands in the system prompt.
    Free,
    /// A JSON object; its schema stands in the system prompt.
    Object,
    /// JSON by schema.
    Schema { schema: Cow<'a, Value>, strict: bool },
}

/// An answer as it came off the wire, not yet judged or priced.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Draft {
    pub(crate) text: String,
    pub(crate) stop: Option<Stop>,
    pub(crate) usage: Usage,
    pub(crate) model: Option<String>,
    /// The service tier that the provider says it used.
    pub(crate) tier: Option<String>,
    /// What the provider says it cost, in dollars.
    pub(crate) dollars: Option<f64>,
}

/// Why bytes that came with a good status are no answer.
#[derive(Debug, PartialEq)]
pub(crate) enum Fault {
    /// The stream ended before the answer did.
    Truncated,
    /// The bytes are not what the wire prescribes.
    Malformed,
    /// The provider sent an error instead, as JSON.
    Said(Vec<u8>),
}

/// What one event of a stream brought.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    Nothing,
    Text(String),
    /// Nothing of interest follows.
    Done,
}

/// Puts an answer together from the events of a stream.
pub(crate) trait Fold: Send {
    /// Takes one event.
    fn event(&mut self, event: &Event) -> Result<Step, Fault>;
    /// Tells whether the answer is whole, should the stream break off here.
    fn is_whole(&self) -> bool;
    /// Gives the answer when the stream has ended.
    fn end(self: Box<Self>) -> Result<Draft, Fault>;
}

impl<'a> Prompt<'a> {
    /// Makes a request ready for one wire.
    pub(crate) fn new(request: &'a Request, wire: Wire, dialect: &'a Dialect, model: &'a str) -> Self {
        let (shape, in_prompt) = match &request.schema {
            Some(schema) => shape(schema, wire, dialect.schema),
            None => (Shape::Free, false),
        };
        let system = request.system.as_deref();
        let system = match request.schema.as_ref().filter(|_| in_prompt) {
            Some(schema) => Some(Cow::Owned(with_schema(system, schema))),
            None => system.map(Cow::Borrowed),
        };
        Self {
            model,
            system,
            turns: turns(request, dialect.alternate),
            shape,
            max_tokens: request.max_tokens,
            flex: false,
            stream: false,
            limit: dialect.max_tokens,
            usage_in_stream: dialect.usage_in_stream,
        }
    }

    /// Writes the request's body.
    pub(crate) fn body(&self, wire: Wire) -> Result<Vec<u8>, serde_json::Error> {
        match wire {
            Wire::Messages => messages::body(self),
            Wire::ChatCompletions => chat_completions::body(self),
            Wire::Responses => responses::body(self),
            Wire::GenerateContent => generate_content::body(self),
        }
    }
}

/// Takes a whole answer apart.
pub(crate) fn answer(wire: Wire, body: &[u8]) -> Result<Draft, Fault> {
    match wire {
        Wire::Messages => messages::answer(body),
        Wire::ChatCompletions => chat_completions::answer(body),
        Wire::Responses => responses::answer(body),
        Wire::GenerateContent => generate_content::answer(body),
    }
}

/// Begins to take a streamed answer apart.
pub(crate) fn fold(wire: Wire) -> Box<dyn Fold> {
    match wire {
        Wire::Messages => Box::<messages::Folding>::default(),
        Wire::ChatCompletions => Box::<chat_completions::Folding>::default(),
        Wire::Responses => Box::<responses::Folding>::default(),
        Wire::GenerateContent => Box::<generate_content::Folding>::default(),
    }
}

/// Chooses how to ask for a schema; the flag says that it must stand in the prompt as well.
fn shape(schema: &Value, wire: Wire, dialect: SchemaDialect) -> (Shape<'_>, bool) {
    let is_object = schema.get("type").and_then(Value::as_str) == Some("object");
    let strict = |fitted: strict::Fitted| Shape::Schema { schema: Cow::Owned(fitted.schema), strict: true };
    match (wire, dialect) {
        (Wire::GenerateContent, _) => (Shape::Schema { schema: Cow::Borrowed(schema), strict: true }, false),
        (Wire::Messages, _) => match strict::fit(schema, Rules::Anthropic) {
            Some(fitted) => {
                let in_prompt = !fitted.whole;
                (strict(fitted), in_prompt)
            }
            None => (Shape::Free, true),
        },
        (_, SchemaDialect::JsonSchema) if is_object => match strict::fit(schema, Rules::OpenAi) {
            Some(fitted) => (strict(fitted), false),
            None => (Shape::Schema { schema: Cow::Borrowed(schema), strict: false }, false),
        },
        (_, SchemaDialect::JsonObject) if is_object => (Shape::Object, true),
        _ => (Shape::Free, true),
    }
}

fn with_schema(system: Option<&str>, schema: &Value) -> String {
    let instruction =
        format!("Answer with one JSON value that satisfies this JSON Schema, and with nothing else:\n{schema}");
    match system {
        Some(system) => format!("{system}\n\n{instruction}"),
        None => instruction,
    }
}

fn turns(request: &Request, alternate: bool) -> Vec<Turn<'_>> {
    let mut turns: Vec<Turn<'_>> = Vec::with_capacity(request.messages.len());
    for message in &request.messages {
        match turns.last_mut() {
            Some(last) if alternate && last.role == message.role => {
                let text = last.text.to_mut();
                text.push_str("\n\n");
                text.push_str(&message.text);
            }
            _ => turns.push(Turn { role: message.role, text: Cow::Borrowed(&message.text) }),
        }
    }
    turns
}

/// The spelling of roles that three of the four wires share.
pub(crate) const fn role(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

/// A `{role, content}` turn, as three of the four wires write it.
#[derive(Debug, Serialize)]
pub(crate) struct PlainTurn<'a> {
    pub(crate) role: &'static str,
    pub(crate) content: &'a str,
}

impl<'a> From<&'a Turn<'_>> for PlainTurn<'a> {
    fn from(turn: &'a Turn<'_>) -> Self {
        Self { role: role(turn.role), content: &turn.text }
    }
}

/// Parses the JSON of an answer or an event.
pub(crate) fn parse<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Fault> {
    serde_json::from_slice(bytes).map_err(|_| Fault::Malformed)
}

/// Hands on an error that came where an answer should be.
pub(crate) fn said(error: &Value) -> Fault {
    Fault::Said(serde_json::json!({ "error": error }).to_string().into_bytes())
}

#[cfg(test)]
mod tests;
