//! Reads and checks a generateContent request, in camelCase and snake_case. Refuses roles that are none.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::content::{Content, Text};
use super::super::mistake::{self, Mistake};
use super::super::{Ask, Forced, Turn};
use crate::problem::Problem;

#[derive(Debug, Default, Deserialize)]
struct Request<'a> {
    #[serde(borrow, default)]
    contents: Vec<Said<'a>>,
    #[serde(borrow, default, rename = "systemInstruction", alias = "system_instruction")]
    system: Option<Said<'a>>,
    #[serde(default, rename = "generationConfig", alias = "generation_config")]
    config: Option<Config>,
    #[serde(borrow, default)]
    tools: Option<&'a RawValue>,
    #[serde(default, rename = "toolConfig", alias = "tool_config")]
    tool_config: Option<ToolConfig>,
    #[serde(borrow, default, rename = "serviceTier", alias = "service_tier")]
    service_tier: Text<'a>,
    /// Only in countTokens: the whole request once more.
    #[serde(borrow, default, rename = "generateContentRequest", alias = "generate_content_request")]
    inner: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
struct Said<'a> {
    #[serde(borrow, default)]
    role: Text<'a>,
    #[serde(borrow, default)]
    parts: Content<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    #[serde(alias = "max_output_tokens")]
    max_output_tokens: Option<u64>,
    #[serde(alias = "stop_sequences")]
    stop_sequences: Option<Vec<String>>,
    #[serde(alias = "response_mime_type")]
    response_mime_type: Option<String>,
    #[serde(alias = "response_schema")]
    response_schema: Option<Value>,
    #[serde(alias = "response_json_schema", alias = "_responseJsonSchema")]
    response_json_schema: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
struct ToolConfig {
    #[serde(rename = "functionCallingConfig", alias = "function_calling_config")]
    calling: Option<Calling>,
}

#[derive(Debug, Default, Deserialize)]
struct Calling {
    mode: Option<String>,
    #[serde(default, rename = "allowedFunctionNames", alias = "allowed_function_names")]
    allowed: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Tool {
    #[serde(default, rename = "functionDeclarations", alias = "function_declarations")]
    functions: Vec<Function>,
}

#[derive(Debug, Deserialize)]
struct Function {
    name: String,
    parameters: Option<Value>,
    #[serde(rename = "parametersJsonSchema", alias = "parameters_json_schema")]
    json_schema: Option<Value>,
}

const FIELDS: &[(&str, &str)] = &[
    ("contents", "an array"),
    ("systemInstruction", "an object"),
    ("system_instruction", "an object"),
    ("generationConfig", "an object"),
    ("generation_config", "an object"),
    ("tools", "an array"),
    ("toolConfig", "an object"),
];

/// Reads a request of `:generateContent` and `:streamGenerateContent`.
pub(crate) fn read<'a>(body: &'a [u8], model: &str, stream: bool) -> Result<Ask<'a>, Problem> {
    if model == "missing-model" {
        return Err(Problem::new(404, format!("models/{model} is not found for this API version.")));
    }
    let request = parse(body)?;
    check(&request)?;
    let forced = forced(request.tools, request.tool_config)?;
    let config = request.config.unwrap_or_default();
    let any_json = config.response_mime_type.as_deref() == Some("application/json");
    let schema = config.response_json_schema.or(config.response_schema).or_else(|| {
        any_json.then(|| {
            serde_json::json!({"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]})
        })
    });
    Ok(Ask {
        model: model.to_owned().into(),
        system: request.system.unwrap_or_default().parts.text,
        turns: request
            .contents
            .into_iter()
            .map(|said| Turn { own: said.role.0 == "model", text: said.parts.text })
            .collect(),
        max_tokens: config.max_output_tokens,
        stops: config.stop_sequences.unwrap_or_default(),
        schema,
        forced,
        stream,
        tier: Some(request.service_tier.0).filter(|tier| !tier.is_empty()),
        definitions: request.tools.map_or(0, |tools| tools.get().len()),
        ..Ask::default()
    })
}

/// Whether a request has the right types, whatever it says.
pub(crate) fn is_well_formed(body: &[u8]) -> Result<(), Problem> {
    parse(body).map(|_| ())
}

/// Reads a request of `:countTokens`, whose content may be wrapped once more.
pub(crate) fn count<'a>(body: &'a [u8], model: &str) -> Result<Ask<'a>, Problem> {
    match parse(body)?.inner {
        Some(inner) => read(inner.get().as_bytes(), model, false),
        None => read(body, model, false),
    }
}

fn parse(body: &[u8]) -> Result<Request<'_>, Problem> {
    if body.is_empty() {
        return Ok(Request::default());
    }
    serde_json::from_slice(body).map_err(|error| match mistake::find(body, FIELDS, &error) {
        Mistake::NotJson(words) => Problem::new(400, format!("Invalid JSON payload: {words}")),
        Mistake::Type { field, expected, found } => {
            Problem::field(&field, format!("Invalid value at '{field}': expected {expected}, found {found}"))
        }
        Mistake::Other(words) => Problem::new(400, format!("Invalid value: {words}")),
    })
}

fn check(request: &Request<'_>) -> Result<(), Problem> {
    if request.contents.is_empty() {
        return Err(Problem::field("contents", "GenerateContentRequest.contents: contents is not specified"));
    }
    for (at, said) in request.contents.iter().enumerate() {
        let field = format!("contents[{at}]");
        if !matches!(said.role.0.as_ref(), "" | "user" | "model" | "function") {
            return Err(Problem::field(&format!("{field}.role"), format!("{field}.role: use 'user' or 'model'")));
        }
        if !said.parts.filled {
            return Err(Problem::field(&format!("{field}.parts"), format!("{field}.parts: must not be empty")));
        }
    }
    Ok(())
}

fn forced(tools: Option<&RawValue>, config: Option<ToolConfig>) -> Result<Option<Forced>, Problem> {
    let Some(calling) = config.and_then(|config| config.calling) else { return Ok(None) };
    if !calling.mode.is_some_and(|mode| mode.eq_ignore_ascii_case("any")) {
        return Ok(None);
    }
    let tools: Vec<Tool> = match tools {
        None => return Err(Problem::field("tool_config", "function calling mode ANY needs function declarations")),
        Some(tools) => {
            serde_json::from_str(tools.get()).map_err(|error| Problem::field("tools", format!("tools: {error}")))?
        }
    };
    let allowed = |function: &Function| calling.allowed.is_empty() || calling.allowed.contains(&function.name);
    match tools.into_iter().flat_map(|tool| tool.functions).find(allowed) {
        Some(function) => {
            let parameters = function.json_schema.or(function.parameters).unwrap_or_default();
            Ok(Some(Forced { name: function.name, parameters }))
        }
        None => Err(Problem::field("tool_config", "no declared function is allowed")),
    }
}
