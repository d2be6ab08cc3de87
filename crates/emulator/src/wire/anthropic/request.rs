//! Reads and checks a Messages request. Refuses what the real API refuses, field by field.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::content::{Content, Text};
use super::super::mistake::{self, Mistake};
use super::super::{Ask, Forced, Turn};
use crate::problem::Problem;

#[derive(Debug, Deserialize)]
struct Request<'a> {
    #[serde(borrow, default)]
    model: Text<'a>,
    max_tokens: Option<i64>,
    #[serde(borrow, default)]
    messages: Option<Vec<Message<'a>>>,
    #[serde(borrow, default)]
    system: Content<'a>,
    stream: Option<bool>,
    stop_sequences: Option<Vec<String>>,
    #[serde(borrow, default)]
    tools: Option<&'a RawValue>,
    tool_choice: Option<Choice>,
    output_config: Option<OutputConfig>,
    thinking: Option<Kind>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<f64>,
    #[serde(borrow, default)]
    service_tier: Text<'a>,
    /// Options of real-time asks alone.
    #[serde(borrow, default)]
    speed: Option<&'a RawValue>,
    #[serde(borrow, default)]
    store: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    role: Text<'a>,
    #[serde(borrow, default)]
    content: Content<'a>,
}

#[derive(Debug, Deserialize)]
struct Kind {
    r#type: String,
}

#[derive(Debug, Deserialize)]
struct Choice {
    r#type: String,
    name: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Tool {
    name: String,
    #[serde(default)]
    input_schema: Value,
}

#[derive(Debug, Deserialize)]
struct OutputConfig {
    format: Option<Format>,
}

#[derive(Debug, Deserialize)]
struct Format {
    r#type: String,
    schema: Option<Value>,
}

const FIELDS: &[(&str, &str)] = &[
    ("model", "a string"),
    ("max_tokens", "an integer"),
    ("messages", "an array"),
    ("stream", "a boolean"),
    ("temperature", "a number"),
    ("top_p", "a number"),
    ("top_k", "a number"),
    ("stop_sequences", "an array"),
    ("tools", "an array"),
    ("tool_choice", "an object"),
    ("output_config", "an object"),
    ("thinking", "an object"),
];

/// Reads a request of `/v1/messages`; `newer` = under the version of 2026-10-21.
pub(crate) fn read(body: &[u8], newer: bool) -> Result<Ask<'_>, Problem> {
    checked(parse(body)?, newer)
}

fn checked(request: Request<'_>, newer: bool) -> Result<Ask<'_>, Problem> {
    let Some(max_tokens) = request.max_tokens else {
        return Err(Problem::field("max_tokens", "max_tokens: Field required"));
    };
    let max_tokens = u64::try_from(max_tokens)
        .map_err(|_| Problem::field("max_tokens", "max_tokens: Input should be at least 0"))?;
    check(&request, newer)?;
    let mut ask = ask(request)?;
    ask.max_tokens = Some(max_tokens);
    Ok(ask)
}

/// Reads the `params` of a batch's item, which may not do all that a request may.
pub(crate) fn read_item(params: &[u8], newer: bool) -> Result<Ask<'_>, Problem> {
    let request = parse(params)?;
    for (name, given) in [("speed", request.speed.is_some()), ("store", request.store.is_some())] {
        if given {
            return Err(Problem::field(name, format!("{name}: not supported in a batch")));
        }
    }
    let ask = checked(request, newer)?;
    if ask.stream {
        return Err(Problem::field("stream", "stream: not supported in a batch"));
    }
    if ask.max_tokens == Some(0) {
        return Err(Problem::field("max_tokens", "max_tokens: must be at least 1 in a batch"));
    }
    Ok(ask)
}

/// Reads a request of `/v1/messages/count_tokens`, which has no `max_tokens`.
pub(crate) fn count(body: &[u8], newer: bool) -> Result<Ask<'_>, Problem> {
    let request = parse(body)?;
    check(&request, newer)?;
    ask(request)
}

fn parse(body: &[u8]) -> Result<Request<'_>, Problem> {
    serde_json::from_slice(body).map_err(|error| match mistake::find(body, FIELDS, &error) {
        Mistake::NotJson(words) => Problem::new(400, format!("The body is not valid JSON: {words}")),
        Mistake::Type { field, expected, found } => {
            Problem::field(&field, format!("{field}: Input should be {expected}, not {found}"))
        }
        Mistake::Other(words) => Problem::new(400, format!("messages: {words}")),
    })
}

fn check(request: &Request<'_>, newer: bool) -> Result<(), Problem> {
    let model = request.model.0.as_ref();
    match model {
        "" => return Err(Problem::field("model", "model: Field required")),
        "missing-model" => return Err(Problem::new(404, format!("model: {model}"))),
        _ => {}
    }
    let Some(messages) = &request.messages else {
        return Err(Problem::field("messages", "messages: Field required"));
    };
    if messages.is_empty() {
        return Err(Problem::field("messages", "messages: at least one message is required"));
    }
    for (at, message) in messages.iter().enumerate() {
        check_message(at, message, newer, at + 1 == messages.len())?;
    }
    check_gates(request, messages, newer)
}

