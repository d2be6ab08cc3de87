//! Writes Chat Completions answers, plain and as chunks. Refuses to decide what they say.

use serde::Serialize;

use super::super::{Ask, Event, Meta, json};
use super::tier;
use crate::count;
use crate::draft::{Draft, Part, Stop};

const FINGERPRINT: &str = "chavion-emulator";

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: [Choice<'a>; 1],
    usage: Usage,
    service_tier: &'static str,
    system_fingerprint: &'static str,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    message: Message<'a>,
    logprobs: Option<()>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: Option<&'a str>,
    annotations: [(); 0],
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[Call<'a>; 1]>,
}

#[derive(Serialize)]
struct Call<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Serialize)]
struct PromptDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
    audio_tokens: u64,
}

#[derive(Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
    audio_tokens: u64,
    accepted_prediction_tokens: u64,
    rejected_prediction_tokens: u64,
}

fn usage(draft: &Draft) -> Usage {
    let usage = draft.usage;
    let prompt_tokens = usage.input + usage.cache_read + usage.cache_write;
    Usage {
        prompt_tokens,
        completion_tokens: usage.output,
        total_tokens: prompt_tokens + usage.output,
        prompt_tokens_details: PromptDetails {
            cached_tokens: usage.cache_read,
            cache_write_tokens: usage.cache_write,
            audio_tokens: 0,
        },
        completion_tokens_details: CompletionDetails {
            reasoning_tokens: usage.reasoning,
            audio_tokens: 0,
            accepted_prediction_tokens: 0,
            rejected_prediction_tokens: 0,
        },
    }
}

fn finish_reason(stop: &Stop) -> &'static str {
    match stop {
        Stop::End | Stop::Sequence(_) | Stop::Refusal => "stop",
        Stop::Length => "length",
        Stop::Call => "tool_calls",
        Stop::Blocked => "content_filter",
        Stop::Unknown => "emulated_pause",
    }
}

/// The body of a plain answer.
pub(crate) fn plain(ask: &Ask<'_>, draft: &Draft, meta: &Meta) -> String {
    let id = format!("call_{}", meta.id);
    let mut message = Message { role: "assistant", content: None, refusal: None, annotations: [], tool_calls: None };
    match &draft.part {
        Part::Text(text) => message.content = Some(text),
        Part::Refusal(text) => message.refusal = Some(text),
        Part::Nothing => message.content = Some(""),
        Part::Call { name, arguments } => {
            let function = Function { name: Some(name), arguments };
            message.tool_calls = Some([Call { index: None, id: Some(&id), r#type: Some("function"), function }]);
        }
    }
    json(&Completion {
        id: &format!("chatcmpl-{}", meta.id),
        object: "chat.completion",
        created: meta.created,
        model: &ask.model,
        choices: [Choice { index: 0, message, logprobs: None, finish_reason: finish_reason(&draft.stop) }],
        usage: usage(draft),
        service_tier: tier(ask.tier.as_deref()),
        system_fingerprint: FINGERPRINT,
    })
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    service_tier: &'static str,
    system_fingerprint: &'static str,
    choices: &'a [ChunkChoice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Usage>>,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: u32,
    delta: Delta<'a>,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

#[derive(Serialize, Default)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[Call<'a>; 1]>,
}

/// What all chunks of one stream share.
struct Writer<'a> {
    id: String,
    ask: &'a Ask<'a>,
    created: i64,
}

impl Writer<'_> {
    fn chunk(&self, choices: &[ChunkChoice<'_>], usage: Option<Usage>) -> String {
        json(&Chunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: &self.ask.model,
            service_tier: tier(self.ask.tier.as_deref()),
            system_fingerprint: FINGERPRINT,
            choices,
            // With usage asked for, every chunk has the field and only the last fills it.
            usage: self.ask.stream_usage.then_some(usage),
        })
    }

    fn delta(&self, delta: Delta<'_>) -> Event {
        Event::data(self.chunk(&[ChunkChoice { index: 0, delta, logprobs: None, finish_reason: None }], None))
    }
}

/// The chunks of a streamed answer, with the closing `[DONE]`.
pub(crate) fn events(ask: &Ask<'_>, draft: &Draft, meta: &Meta) -> Vec<Event> {
    let writer = Writer { id: format!("chatcmpl-{}", meta.id), ask, created: meta.created };
    let first = Delta { role: Some("assistant"), content: Some(""), refusal: Some(None), tool_calls: None };
    let mut events = Vec::new();
    match &draft.part {
        Part::Text(text) => {
            events.push(writer.delta(first));
            for piece in count::pieces(text) {
                let delta = Delta { content: Some(piece), ..Delta::default() };
                events.push(Event { tokens: count::tokens(piece), ..writer.delta(delta) });
            }
        }
        Part::Refusal(text) => {
            events.push(writer.delta(first));
            events.push(writer.delta(Delta { refusal: Some(Some(text)), ..Delta::default() }));
        }
        Part::Nothing => events.push(writer.delta(first)),
        Part::Call { name, arguments } => {
            let id = format!("call_{}", meta.id);
            let function = Function { name: Some(name), arguments: "" };
            let call = Call { index: Some(0), id: Some(&id), r#type: Some("function"), function };
            events.push(writer.delta(Delta { content: None, tool_calls: Some([call]), ..first }));
            for piece in count::pieces(arguments) {
                let function = Function { name: None, arguments: piece };
                let call = Call { index: Some(0), id: None, r#type: None, function };
                let delta = Delta { tool_calls: Some([call]), ..Delta::default() };
                events.push(Event { tokens: count::tokens(piece), ..writer.delta(delta) });
            }
        }
    }
    let last = ChunkChoice {
        index: 0,
        delta: Delta::default(),
        logprobs: None,
        finish_reason: Some(finish_reason(&draft.stop)),
    };
    events.push(Event::data(writer.chunk(&[last], None)));
    if ask.stream_usage {
        events.push(Event::data(writer.chunk(&[], Some(usage(draft)))));
    }
    events.push(Event::data("[DONE]".to_owned()));
    events
}

/// An error in the middle of a stream.
pub(crate) fn error_event(kind: Option<&str>) -> Event {
    let kind = json(&kind.unwrap_or("server_error"));
    Event::data(format!(
        r#"{{"error":{{"message":"Emulated: failed in the middle of a stream.","type":{kind},"param":null,"code":null}}}}"#
    ))
}
