//! Writes Responses answers, plain and as events. Refuses to decide what they say.

use serde::Serialize;
use serde_json::value::RawValue;

use super::super::{Ask, Event, Meta, json};
use super::tier;
use crate::count;
use crate::draft::{Draft, Part, Stop};

#[derive(Serialize)]
struct Response<'a> {
    id: &'a str,
    object: &'static str,
    created_at: i64,
    status: &'static str,
    background: bool,
    error: Option<()>,
    incomplete_details: Option<Incomplete>,
    instructions: Option<&'a str>,
    max_output_tokens: Option<u64>,
    model: &'a str,
    output: &'a [Item<'a>],
    parallel_tool_calls: bool,
    previous_response_id: Option<()>,
    reasoning: Reasoning,
    service_tier: &'static str,
    store: bool,
    temperature: f64,
    text: Raw<'a>,
    tool_choice: Raw<'a>,
    tools: Raw<'a>,
    top_p: f64,
    truncation: &'static str,
    usage: Option<Usage>,
    user: Option<()>,
    metadata: Raw<'a>,
}

#[derive(Serialize)]
struct Incomplete {
    reason: &'static str,
}

#[derive(Serialize)]
struct Reasoning {
    effort: Option<()>,
    summary: Option<()>,
}

/// A part of the request, or what stands for it when it was not given.
#[derive(Serialize)]
#[serde(untagged)]
enum Raw<'a> {
    Given(&'a RawValue),
    List([(); 0]),
    Object {},
    Word(&'static str),
    Plain { format: Typed },
}

#[derive(Serialize)]
struct Typed {
    r#type: &'static str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Item<'a> {
    Message { id: &'a str, status: &'static str, role: &'static str, content: Vec<Content<'a>> },
    FunctionCall { id: &'a str, status: &'static str, call_id: &'a str, name: &'a str, arguments: &'a str },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Content<'a> {
    OutputText { annotations: [(); 0], logprobs: [(); 0], text: &'a str },
    Refusal { refusal: &'a str },
}

#[derive(Serialize)]
struct Usage {
    input_tokens: u64,
    input_tokens_details: InputDetails,
    output_tokens: u64,
    output_tokens_details: OutputDetails,
    total_tokens: u64,
}

#[derive(Serialize)]
struct InputDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(Serialize)]
struct OutputDetails {
    reasoning_tokens: u64,
}

fn usage(draft: &Draft) -> Usage {
    let usage = draft.usage;
    let input_tokens = usage.input + usage.cache_read + usage.cache_write;
    Usage {
        input_tokens,
        input_tokens_details: InputDetails { cached_tokens: usage.cache_read, cache_write_tokens: usage.cache_write },
        output_tokens: usage.output,
        output_tokens_details: OutputDetails { reasoning_tokens: usage.reasoning },
        total_tokens: input_tokens + usage.output,
    }
}

/// The ids of one answer.
struct Ids {
    response: String,
    item: String,
    call: String,
}

impl Ids {
    fn new(meta: &Meta, part: &Part) -> Self {
        let kind = if matches!(part, Part::Call { .. }) { "fc" } else { "msg" };
        Self {
            response: format!("resp_{}", meta.id),
            item: format!("{kind}_{}", meta.id),
            call: format!("call_{}", meta.id),
        }
    }
}

/// Status of the whole, and why it is not complete.
fn outcome(stop: &Stop) -> (&'static str, Option<Incomplete>) {
    match stop {
        Stop::Length => ("incomplete", Some(Incomplete { reason: "max_output_tokens" })),
        Stop::Blocked => ("incomplete", Some(Incomplete { reason: "content_filter" })),
        Stop::Unknown => ("emulated_pause", None),
        _ => ("completed", None),
    }
}

fn item<'a>(ids: &'a Ids, part: &'a Part, status: &'static str) -> Option<Item<'a>> {
    let content = match part {
        Part::Text(text) => vec![Content::OutputText { annotations: [], logprobs: [], text }],
        Part::Refusal(refusal) => vec![Content::Refusal { refusal }],
        Part::Nothing => return None,
        Part::Call { name, arguments } => {
            return Some(Item::FunctionCall { id: &ids.item, status, call_id: &ids.call, name, arguments });
        }
    };
    Some(Item::Message { id: &ids.item, status, role: "assistant", content })
}

fn response<'a>(ask: &'a Ask<'_>, ids: &'a Ids, created_at: i64) -> Response<'a> {
    let echo = &ask.echo;
    Response {
        id: &ids.response,
        object: "response",
        created_at,
        status: "in_progress",
        background: false,
        error: None,
        incomplete_details: None,
        instructions: Some(ask.system.as_ref()).filter(|text| !text.is_empty()),
        max_output_tokens: ask.max_tokens,
        model: &ask.model,
        output: &[],
        parallel_tool_calls: true,
        previous_response_id: None,
        reasoning: Reasoning { effort: None, summary: None },
        service_tier: tier(ask.tier.as_deref()),
        store: echo.store.unwrap_or(true),
        temperature: 1.0,
        text: echo.text.map_or(Raw::Plain { format: Typed { r#type: "text" } }, Raw::Given),
        tool_choice: echo.tool_choice.map_or(Raw::Word("auto"), Raw::Given),
        tools: echo.tools.map_or(Raw::List([]), Raw::Given),
        top_p: 1.0,
        truncation: "disabled",
        usage: None,
        user: None,
        metadata: echo.metadata.map_or(Raw::Object {}, Raw::Given),
    }
}

/// The body of a plain answer.
pub(crate) fn plain(ask: &Ask<'_>, draft: &Draft, meta: &Meta) -> String {
    let ids = Ids::new(meta, &draft.part);
    let (status, incomplete_details) = outcome(&draft.stop);
    let item = item(&ids, &draft.part, if status == "incomplete" { status } else { "completed" });
    json(&Response {
        status,
        incomplete_details,
        output: item.as_slice(),
        usage: Some(usage(draft)),
        ..response(ask, &ids, meta.created)
    })
}

/// Numbers the events of one stream and gives each its name as type.
struct Writer {
    events: Vec<Event>,
}

impl Writer {
    fn push(&mut self, name: &'static str, fields: &str) {
        let number = self.events.len();
        let data = format!(r#"{{"type":"{name}","sequence_number":{number},{fields}}}"#);
        self.events.push(Event::named(name, data));
    }

    fn piece(&mut self, name: &'static str, fields: &str, piece: &str) {
        self.push(name, &format!(r#"{fields},"delta":{}"#, json(&piece)));
        if let Some(event) = self.events.last_mut() {
            event.tokens = count::tokens(piece);
        }
    }
}

/// The events of a streamed answer.
pub(crate) fn events(ask: &Ask<'_>, draft: &Draft, meta: &Meta) -> Vec<Event> {
    let ids = Ids::new(meta, &draft.part);
    let mut writer = Writer { events: Vec::new() };
    let opening = format!(r#""response":{}"#, json(&response(ask, &ids, meta.created)));
    writer.push("response.created", &opening);
    writer.push("response.in_progress", &opening);
    let (status, incomplete_details) = outcome(&draft.stop);
    let whole = item(&ids, &draft.part, if status == "incomplete" { status } else { "completed" });
    if let Some(whole) = &whole {
        let opened = opened(&ids, &draft.part);
        writer.push("response.output_item.added", &format!(r#""output_index":0,"item":{}"#, json(&opened)));
        let at = format!(r#""item_id":"{}","output_index":0"#, ids.item);
        match &draft.part {
            Part::Call { arguments, name } => {
                for piece in count::pieces(arguments) {
                    writer.piece("response.function_call_arguments.delta", &at, piece);
                }
                let done = format!(r#"{at},"arguments":{},"name":{}"#, json(arguments), json(name));
                writer.push("response.function_call_arguments.done", &done);
            }
            part => content_events(&mut writer, &at, part),
        }
        writer.push("response.output_item.done", &format!(r#""output_index":0,"item":{}"#, json(whole)));
    }
    let closing = Response {
        status,
        incomplete_details,
        output: whole.as_slice(),
        usage: Some(usage(draft)),
        ..response(ask, &ids, meta.created)
    };
    let name = if status == "incomplete" { "response.incomplete" } else { "response.completed" };
    writer.push(name, &format!(r#""response":{}"#, json(&closing)));
    writer.events
}

/// The item as it is when it has been announced and not yet written.
fn opened<'a>(ids: &'a Ids, part: &'a Part) -> Item<'a> {
    match part {
        Part::Call { name, .. } => {
            Item::FunctionCall { id: &ids.item, status: "in_progress", call_id: &ids.call, name, arguments: "" }
        }
        _ => Item::Message { id: &ids.item, status: "in_progress", role: "assistant", content: Vec::new() },
    }
}

fn content_events(writer: &mut Writer, at: &str, part: &Part) {
    let at = format!(r#"{at},"content_index":0"#);
    let (text, empty, whole) = match part {
        Part::Refusal(refusal) => (refusal, Content::Refusal { refusal: "" }, Content::Refusal { refusal }),
        Part::Text(text) => (
            text,
            Content::OutputText { annotations: [], logprobs: [], text: "" },
            Content::OutputText { annotations: [], logprobs: [], text },
        ),
        Part::Nothing | Part::Call { .. } => return,
    };
    let (delta, done, field, logprobs) = match part {
        Part::Refusal(_) => ("response.refusal.delta", "response.refusal.done", "refusal", ""),
        _ => ("response.output_text.delta", "response.output_text.done", "text", r#","logprobs":[]"#),
    };
    writer.push("response.content_part.added", &format!(r#"{at},"part":{}"#, json(&empty)));
    for piece in count::pieces(text) {
        writer.piece(delta, &format!("{at}{logprobs}"), piece);
    }
    writer.push(done, &format!(r#"{at}{logprobs},"{field}":{}"#, json(text)));
    writer.push("response.content_part.done", &format!(r#"{at},"part":{}"#, json(&whole)));
}

/// An error in the middle of a stream.
pub(crate) fn error_event(kind: Option<&str>) -> Event {
    let code = json(&kind.unwrap_or("server_error"));
    Event::named(
        "error",
        format!(
            r#"{{"type":"error","code":{code},"message":"Emulated: failed in the middle of a stream.","param":null,"sequence_number":99}}"#
        ),
    )
}
