//! OpenAI's batches as they are written: the batch, a line of the input, a line of the results. Refuses to decide what
//! becomes of a batch.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::content::Text;
use super::super::{Wire, json, unix};
use super::error_body;
use crate::batch::{Batch, Bill, Flaw, Line, Outcome, Phase};
use crate::problem::Problem;

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default)]
    custom_id: Text<'a>,
    #[serde(borrow, default)]
    method: Text<'a>,
    #[serde(borrow, default)]
    url: Text<'a>,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    model: Text<'a>,
    #[serde(borrow, default)]
    stream: Option<&'a RawValue>,
}

/// Why a line fails its whole batch: code, parameter, words.
pub(crate) type Wrong = (&'static str, Option<&'static str>, String);

/// Reads a line of the input for that endpoint; returns it with its model.
pub(crate) fn item<'a>(bytes: &'a [u8], endpoint: &str) -> Result<(Line<'a>, Cow<'a, str>), Wrong> {
    let invalid = |_| ("invalid_json_line", None, "This line is not parseable as valid JSON.".to_owned());
    let item: Item<'_> = serde_json::from_slice(bytes).map_err(invalid)?;
    let missing = |name| ("missing_required_parameter", Some(name), format!("Missing required parameter: '{name}'."));
    for (name, value) in [("custom_id", &item.custom_id), ("method", &item.method), ("url", &item.url)] {
        if value.0.is_empty() {
            return Err(missing(name));
        }
    }
    let Some(body) = item.body else { return Err(missing("body")) };
    if item.method.0 != "POST" {
        return Err(("invalid_method", Some("method"), "The method must be POST.".to_owned()));
    }
    if item.url.0 != endpoint {
        let words = format!("The URL '{}' is not the batch's endpoint '{endpoint}'.", item.url.0);
        return Err(("url_mismatch", Some("url"), words));
    }
    let inner: Body<'_> = serde_json::from_str(body.get())
        .map_err(|_| ("invalid_request", Some("body"), "The body must be an object.".to_owned()))?;
    if inner.model.0.is_empty() {
        return Err(missing("body.model"));
    }
    if inner.stream.is_some_and(|stream| stream.get() == "true") {
        let words = "Streaming is not supported in a batch.".to_owned();
        return Err(("invalid_request", Some("body.stream"), words));
    }
    Ok((Line { id: item.custom_id.0, body, metadata: None }, inner.model.0))
}

/// Reads a line that was read before.
pub(crate) fn line(bytes: &[u8]) -> Option<Line<'_>> {
    let item: Item<'_> = serde_json::from_slice(bytes).ok()?;
    Some(Line { id: item.custom_id.0, body: item.body?, metadata: None })
}

