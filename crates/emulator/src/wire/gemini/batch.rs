//! Gemini's batches as they are written: the operation, an item, a line of the results. Refuses to decide what becomes
//! of a batch.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::content::Text;
use super::super::mistake::{self, Mistake};
use super::super::{instant, json};
use super::status;
use crate::batch::{Batch, Counts, Line, Outcome, Phase};
use crate::problem::Problem;

/// Most bytes of a batch that carries its requests itself.
pub(crate) const INLINE: usize = 20 * 1024 * 1024;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    batch: Option<Wish<'a>>,
}

#[derive(Default, Deserialize)]
struct Wish<'a> {
    #[serde(borrow, default, rename = "displayName", alias = "display_name")]
    name: Text<'a>,
    #[serde(borrow, default, rename = "inputConfig", alias = "input_config")]
    input: Input<'a>,
}

#[derive(Default, Deserialize)]
struct Input<'a> {
    #[serde(borrow, default, rename = "fileName", alias = "file_name")]
    file: Text<'a>,
    #[serde(borrow, default)]
    requests: Option<Requests<'a>>,
}

#[derive(Default, Deserialize)]
struct Requests<'a> {
    #[serde(borrow, default)]
    requests: Vec<&'a RawValue>,
}

/// What a client wants to have made.
pub(crate) struct Wanted<'a> {
    pub(crate) name: String,
    pub(crate) input: Source<'a>,
}

/// Where the requests come from.
pub(crate) enum Source<'a> {
    File(String),
    Inline(Vec<&'a RawValue>),
}

/// Reads the body of `:batchGenerateContent`.
pub(crate) fn wanted(body: &[u8]) -> Result<Wanted<'_>, Problem> {
    if body.len() > INLINE {
        return Err(Problem::new(400, format!("Request payload size exceeds the limit: {INLINE} bytes.")));
    }
    let parsed: Body<'_> =
        serde_json::from_slice(body).map_err(|error| match mistake::find(body, &[("batch", "an object")], &error) {
            Mistake::NotJson(words) | Mistake::Other(words) => {
                Problem::new(400, format!("Invalid JSON payload: {words}"))
            }
            Mistake::Type { field, expected, found } => {
                Problem::field(&field, format!("Invalid value at '{field}': expected {expected}, found {found}"))
            }
        })?;
    let Some(wish) = parsed.batch else { return Err(Problem::field("batch", "batch: is not specified")) };
    let field = "batch.input_config";
    let input = match (wish.input.file.0, wish.input.requests) {
        (file, None) if !file.is_empty() => Source::File(file.into_owned()),
        (file, Some(inline)) if file.is_empty() && !inline.requests.is_empty() => Source::Inline(inline.requests),
        _ => return Err(Problem::field(field, format!("{field}: needs either requests or a file name"))),
    };
    Ok(Wanted { name: wish.name.0.into_owned(), input })
}

#[derive(Deserialize)]
struct Item<'a> {
    /// In a file.
    #[serde(borrow, default)]
    key: Text<'a>,
    #[serde(borrow, default)]
    request: Option<&'a RawValue>,
    /// Inline.
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    key: Text<'a>,
}

/// Reads a line of a file, or an inlined request.
pub(crate) fn line(bytes: &[u8]) -> Option<Line<'_>> {
    let item: Item<'_> = serde_json::from_slice(bytes).ok()?;
    let inner = item.metadata.and_then(|metadata| serde_json::from_str::<Metadata<'_>>(metadata.get()).ok());
    let id = inner.map_or(item.key.0, |metadata| metadata.key.0);
    Some(Line { id, body: item.request?, metadata: item.metadata })
}

/// The number that `google.rpc.Status` has for a status of HTTP.
fn code(status: u16) -> u8 {
    match status {
        401 => 16,
        402 | 403 => 7,
        404 => 5,
        408 | 504 => 4,
        409 => 10,
        429 => 8,
        500 => 13,
        status if status > 500 => 14,
        _ => 3,
    }
}

#[derive(Serialize)]
struct Error<'a> {
    code: u8,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
}

