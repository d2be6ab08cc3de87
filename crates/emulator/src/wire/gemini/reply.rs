//! Writes generateContent answers, plain and as chunks. Refuses to decide what they say.

use serde::Serialize;
use serde_json::value::RawValue;

use super::super::{Ask, Event, Meta, json};
use crate::count;
use crate::draft::{Draft, Part, Stop};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    candidates: Option<[Candidate<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_feedback: Option<Feedback>,
    usage_metadata: Usage,
    model_version: &'a str,
    response_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    block_reason: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<&'static str>,
    index: u32,
}

#[derive(Serialize)]
struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<[Piece<'a>; 1]>,
    role: &'static str,
}

#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum Piece<'a> {
    Text { text: &'a str },
    Call { function_call: Call<'a> },
}

#[derive(Serialize)]
struct Call<'a> {
    id: String,
    name: &'a str,
    args: Option<&'a RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    prompt_token_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_content_token_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidates_token_count: Option<u64>,
    total_token_count: u64,
    prompt_tokens_details: [Modality; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    thoughts_token_count: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Modality {
    modality: &'static str,
    token_count: u64,
}

/// `written` = tokens of the answer so far; thoughts are beside them, and zero is left out.
fn usage(draft: &Draft, written: u64) -> Usage {
    let usage = draft.usage;
    let prompt = usage.input + usage.cache_read + usage.cache_write;
    Usage {
        prompt_token_count: prompt,
        cached_content_token_count: (usage.cache_read > 0).then_some(usage.cache_read),
        candidates_token_count: (written > 0).then_some(written),
        total_token_count: prompt + written + usage.reasoning,
        prompt_tokens_details: [Modality { modality: "TEXT", token_count: prompt }],
        thoughts_token_count: (usage.reasoning > 0).then_some(usage.reasoning),
    }
}

fn finish_reason(stop: &Stop) -> &'static str {
    match stop {
        Stop::End | Stop::Sequence(_) | Stop::Call => "STOP",
        Stop::Length => "MAX_TOKENS",
        Stop::Refusal | Stop::Blocked => "SAFETY",
        Stop::Unknown => "EMULATED_PAUSE",
    }
}

fn answer<'a>(ask: &'a Ask<'_>, draft: &Draft, meta: &'a Meta, piece: Option<Piece<'a>>, last: bool) -> Answer<'a> {
    let blocked = draft.stop == Stop::Blocked;
    Answer {
        candidates: (!blocked).then(|| {
            [Candidate {
                content: Content { parts: piece.map(|piece| [piece]), role: "model" },
                finish_reason: last.then(|| finish_reason(&draft.stop)),
                index: 0,
            }]
        }),
        prompt_feedback: blocked.then_some(Feedback { block_reason: "PROHIBITED_CONTENT" }),
        usage_metadata: usage(draft, draft.usage.output.saturating_sub(draft.usage.reasoning)),
        model_version: &ask.model,
        response_id: &meta.id,
    }
}

fn call<'a>(meta: &Meta, name: &'a str, arguments: &'a str) -> Piece<'a> {
    let args = serde_json::from_str(arguments).ok();
    Piece::Call { function_call: Call { id: format!("call-{}", meta.id), name, args } }
}

/// The body of a plain answer.
pub(crate) fn plain(ask: &Ask<'_>, draft: &Draft, meta: &Meta) -> String {
    let piece = match &draft.part {
        Part::Text(text) => Some(Piece::Text { text }),
        Part::Call { name, arguments } => Some(call(meta, name, arguments)),
        Part::Refusal(_) | Part::Nothing => None,
    };
    json(&answer(ask, draft, meta, piece, true))
}

/// The chunks of a streamed answer; each is a whole answer with a part of the text.
pub(crate) fn events(ask: &Ask<'_>, draft: &Draft, meta: &Meta) -> Vec<Event> {
    let Part::Text(text) = &draft.part else {
        return vec![Event::data(plain(ask, draft, meta))];
    };
    let pieces = count::pieces(text);
    let mut written = 0;
    let mut events = Vec::with_capacity(pieces.len());
    for (at, piece) in pieces.iter().enumerate() {
        let last = at + 1 == pieces.len();
        let mut chunk = answer(ask, draft, meta, Some(Piece::Text { text: piece }), last);
        if !last {
            written += count::tokens(piece);
            chunk.usage_metadata = usage(draft, written.min(chunk.usage_metadata.candidates_token_count.unwrap_or(0)));
        }
        events.push(Event { tokens: count::tokens(piece), ..Event::data(json(&chunk)) });
    }
    if events.is_empty() {
        events.push(Event::data(json(&answer(ask, draft, meta, None, true))));
    }
    events
}

/// An error in the middle of a stream.
pub(crate) fn error_event(kind: Option<&str>) -> Event {
    let status = json(&kind.unwrap_or("UNAVAILABLE"));
    Event::data(format!(
        r#"{{"error":{{"code":503,"message":"Emulated: overloaded in the middle of a stream.","status":{status}}}}}"#
    ))
}
