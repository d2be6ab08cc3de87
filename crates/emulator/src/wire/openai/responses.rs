//! Reads and checks a Responses request. Refuses to keep conversations: `previous_response_id` finds nothing.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::content::{Content, Text};
use super::super::{Ask, Echo, Forced, Turn};
use super::{check_model, check_strict, missing, refuse};
use crate::problem::Problem;

#[derive(Debug, Deserialize)]
struct Request<'a> {
    #[serde(borrow, default)]
    model: Text<'a>,
    #[serde(borrow, default)]
    input: Option<Input<'a>>,
    #[serde(borrow, default)]
    instructions: Text<'a>,
    max_output_tokens: Option<u64>,
    stream: Option<bool>,
    store: Option<bool>,
    #[serde(borrow, default)]
    previous_response_id: Text<'a>,
    #[serde(borrow, default)]
    tools: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_choice: Option<&'a RawValue>,
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow, default)]
    service_tier: Text<'a>,
}

/// A string, or a list of items.
#[derive(Debug, Default)]
struct Input<'a>(Vec<Item<'a>>);

#[derive(Debug, Default, Deserialize)]
struct Item<'a> {
    #[serde(borrow, default)]
    role: Text<'a>,
    #[serde(borrow, default)]
    content: Content<'a>,
    #[serde(borrow, default)]
    output: Content<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Input<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Input<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string or a list of items")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Input(vec![said(Cow::Borrowed(text))]))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Input(vec![said(Cow::Owned(text.to_owned()))]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Input(items))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

fn said(text: Cow<'_, str>) -> Item<'_> {
    let content = Content { filled: !text.is_empty(), text, ..Content::default() };
    Item { role: Text(Cow::Borrowed("user")), content, output: Content::default() }
}

#[derive(Debug, Deserialize)]
struct TextConfig {
    format: Option<Format>,
}

#[derive(Debug, Deserialize)]
struct Format {
    r#type: String,
    schema: Option<Value>,
    strict: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Tool {
    #[serde(default)]
    name: String,
    #[serde(default)]
    parameters: Value,
}

const FIELDS: &[(&str, &str)] = &[
    ("model", "a string"),
    ("instructions", "a string"),
    ("max_output_tokens", "an integer"),
    ("stream", "a boolean"),
    ("store", "a boolean"),
    ("tools", "an array"),
    ("text", "an object"),
];

/// Reads a request of `/v1/responses`.
pub(crate) fn read(body: &[u8]) -> Result<Ask<'_>, Problem> {
    let request: Request<'_> = serde_json::from_slice(body).map_err(|error| refuse(body, FIELDS, &error))?;
    check_model(&request.model)?;
    if !request.previous_response_id.0.is_empty() {
        let words = format!("Previous response with id '{}' not found.", request.previous_response_id.0);
        return Err(Problem::field("previous_response_id", words).code("previous_response_not_found"));
    }
    let Some(input) = request.input else { return Err(missing("input")) };
    let schema = request.text.map(schema).transpose()?.flatten();
    let forced = forced(request.tools, request.tool_choice)?;
    let mut ask = Ask {
        model: request.model.0,
        system: request.instructions.0,
        max_tokens: request.max_output_tokens,
        schema,
        forced,
        stream: request.stream.unwrap_or_default(),
        tier: Some(request.service_tier.0).filter(|tier| !tier.is_empty()),
        definitions: request.tools.map_or(0, |tools| tools.get().len()),
        echo: Echo {
            tools: request.tools,
            tool_choice: request.tool_choice,
            text: request.text,
            metadata: request.metadata,
            store: request.store,
        },
        ..Ask::default()
    };
    for (at, item) in input.0.into_iter().enumerate() {
        let text = if item.content.filled { item.content.text } else { item.output.text };
        match item.role.0.as_ref() {
            "system" | "developer" if ask.system.is_empty() => ask.system = text,
            "system" | "developer" => ask.system = format!("{}\n\n{text}", ask.system).into(),
            "" | "user" => ask.turns.push(Turn { own: false, text }),
            "assistant" => ask.turns.push(Turn { own: true, text }),
            role => {
                let field = format!("input[{at}].role");
                let words = format!("Invalid value: '{role}'. Known roles: assistant, system, developer, user.");
                return Err(Problem::field(&field, words).code("invalid_value"));
            }
        }
    }
    Ok(ask)
}

fn schema(text: &RawValue) -> Result<Option<Value>, Problem> {
    let config: TextConfig = serde_json::from_str(text.get())
        .map_err(|error| Problem::field("text", format!("Invalid 'text': {error}.")))?;
    let Some(format) = config.format else { return Ok(None) };
    match (format.r#type.as_str(), format.schema) {
        ("text", _) => Ok(None),
        ("json_schema", Some(schema)) => {
            // Here, other than in chat, a schema is strict unless it says otherwise.
            if format.strict != Some(false) {
                check_strict(&schema, "text.format.schema")?;
            }
            Ok(Some(schema))
        }
        ("json_schema", None) => Err(missing("text.format.schema")),
        ("json_object", _) => Ok(Some(serde_json::json!({
            "type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]
        }))),
        (other, _) => {
            Err(Problem::field("text.format.type", format!("Invalid value: '{other}'.")).code("invalid_value"))
        }
    }
}

fn forced(tools: Option<&RawValue>, choice: Option<&RawValue>) -> Result<Option<Forced>, Problem> {
    let choice: Option<Value> = choice.and_then(|choice| serde_json::from_str(choice.get()).ok());
    let wanted = match choice {
        Some(Value::String(word)) if word == "required" => None,
        Some(Value::Object(object)) => match object.get("name") {
            Some(Value::String(name)) => Some(name.clone()),
            _ => return Err(missing("tool_choice.name")),
        },
        _ => return Ok(None),
    };
    let tools: Vec<Tool> = match tools {
        None => return Err(Problem::field("tool_choice", "'tool_choice' needs 'tools'.")),
        Some(tools) => serde_json::from_str(tools.get())
            .map_err(|error| Problem::field("tools", format!("Invalid 'tools': {error}.")))?,
    };
    let named = |tool: &Tool| wanted.as_ref().is_none_or(|wanted| *wanted == tool.name);
    match tools.into_iter().find(|tool| !tool.name.is_empty() && named(tool)) {
        Some(Tool { name, parameters }) => Ok(Some(Forced { name, parameters })),
        None => Err(Problem::field("tool_choice", "'tool_choice' names no given tool.").code("invalid_value")),
    }
}
