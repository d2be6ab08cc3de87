//! OpenAI's Chat Completions, as OpenAI and everybody who copied it serve them.
//! Refuses to read a model's thinking (`reasoning`, `reasoning_content`): it is no part of an answer.

use super::{Draft, Fault, Fold, PlainTurn, Prompt, Shape, Step, parse, said};
use crate::{catalogue::MaxTokens, chat::Stop, sse::Event};
use domain::money::Usage;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<PlainTurn<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Format<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct Format<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    json_schema: Option<Named<'a>>,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'static str,
    schema: &'a Value,
    strict: bool,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

pub(super) fn body(prompt: &Prompt<'_>) -> Result<Vec<u8>, serde_json::Error> {
    let system = prompt.system.as_deref().map(|content| PlainTurn { role: "system", content });
    let response_format = match &prompt.shape {
        Shape::Free => None,
        Shape::Object => Some(Format { kind: "json_object", json_schema: None }),
        Shape::Schema { schema, strict } => {
            let named = Named { name: "answer", schema, strict: *strict };
            Some(Format { kind: "json_schema", json_schema: Some(named) })
        }
    };
    let most = Some(prompt.max_tokens);
    let (max_completion_tokens, max_tokens) = match prompt.limit {
        MaxTokens::MaxCompletionTokens => (most, None),
        MaxTokens::MaxTokens => (None, most),
    };
    serde_json::to_vec(&Body {
        model: prompt.model,
        messages: system.into_iter().chain(prompt.turns.iter().map(PlainTurn::from)).collect(),
        max_completion_tokens,
        max_tokens,
        response_format,
        service_tier: prompt.flex.then_some("flex"),
        stream: prompt.stream,
        stream_options: (prompt.stream && prompt.usage_in_stream).then_some(StreamOptions { include_usage: true }),
    })
}

/// A whole completion, or a chunk of a stream.
#[derive(Deserialize)]
pub(crate) struct Reply {
    choices: Option<Vec<Choice>>,
    model: Option<String>,
    usage: Option<Tokens>,
    service_tier: Option<String>,
    pub(crate) error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    /// A chunk of a stream calls it `delta`.
    #[serde(alias = "delta")]
    message: Option<Said>,
    finish_reason: Option<String>,
    error: Option<Value>,
}

#[derive(Default, Deserialize)]
struct Said {
    content: Option<Content>,
    refusal: Option<String>,
}

/// Mostly text; Mistral's thinking models send a list of parts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type", default)]
    kind: String,
    text: Option<String>,
}

impl Content {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Parts(parts) => {
                parts.into_iter().filter(|part| part.kind == "text").filter_map(|part| part.text).collect()
            }
        }
    }
}

/// `prompt_tokens` includes what a cache held or took.
#[derive(Default, Deserialize)]
struct Tokens {
    prompt_tokens: Option<i64>,
    completion_tokens: Option<i64>,
    prompt_tokens_details: Option<Details>,
    /// DeepSeek's spelling of `cached_tokens`.
    prompt_cache_hit_tokens: Option<i64>,
    /// Dollars: a number (OpenRouter) or an object with the sum (Perplexity).
    cost: Option<Value>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<i64>,
    cache_write_tokens: Option<i64>,
}

impl Tokens {
    fn usage(&self) -> Usage {
        let details = self.prompt_tokens_details.as_ref();
        let cached = details.and_then(|details| details.cached_tokens).or(self.prompt_cache_hit_tokens);
        let written = details.and_then(|details| details.cache_write_tokens);
        inclusive(self.prompt_tokens, cached, written, self.completion_tokens)
    }
}

/// Takes the cached tokens out of a count that includes them.
pub(super) fn inclusive(prompt: Option<i64>, cached: Option<i64>, written: Option<i64>, output: Option<i64>) -> Usage {
    let prompt = prompt.unwrap_or(0).max(0);
    let cache_read = cached.unwrap_or(0).clamp(0, prompt);
    let cache_write = written.unwrap_or(0).clamp(0, prompt - cache_read);
    Usage {
        input: prompt - cache_read - cache_write,
        cache_read,
        cache_write,
        cache_write_hour: 0,
        output: output.unwrap_or(0).max(0),
    }
}

fn stop(reason: String) -> Stop {
    match reason.as_str() {
        "stop" => Stop::Complete,
        "length" => Stop::MaxTokens,
        "content_filter" => Stop::Filtered,
        _ => Stop::Other(reason),
    }
}

pub(super) fn answer(body: &[u8]) -> Result<Draft, Fault> {
    draft(parse(body)?)
}

/// Takes a whole completion apart.
pub(crate) fn draft(reply: Reply) -> Result<Draft, Fault> {
    let mut folding = Folding::default();
    // A server that leaves the reason out has nothing to add: its answer is whole.
    let choices = reply.choices.as_ref().is_some_and(|choices| !choices.is_empty());
    if !choices && reply.error.is_none() {
        return Err(Fault::Malformed);
    }
    folding.take(reply)?;
    folding.draft.stop.get_or_insert(Stop::Complete);
    Ok(folding.draft)
}

/// A streamed completion; a whole one is a stream of one.
#[derive(Default)]
pub(super) struct Folding {
    draft: Draft,
    done: bool,
}

impl Folding {
    fn take(&mut self, reply: Reply) -> Result<String, Fault> {
        if let Some(error) = &reply.error {
            return Err(said(error));
        }
        if let Some(tokens) = &reply.usage {
            self.draft.usage = tokens.usage();
            self.draft.dollars =
                tokens.cost.as_ref().and_then(|cost| cost.as_f64().or_else(|| cost.get("total_cost")?.as_f64()));
        }
        self.draft.model = reply.model.filter(|model| !model.is_empty()).or(self.draft.model.take());
        self.draft.tier = reply.service_tier.or(self.draft.tier.take());
        let Some(choice) = reply.choices.into_iter().flatten().next() else { return Ok(String::new()) };
        if let Some(error) = &choice.error {
            return Err(said(error));
        }
        let Said { content, refusal } = choice.message.unwrap_or_default();
        let refusal = refusal.filter(|refusal| !refusal.is_empty());
        let refused = refusal.is_some() || self.draft.stop == Some(Stop::Refused);
        let text = refusal.or_else(|| content.map(Content::text)).unwrap_or_default();
        self.draft.text.push_str(&text);
        if refused {
            self.draft.stop = Some(Stop::Refused);
        }
        if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
            self.done = true;
            if !refused {
                self.draft.stop = Some(stop(reason));
            }
        }
        Ok(text)
    }
}

impl Fold for Folding {
    fn event(&mut self, event: &Event) -> Result<Step, Fault> {
        if event.data.trim() == "[DONE]" {
            self.done = true;
            return Ok(Step::Done);
        }
        let text = self.take(parse(event.data.as_bytes())?)?;
        Ok(if text.is_empty() { Step::Nothing } else { Step::Text(text) })
    }

    fn is_whole(&self) -> bool {
        self.done
    }

    fn end(mut self: Box<Self>) -> Result<Draft, Fault> {
        // Some servers close without `[DONE]`: a reason to have stopped is as good.
        if !self.done {
            return Err(Fault::Truncated);
        }
        self.draft.stop.get_or_insert(Stop::Complete);
        Ok(self.draft)
    }
}