/// A line of the output or the error file; `id` is the item's own.
pub(crate) fn result(line: &Line<'_>, outcome: &Outcome<'_>, id: &str) -> String {
    let answered =
        |status: u16, body: &str| format!(r#"{{"status_code":{status},"request_id":"req_{id}","body":{body}}}"#);
    let unsaid =
        |code: &str, message: &str| format!(r#"{{"code":"{code}","message":"Emulated: this request {message}."}}"#);
    let none = || "null".to_owned();
    let (response, error) = match outcome {
        Outcome::Answer(body) => (answered(200, body), none()),
        Outcome::Error(problem) => (answered(problem.status, &error_body(problem)), none()),
        Outcome::Expired => (none(), unsaid("batch_expired", "could not be executed before the batch expired")),
        Outcome::Cancelled => (none(), unsaid("batch_cancelled", "was not executed: the batch was cancelled")),
        Outcome::Timeout => (none(), unsaid("request_timeout", "took too long")),
        Outcome::Unknown => (none(), unsaid("emulated_news", "ended as none did before")),
    };
    format!(r#"{{"id":"batch_req_{id}","custom_id":{},"response":{response},"error":{error}}}"#, json(&line.id))
}

#[derive(Serialize)]
struct Object<'a> {
    id: &'a str,
    object: &'static str,
    endpoint: &'static str,
    model: Option<&'a str>,
    errors: Option<Errors<'a>>,
    input_file_id: &'a str,
    completion_window: &'static str,
    status: &'a str,
    output_file_id: Option<String>,
    error_file_id: Option<String>,
    created_at: i64,
    in_progress_at: Option<i64>,
    expires_at: Option<i64>,
    finalizing_at: Option<i64>,
    completed_at: Option<i64>,
    failed_at: Option<i64>,
    expired_at: Option<i64>,
    cancelling_at: Option<i64>,
    cancelled_at: Option<i64>,
    request_counts: Tally,
    usage: Option<Usage>,
    metadata: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Errors<'a> {
    object: &'static str,
    data: &'a [Flaw],
}

#[derive(Serialize)]
struct Tally {
    total: usize,
    completed: usize,
    failed: usize,
}

#[derive(Serialize)]
struct Usage {
    input_tokens: u64,
    input_tokens_details: Cached,
    output_tokens: u64,
    output_tokens_details: Reasoned,
    total_tokens: u64,
}

#[derive(Serialize)]
struct Cached {
    cached_tokens: u64,
}

#[derive(Serialize)]
struct Reasoned {
    reasoning_tokens: u64,
}

fn usage(bill: Bill) -> Usage {
    let input_tokens = bill.input + bill.cache_read + bill.cache_write;
    Usage {
        input_tokens,
        input_tokens_details: Cached { cached_tokens: bill.cache_read },
        output_tokens: bill.output,
        output_tokens_details: Reasoned { reasoning_tokens: bill.reasoning },
        total_tokens: input_tokens + bill.output,
    }
}

/// The endpoint that a batch is for.
pub(crate) fn endpoint(wire: Wire) -> &'static str {
    if wire == Wire::Responses { "/v1/responses" } else { "/v1/chat/completions" }
}

/// A batch as it is now.
pub(crate) fn object(batch: &Batch) -> String {
    let view = batch.view();
    let counts = batch.counts(&view);
    let failed = view.phase == Phase::Failed;
    let at = |since| unix(batch.created, since);
    let ended = |phase| view.ended.filter(|_| view.phase == phase).map(at);
    let validating = matches!(view.phase, Phase::Validating | Phase::Failed);
    let status = match view.phase {
        Phase::Running | Phase::Finalizing => batch.word(),
        _ => None,
    };
    json(&Object {
        id: &batch.id,
        object: "batch",
        endpoint: endpoint(batch.wire),
        model: Some(batch.model.as_str()).filter(|model| !model.is_empty()),
        errors: failed.then_some(Errors { object: "list", data: &batch.flaws }),
        input_file_id: batch.input_file.as_deref().unwrap_or_default(),
        completion_window: "24h",
        status: status.unwrap_or(word(view.phase)),
        output_file_id: batch.has_output(&view).then(|| batch.output_id()),
        error_file_id: match batch.has_errors(&view) {
            true => Some(batch.errors_id()),
            false => (view.phase.is_over() && batch.empty_error_id).then(String::new),
        },
        created_at: at(std::time::Duration::ZERO),
        in_progress_at: view.started.map(at),
        expires_at: Some(at(batch.plan.expires)),
        finalizing_at: view.finalizing.map(at),
        completed_at: ended(Phase::Completed),
        failed_at: ended(Phase::Failed),
        expired_at: ended(Phase::Expired),
        cancelling_at: view.cancelling.map(at),
        cancelled_at: ended(Phase::Cancelled),
        request_counts: Tally {
            total: if validating { 0 } else { batch.items.len() },
            completed: counts.succeeded,
            // What was never executed is not counted as failed, as the real counts do not.
            failed: counts.errored,
        },
        usage: batch.bill(&view).map(usage),
        metadata: batch.metadata.as_deref(),
    })
}

fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Validating => "validating",
        Phase::Running => "in_progress",
        Phase::Finalizing => "finalizing",
        Phase::Cancelling => "cancelling",
        Phase::Completed => "completed",
        Phase::Failed => "failed",
        Phase::Expired => "expired",
        Phase::Cancelled => "cancelled",
    }
}