fn check_message(at: usize, message: &Message<'_>, newer: bool, last: bool) -> Result<(), Problem> {
    let path = format!("messages.{at}");
    let refuse = |field: &str, words: &str| Err(Problem::field(field, format!("{field}: {words}")));
    let user = match message.role.0.as_ref() {
        "user" => true,
        "assistant" => false,
        "" => return refuse(&format!("{path}.role"), "Field required"),
        "system" => return refuse(&format!("{path}.role"), "'system' is no role here; use the top-level `system`"),
        _ => return refuse(&format!("{path}.role"), "Input should be 'user' or 'assistant'"),
    };
    if !message.content.filled && (user || !last) {
        return refuse(&format!("{path}.content"), "content must not be empty");
    }
    if message.content.hollow {
        return refuse(&format!("{path}.content"), "text blocks must not be empty");
    }
    if newer && !user && message.content.document {
        return refuse(&format!("{path}.content"), "a document block is not allowed in an assistant message");
    }
    if newer && user && message.content.citations {
        return refuse(&format!("{path}.content"), "citations are not allowed in a user message");
    }
    Ok(())
}

/// What depends on the version header and on the model's generation.
fn check_gates(request: &Request<'_>, messages: &[Message<'_>], newer: bool) -> Result<(), Problem> {
    let sampling = [("temperature", request.temperature), ("top_p", request.top_p), ("top_k", request.top_k)];
    if let Some((name, _)) = sampling.iter().find(|(_, value)| newer && value.is_some()) {
        return Err(Problem::field(name, format!("{name}: not supported in this API version")));
    }
    let generation = generation(&request.model.0);
    if generation >= (4, 6) && messages.last().is_some_and(|message| message.role.0 == "assistant") {
        return Err(Problem::field("messages", "messages: this model takes no prefilled assistant message"));
    }
    if generation >= (4, 7) && request.thinking.as_ref().is_some_and(|thinking| thinking.r#type == "enabled") {
        return Err(Problem::field("thinking.type", "thinking.type: 'enabled' is not supported; use 'adaptive'"));
    }
    Ok(())
}

fn ask(request: Request<'_>) -> Result<Ask<'_>, Problem> {
    let schema = match request.output_config.and_then(|config| config.format) {
        None => None,
        Some(Format { r#type, schema: Some(schema) }) if r#type == "json_schema" && schema.is_object() => Some(schema),
        Some(_) => {
            let field = "output_config.format";
            return Err(Problem::field(field, format!("{field}: needs type 'json_schema' and an object `schema`")));
        }
    };
    let forced = forced(request.tools, request.tool_choice, &request.model.0)?;
    let definitions = request.tools.map_or(0, |tools| tools.get().len());
    Ok(Ask {
        model: request.model.0,
        system: request.system.text,
        turns: request
            .messages
            .unwrap_or_default()
            .into_iter()
            .map(|message| Turn { own: message.role.0 == "assistant", text: message.content.text })
            .collect(),
        stops: request.stop_sequences.unwrap_or_default(),
        schema,
        forced,
        stream: request.stream.unwrap_or_default(),
        tier: Some(request.service_tier.0).filter(|tier| !tier.is_empty()),
        definitions,
        ..Ask::default()
    })
}

fn forced(tools: Option<&RawValue>, choice: Option<Choice>, model: &str) -> Result<Option<Forced>, Problem> {
    let Some(choice) = choice.filter(|choice| matches!(choice.r#type.as_str(), "any" | "tool")) else {
        return Ok(None);
    };
    if model.starts_with("claude-opus-5-5") || model.starts_with("claude-fable-5-1") {
        return Err(Problem::field("tool_choice", "tool_choice: this model always thinks and takes no forced tool"));
    }
    let tools: Vec<Tool> = match tools {
        None => return Err(Problem::field("tool_choice", "tool_choice: needs `tools`")),
        Some(tools) => {
            serde_json::from_str(tools.get()).map_err(|error| Problem::field("tools", format!("tools: {error}")))?
        }
    };
    let wanted = choice.name.unwrap_or_default();
    let tool = tools.into_iter().find(|tool| choice.r#type == "any" || tool.name == wanted);
    match tool {
        Some(tool) => Ok(Some(Forced { name: tool.name, parameters: tool.input_schema })),
        None => Err(Problem::field("tool_choice", format!("tool_choice: no tool is called '{wanted}'"))),
    }
}

/// Major and minor number in a Claude model's name; zero for other names.
fn generation(model: &str) -> (u32, u32) {
    let Some(rest) = model.strip_prefix("claude-") else { return (0, 0) };
    let mut numbers = rest.split('-').filter(|part| part.len() <= 2).filter_map(|part| part.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
