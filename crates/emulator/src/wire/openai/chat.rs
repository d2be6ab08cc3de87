//! Reads and checks a Chat Completions request. Refuses what the newest models refuse.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::super::content::{Content, Strings, Text};
use super::super::{Ask, Forced, Turn};
use super::{check_model, check_strict, is_new, missing, refuse};
use crate::problem::Problem;

#[derive(Debug, Deserialize)]
struct Request<'a> {
    #[serde(borrow, default)]
    model: Text<'a>,
    #[serde(borrow, default)]
    messages: Option<Vec<Message<'a>>>,
    max_completion_tokens: Option<u64>,
    max_tokens: Option<u64>,
    temperature: Option<f64>,
    #[serde(default)]
    stop: Strings,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    #[serde(borrow, default)]
    tools: Option<&'a RawValue>,
    tool_choice: Option<Value>,
    response_format: Option<ResponseFormat>,
    #[serde(borrow, default)]
    reasoning_effort: Text<'a>,
    #[serde(borrow, default)]
    service_tier: Text<'a>,
}

#[derive(Debug, Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    role: Text<'a>,
    #[serde(borrow, default)]
    content: Content<'a>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct ResponseFormat {
    r#type: String,
    json_schema: Option<JsonSchema>,
    /// llama.cpp's place for a schema.
    schema: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct JsonSchema {
    schema: Option<Value>,
    strict: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Tool {
    function: Option<Function>,
}

#[derive(Debug, Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    parameters: Value,
}

const FIELDS: &[(&str, &str)] = &[
    ("model", "a string"),
    ("messages", "an array"),
    ("max_completion_tokens", "an integer"),
    ("max_tokens", "an integer"),
    ("temperature", "a number"),
    ("stream", "a boolean"),
    ("stream_options", "an object"),
    ("tools", "an array"),
    ("response_format", "an object"),
    ("reasoning_effort", "a string"),
    ("service_tier", "a string"),
];
const ROLES: [&str; 6] = ["system", "developer", "user", "assistant", "tool", "function"];

/// Reads a request of `/v1/chat/completions`.
pub(crate) fn read(body: &[u8]) -> Result<Ask<'_>, Problem> {
    let request: Request<'_> = serde_json::from_slice(body).map_err(|error| refuse(body, FIELDS, &error))?;
    check(&request)?;
    let schema = schema(request.response_format)?;
    let forced = forced(request.tools, request.tool_choice)?;
    let mut ask = Ask {
        model: request.model.0,
        max_tokens: request.max_completion_tokens.or(request.max_tokens),
        stops: request.stop.0,
        schema,
        forced,
        stream: request.stream.unwrap_or_default(),
        stream_usage: request.stream_options.and_then(|options| options.include_usage).unwrap_or_default(),
        tier: Some(request.service_tier.0).filter(|tier| !tier.is_empty()),
        definitions: request.tools.map_or(0, |tools| tools.get().len()),
        ..Ask::default()
    };
    for message in request.messages.unwrap_or_default() {
        let text = message.content.text;
        match message.role.0.as_ref() {
            "system" | "developer" if ask.system.is_empty() => ask.system = text,
            "system" | "developer" => ask.system = format!("{}\n\n{text}", ask.system).into(),
            role => ask.turns.push(Turn { own: role == "assistant", text }),
        }
    }
    Ok(ask)
}

fn check(request: &Request<'_>) -> Result<(), Problem> {
    check_model(&request.model)?;
    let Some(messages) = &request.messages else { return Err(missing("messages")) };
    if messages.is_empty() {
        return Err(
            Problem::field("messages", "Invalid 'messages': at least one message is needed.").code("empty_array")
        );
    }
    for (at, message) in messages.iter().enumerate() {
        let role = message.role.0.as_ref();
        let field = format!("messages[{at}].role");
        if role.is_empty() {
            return Err(missing(&field));
        }
        if !ROLES.contains(&role) {
            let words = format!("Invalid value: '{role}'. Known roles: {}.", ROLES.join(", "));
            return Err(Problem::field(&field, words).code("invalid_value"));
        }
    }
    if is_new(&request.model.0) { check_new(request) } else { Ok(()) }
}

/// What GPT-5.4 and later refuse.
fn check_new(request: &Request<'_>) -> Result<(), Problem> {
    if request.max_tokens.is_some() {
        let words = "Unsupported parameter: 'max_tokens'. This model takes 'max_completion_tokens'.";
        return Err(Problem::field("max_tokens", words).code("unsupported_parameter"));
    }
    if request.temperature.is_some_and(|value| (value - 1.0).abs() > f64::EPSILON) {
        let words = "Unsupported value: this model takes no 'temperature' but 1.";
        return Err(Problem::field("temperature", words).code("unsupported_value"));
    }
    if request.tools.is_some() && request.reasoning_effort.0 != "none" {
        let words = "Function tools need /v1/responses with this model, or reasoning_effort 'none'.";
        return Err(Problem::field("tools", words).code("unsupported_parameter"));
    }
    Ok(())
}

fn schema(format: Option<ResponseFormat>) -> Result<Option<Value>, Problem> {
    let Some(format) = format else { return Ok(None) };
    match (format.r#type.as_str(), format.json_schema, format.schema) {
        ("text", ..) => Ok(None),
        ("json_schema", Some(JsonSchema { schema: Some(schema), strict }), _) => {
            if strict == Some(true) {
                check_strict(&schema, "response_format")?;
            }
            Ok(Some(schema))
        }
        ("json_schema", ..) => Err(missing("response_format.json_schema.schema")),
        ("json_object", _, Some(schema)) => Ok(Some(schema)),
        ("json_object", ..) => {
            Ok(Some(json!({"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]})))
        }
        (other, ..) => {
            Err(Problem::field("response_format.type", format!("Invalid value: '{other}'.")).code("invalid_value"))
        }
    }
}

fn forced(tools: Option<&RawValue>, choice: Option<Value>) -> Result<Option<Forced>, Problem> {
    let wanted = match choice {
        Some(Value::String(word)) if word == "required" || word == "any" => None,
        Some(Value::Object(object)) => match object.get("function").and_then(|function| function.get("name")) {
            Some(Value::String(name)) => Some(name.clone()),
            _ => return Err(missing("tool_choice.function.name")),
        },
        _ => return Ok(None),
    };
    let tools: Vec<Tool> = match tools {
        None => return Err(Problem::field("tool_choice", "'tool_choice' needs 'tools'.")),
        Some(tools) => serde_json::from_str(tools.get())
            .map_err(|error| Problem::field("tools", format!("Invalid 'tools': {error}.")))?,
    };
    let mut functions = tools.into_iter().filter_map(|tool| tool.function);
    match functions.find(|function| wanted.as_ref().is_none_or(|wanted| *wanted == function.name)) {
        Some(Function { name, parameters }) => Ok(Some(Forced { name, parameters })),
        None => Err(Problem::field("tool_choice", "'tool_choice' names no given tool.").code("invalid_value")),
    }
}