/// A file as it is told of; `batch_output` files belong to a batch.
#[derive(Debug, Serialize)]
pub(crate) struct FileObject<'a> {
    pub(crate) id: &'a str,
    pub(crate) object: &'static str,
    pub(crate) bytes: u64,
    pub(crate) created_at: i64,
    pub(crate) expires_at: Option<i64>,
    pub(crate) filename: &'a str,
    pub(crate) purpose: &'a str,
    pub(crate) status: &'static str,
    pub(crate) status_details: Option<()>,
}

#[derive(Debug, Deserialize)]
struct Wish<'a> {
    #[serde(borrow, default)]
    input_file_id: Text<'a>,
    #[serde(borrow, default)]
    endpoint: Text<'a>,
    #[serde(borrow, default)]
    completion_window: Text<'a>,
    #[serde(default)]
    metadata: Option<Box<RawValue>>,
}

/// What a client wants to have made.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) input_file: String,
    pub(crate) wire: Wire,
    pub(crate) metadata: Option<Box<RawValue>>,
    /// Keys and values of the metadata.
    pub(crate) label: String,
}

/// Reads the body of `POST /v1/batches`.
pub(crate) fn wanted(body: &[u8]) -> Result<Wanted, Problem> {
    const FIELDS: &[(&str, &str)] = &[
        ("input_file_id", "a string"),
        ("endpoint", "a string"),
        ("completion_window", "a string"),
        ("metadata", "an object"),
    ];
    const KNOWN: [&str; 6] = [
        "/v1/embeddings",
        "/v1/completions",
        "/v1/moderations",
        "/v1/images/generations",
        "/v1/images/edits",
        "/v1/videos",
    ];
    let wish: Wish<'_> = serde_json::from_slice(body).map_err(|error| super::refuse(body, FIELDS, &error))?;
    let given = [
        ("input_file_id", &wish.input_file_id),
        ("endpoint", &wish.endpoint),
        ("completion_window", &wish.completion_window),
    ];
    if let Some((name, _)) = given.iter().find(|(_, value)| value.0.is_empty()) {
        return Err(super::missing(name));
    }
    if wish.completion_window.0 != "24h" {
        let words = format!("Invalid value: '{}'. Supported values are: '24h'.", wish.completion_window.0);
        return Err(Problem::field("completion_window", words).code("invalid_value"));
    }
    let wire = match wish.endpoint.0.as_ref() {
        "/v1/chat/completions" => Wire::Chat,
        "/v1/responses" => Wire::Responses,
        known if KNOWN.contains(&known) => {
            return Err(Problem::field("endpoint", format!("Emulated: batches for {known} are not emulated.")));
        }
        other => {
            return Err(Problem::field("endpoint", format!("Invalid value: '{other}'.")).code("invalid_value"));
        }
    };
    let metadata = wish.metadata.filter(|metadata| metadata.get() != "null");
    let label = metadata.as_deref().map(label).transpose()?.unwrap_or_default();
    Ok(Wanted { input_file: wish.input_file_id.0.into_owned(), wire, metadata, label })
}

/// Checks metadata and joins its words.
fn label(metadata: &RawValue) -> Result<String, Problem> {
    let refuse = |words: &str| Problem::field("metadata", words).code("invalid_value");
    let pairs: std::collections::BTreeMap<String, String> = serde_json::from_str(metadata.get())
        .map_err(|_| refuse("Invalid 'metadata': all keys and values must be strings."))?;
    if pairs.len() > 16 {
        return Err(refuse("Invalid 'metadata': at most 16 pairs are allowed."));
    }
    if pairs.iter().any(|(key, value)| key.chars().count() > 64 || value.chars().count() > 512) {
        return Err(refuse("Invalid 'metadata': keys have at most 64 characters, values at most 512."));
    }
    Ok(pairs.into_iter().flat_map(|(key, value)| [key, value]).collect::<Vec<_>>().join(" "))
}