/// A line of the results' file, or an element of the inlined responses.
pub(crate) fn result(line: &Line<'_>, outcome: &Outcome<'_>, inline: bool, keyed: bool) -> String {
    let failed = |code, message| format!(r#""error":{}"#, json(&Error { code, message, status: None }));
    let said = match outcome {
        Outcome::Answer(body) => format!(r#""response":{body}"#),
        Outcome::Error(problem) => failed(code(problem.status), &problem.message),
        Outcome::Expired | Outcome::Timeout => failed(4, "Emulated: the deadline expired before the request was done."),
        Outcome::Cancelled => failed(1, "Emulated: the request was cancelled."),
        Outcome::Unknown => r#""emulatedNews":{}"#.to_owned(),
    };
    if !inline {
        return format!(r#"{{"key":{},{said}}}"#, json(&line.id));
    }
    match line.metadata.filter(|_| keyed) {
        Some(metadata) => format!(r#"{{{said},"metadata":{}}}"#, metadata.get()),
        None if keyed && !line.id.is_empty() => format!(r#"{{{said},"metadata":{{"key":{}}}}}"#, json(&line.id)),
        None => format!("{{{said}}}"),
    }
}

#[derive(Serialize)]
struct Operation<'a> {
    name: &'a str,
    metadata: About<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Error<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Answer<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct About<'a> {
    #[serde(rename = "@type")]
    kind: &'static str,
    model: String,
    display_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_config: Option<InputConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Output<'a>>,
    create_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<String>,
    update_time: String,
    batch_stats: Stats,
    state: String,
    name: &'a str,
    priority: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InputConfig<'a> {
    file_name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    request_count: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    successful_request_count: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_request_count: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_request_count: Option<String>,
}

/// Where the results are.
#[derive(Clone, Copy, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub(crate) enum Output<'a> {
    File { responses_file: &'a str },
    Inline { inlined_responses: Inlined<'a> },
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Inlined<'a> {
    pub(crate) inlined_responses: &'a RawValue,
}

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(flatten)]
    output: Output<'a>,
}

/// A batch as it is now, with its results when it has any.
pub(crate) fn operation(batch: &Batch, output: Option<Output<'_>>) -> String {
    let view = batch.view();
    let counts = batch.counts(&view);
    let pending = batch.items.len() - batch.fruits(&view);
    let over = view.phase.is_over();
    let at = |since| instant(batch.created, since);
    let number = |count: usize| (count > 0).then(|| count.to_string());
    let Counts { succeeded, errored, expired, cancelled } = counts;
    json(&Operation {
        name: &batch.id,
        metadata: About {
            kind: "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
            model: format!("models/{}", batch.model),
            display_name: &batch.label,
            input_config: batch.input_file.as_deref().map(|file_name| InputConfig { file_name }),
            output,
            create_time: at(std::time::Duration::ZERO),
            end_time: view.ended.map(at),
            update_time: at(view.ended.or(view.started).unwrap_or_default()),
            batch_stats: Stats {
                request_count: batch.items.len().to_string(),
                successful_request_count: number(succeeded),
                failed_request_count: number(errored + expired + cancelled),
                pending_request_count: number(pending),
            },
            state: state(batch, view.phase),
            name: &batch.id,
            priority: "0",
        },
        done: over.then_some(true),
        error: error(batch, view.phase),
        response: output.map(|output| Answer {
            kind: "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatchOutput",
            output,
        }),
    })
}

fn state(batch: &Batch, phase: Phase) -> String {
    let word = match phase {
        Phase::Validating => "PENDING",
        Phase::Running | Phase::Finalizing | Phase::Cancelling => "RUNNING",
        Phase::Completed => "SUCCEEDED",
        Phase::Failed => "FAILED",
        Phase::Expired => "EXPIRED",
        Phase::Cancelled => "CANCELLED",
    };
    match batch.word() {
        Some(other) if word == "RUNNING" => other.to_owned(),
        _ if batch.job_prefix => format!("JOB_STATE_{word}"),
        _ => format!("BATCH_STATE_{word}"),
    }
}

fn error(batch: &Batch, phase: Phase) -> Option<Error<'_>> {
    let said = |code, message, http| Some(Error { code, message, status: Some(status(http)) });
    match phase {
        Phase::Failed => {
            let message = batch.flaws.first().map_or("Emulated: the batch failed.", |flaw| &flaw.message);
            said(3, message, 400)
        }
        Phase::Expired => said(4, "Emulated: the batch expired before it was done.", 504),
        Phase::Cancelled => Some(Error { code: 1, message: "Emulated: the batch was cancelled.", status: None }),
        _ => None,
    }
}

/// A file as it is told of.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FileObject<'a> {
    pub(crate) name: &'a str,
    pub(crate) display_name: &'a str,
    pub(crate) mime_type: &'a str,
    pub(crate) size_bytes: String,
    pub(crate) create_time: String,
    pub(crate) update_time: String,
    pub(crate) expiration_time: String,
    pub(crate) uri: String,
    pub(crate) state: &'static str,
    pub(crate) source: &'static str,
}

#[derive(Default, Deserialize)]
struct Start<'a> {
    #[serde(borrow, default)]
    file: Told<'a>,
}

#[derive(Default, Deserialize)]
struct Told<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow, default, rename = "displayName", alias = "display_name")]
    display_name: Text<'a>,
    #[serde(borrow, default, rename = "mimeType", alias = "mime_type")]
    mime_type: Text<'a>,
}

/// Reads the body that starts an upload: name, display name, type; all may be empty.
pub(crate) fn start(body: &[u8]) -> Result<(String, String, String), Problem> {
    if body.is_empty() {
        return Ok(Default::default());
    }
    let start: Start<'_> =
        serde_json::from_slice(body).map_err(|error| Problem::new(400, format!("Invalid JSON payload: {error}")))?;
    let file = start.file;
    Ok((file.name.0.into_owned(), file.display_name.0.into_owned(), file.mime_type.0.into_owned()))
}
