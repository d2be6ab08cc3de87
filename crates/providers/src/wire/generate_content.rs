//! Gemini's `generateContent` and `streamGenerateContent`.
//! Refuses to hand on thoughts: parts marked so are billed, but no part of an answer.

use super::{Draft, Fault, Fold, Prompt, Shape, Step, parse, said};
use crate::{
    chat::{Role, Stop},
    sse::Event,
};
use domain::money::Usage;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    contents: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Instruction<'a>>,
    generation_config: Config<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'static str>,
}

#[derive(Serialize)]
struct Content<'a> {
    role: &'static str,
    parts: [TextPart<'a>; 1],
}

#[derive(Serialize)]
struct Instruction<'a> {
    parts: [TextPart<'a>; 1],
}

#[derive(Serialize)]
struct TextPart<'a> {
    text: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    max_output_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<&'a Value>,
}

pub(super) fn body(prompt: &Prompt<'_>) -> Result<Vec<u8>, serde_json::Error> {
    let contents = prompt.turns.iter().map(|turn| Content {
        role: match turn.role {
            Role::User => "user",
            Role::Assistant => "model",
        },
        parts: [TextPart { text: &turn.text }],
    });
    let schema = match &prompt.shape {
        Shape::Schema { schema, .. } => Some(schema.as_ref()),
        Shape::Free | Shape::Object => None,
    };
    serde_json::to_vec(&Body {
        contents: contents.collect(),
        system_instruction: prompt.system.as_deref().map(|text| Instruction { parts: [TextPart { text }] }),
        generation_config: Config {
            max_output_tokens: prompt.max_tokens,
            response_mime_type: (prompt.shape != Shape::Free).then_some("application/json"),
            response_json_schema: schema,
        },
        service_tier: prompt.flex.then_some("flex"),
    })
}

/// A whole answer, or a piece of a stream.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reply {
    candidates: Option<Vec<Candidate>>,
    prompt_feedback: Option<Feedback>,
    usage_metadata: Option<Tokens>,
    model_version: Option<String>,
    error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    content: Option<Parts>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
    #[serde(default)]
    thought: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    block_reason: Option<String>,
}

/// `promptTokenCount` includes cached tokens; `candidatesTokenCount` excludes thoughts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tokens {
    prompt_token_count: Option<i64>,
    tool_use_prompt_token_count: Option<i64>,
    cached_content_token_count: Option<i64>,
    candidates_token_count: Option<i64>,
    thoughts_token_count: Option<i64>,
}

impl Tokens {
    fn usage(&self) -> Usage {
        let count = |tokens: Option<i64>| tokens.unwrap_or(0).max(0);
        let prompt = count(self.prompt_token_count).saturating_add(count(self.tool_use_prompt_token_count));
        let cache_read = count(self.cached_content_token_count).min(prompt);
        Usage {
            input: prompt - cache_read,
            cache_read,
            output: count(self.candidates_token_count).saturating_add(count(self.thoughts_token_count)),
            ..Usage::default()
        }
    }
}

fn stop(reason: String) -> Stop {
    match reason.as_str() {
        "STOP" => Stop::Complete,
        "MAX_TOKENS" => Stop::MaxTokens,
        "SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" => Stop::Filtered,
        _ => Stop::Other(reason),
    }
}

pub(super) fn answer(body: &[u8]) -> Result<Draft, Fault> {
    draft(parse(body)?)
}

/// Takes a whole answer apart.
pub(crate) fn draft(reply: Reply) -> Result<Draft, Fault> {
    let mut folding = Folding::default();
    folding.take(reply)?;
    if folding.draft.stop.is_none() && !folding.began {
        return Err(Fault::Malformed);
    }
    Ok(folding.draft)
}

/// A streamed answer; a whole one is a stream of one.
#[derive(Default)]
pub(super) struct Folding {
    draft: Draft,
    began: bool,
}

impl Folding {
    fn take(&mut self, reply: Reply) -> Result<String, Fault> {
        if let Some(error) = &reply.error {
            return Err(said(error));
        }
        if let Some(tokens) = &reply.usage_metadata {
            self.draft.usage = tokens.usage();
        }
        self.draft.model = reply.model_version.or(self.draft.model.take());
        // A blocked prompt has no candidates at all.
        if reply.prompt_feedback.is_some_and(|feedback| feedback.block_reason.is_some()) {
            self.draft.stop = Some(Stop::Refused);
        }
        let Some(candidate) = reply.candidates.into_iter().flatten().next() else { return Ok(String::new()) };
        self.began = true;
        let parts = candidate.content.into_iter().flat_map(|content| content.parts);
        let text: String = parts.filter(|part| !part.thought).filter_map(|part| part.text).collect();
        self.draft.text.push_str(&text);
        if let Some(reason) = candidate.finish_reason {
            self.draft.stop = Some(stop(reason));
        }
        Ok(text)
    }
}

impl Fold for Folding {
    fn event(&mut self, event: &Event) -> Result<Step, Fault> {
        let text = self.take(parse(event.data.as_bytes())?)?;
        Ok(if text.is_empty() { Step::Nothing } else { Step::Text(text) })
    }

    fn is_whole(&self) -> bool {
        self.draft.stop.is_some()
    }

    fn end(self: Box<Self>) -> Result<Draft, Fault> {
        if self.draft.stop.is_some() { Ok(self.draft) } else { Err(Fault::Truncated) }
    }
}
