//! Writes Messages answers, plain and as events. Refuses to decide what they say.

use serde::Serialize;
use serde_json::value::RawValue;

use super::super::{Ask, Event, Meta, json};
use crate::count;
use crate::draft::{Draft, Part, Stop};

#[derive(Serialize)]
struct Message<'a> {
    model: &'a str,
    id: &'a str,
    r#type: &'static str,
    role: &'static str,
    content: &'a [Block<'a>],
    stop_reason: Option<&'static str>,
    stop_sequence: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_details: Option<StopDetails>,
    usage: Usage,
}

#[derive(Serialize)]
struct StopDetails {
    r#type: &'static str,
    category: Option<&'static str>,
    explanation: &'static str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text { text: &'a str },
    ToolUse { id: &'a str, name: &'a str, input: &'a RawValue },
}

#[derive(Serialize, Clone, Copy)]
struct Usage {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    cache_creation: CacheCreation,
    output_tokens: u64,
    service_tier: &'static str,
}

#[derive(Serialize, Clone, Copy)]
struct CacheCreation {
    ephemeral_5m_input_tokens: u64,
    ephemeral_1h_input_tokens: u64,
}

fn usage(ask: &Ask<'_>, draft: &Draft, output_tokens: u64) -> Usage {
    Usage {
        input_tokens: draft.usage.input,
        cache_creation_input_tokens: draft.usage.cache_write,
        cache_read_input_tokens: draft.usage.cache_read,
        cache_creation: CacheCreation {
            ephemeral_5m_input_tokens: draft.usage.cache_write,
            ephemeral_1h_input_tokens: 0,
        },
        output_tokens,
        service_tier: if ask.batch { "batch" } else { "standard" },
    }
}

fn stop_reason(stop: &Stop) -> &'static str {
    match stop {
        Stop::End => "end_turn",
        Stop::Length => "max_tokens",
        Stop::Sequence(_) => "stop_sequence",
        Stop::Call => "tool_use",
        Stop::Refusal | Stop::Blocked => "refusal",
        Stop::Unknown => "emulated_pause",
    }
}

fn sequence(stop: &Stop) -> Option<&str> {
    match stop {
        Stop::Sequence(text) => Some(text),
        _ => None,
    }
}

fn details(stop: &Stop) -> Option<StopDetails> {
    matches!(stop, Stop::Refusal | Stop::Blocked).then_some(StopDetails {
        r#type: "refusal",
        category: None,
        explanation: "Emulated refusal.",
    })
}

/// The body of a plain answer.
pub(crate) fn plain(ask: &Ask<'_>, draft: &Draft, meta: &Meta) -> String {
    let call = format!("toolu_{}", meta.id);
    let block = match &draft.part {
        Part::Text(text) => Some(Block::Text { text }),
        Part::Call { name, arguments } => {
            serde_json::from_str(arguments).ok().map(|input| Block::ToolUse { id: &call, name, input })
        }
        Part::Refusal(_) | Part::Nothing => None,
    };
    json(&Message {
        model: &ask.model,
        id: &format!("msg_{}", meta.id),
        r#type: "message",
        role: "assistant",
        content: block.as_slice(),
        stop_reason: Some(stop_reason(&draft.stop)),
        stop_sequence: sequence(&draft.stop),
        stop_details: details(&draft.stop),
        usage: usage(ask, draft, draft.usage.output),
    })
}

#[derive(Serialize)]
struct Start<'a> {
    r#type: &'static str,
    message: Message<'a>,
}

#[derive(Serialize)]
struct Delta<'a> {
    r#type: &'static str,
    index: u32,
    delta: Change<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Change<'a> {
    TextDelta { text: &'a str },
    InputJsonDelta { partial_json: &'a str },
}

#[derive(Serialize)]
struct End<'a> {
    r#type: &'static str,
    delta: EndDelta<'a>,
    usage: Usage,
}

#[derive(Serialize)]
struct EndDelta<'a> {
    stop_reason: &'static str,
    stop_sequence: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_details: Option<StopDetails>,
}

/// The events of a streamed answer.
pub(crate) fn events(ask: &Ask<'_>, draft: &Draft, meta: &Meta) -> Vec<Event> {
    let start = Start {
        r#type: "message_start",
        message: Message {
            model: &ask.model,
            id: &format!("msg_{}", meta.id),
            r#type: "message",
            role: "assistant",
            content: &[],
            stop_reason: None,
            stop_sequence: None,
            stop_details: None,
            usage: usage(ask, draft, draft.usage.output.min(1)),
        },
    };
    let mut events =
        vec![Event::named("message_start", json(&start)), Event::named("ping", r#"{"type":"ping"}"#.to_owned())];
    match &draft.part {
        Part::Text(text) => {
            let open = r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
            block(&mut events, open.to_owned(), text, |text| Change::TextDelta { text });
        }
        Part::Call { name, arguments } => {
            let name = json(&name);
            let open = format!(
                r#"{{"type":"content_block_start","index":0,"content_block":{{"type":"tool_use","id":"toolu_{}","name":{name},"input":{{}}}}}}"#,
                meta.id
            );
            block(&mut events, open, arguments, |partial_json| Change::InputJsonDelta { partial_json });
        }
        Part::Refusal(_) | Part::Nothing => {}
    }
    let end = End {
        r#type: "message_delta",
        delta: EndDelta {
            stop_reason: stop_reason(&draft.stop),
            stop_sequence: sequence(&draft.stop),
            stop_details: details(&draft.stop),
        },
        usage: usage(ask, draft, draft.usage.output),
    };
    events.push(Event::named("message_delta", json(&end)));
    events.push(Event::named("message_stop", r#"{"type":"message_stop"}"#.to_owned()));
    events
}

fn block<'a>(events: &mut Vec<Event>, open: String, text: &'a str, change: impl Fn(&'a str) -> Change<'a>) {
    events.push(Event::named("content_block_start", open));
    for piece in count::pieces(text) {
        let delta = Delta { r#type: "content_block_delta", index: 0, delta: change(piece) };
        events.push(Event { tokens: count::tokens(piece), ..Event::named("content_block_delta", json(&delta)) });
    }
    events.push(Event::named("content_block_stop", r#"{"type":"content_block_stop","index":0}"#.to_owned()));
}

/// An error in the middle of a stream.
pub(crate) fn error_event(kind: Option<&str>) -> Event {
    let kind = json(&kind.unwrap_or("overloaded_error"));
    Event::named(
        "error",
        format!(
            r#"{{"type":"error","error":{{"type":{kind},"message":"Emulated: overloaded in the middle of a stream."}}}}"#
        ),
    )
}
