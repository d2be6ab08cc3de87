//! Gemini's batches, operations and uploads as they stand on the wire.
//! Refuses to send asks inline: their results have come back without their keys.

use super::{
    BatchJob, FaultKind, JobFault, JobState,
    item::{Item, Said},
    lenient,
};
use crate::wire::generate_content;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

/// How long a batch may wait and run before Gemini gives it up, results and all.
const LIFE: Duration = Duration::hours(48);

/// What creates a batch.
#[derive(Serialize)]
pub(super) struct Create<'a> {
    batch: CreateBatch<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateBatch<'a> {
    display_name: &'a str,
    input_config: InputFile<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InputFile<'a> {
    file_name: &'a str,
}

impl<'a> Create<'a> {
    pub(super) const fn new(token: &'a str, file: &'a str) -> Self {
        Self { batch: CreateBatch { display_name: token, input_config: InputFile { file_name: file } } }
    }
}

/// What ends an upload.
#[derive(Deserialize)]
pub(super) struct Uploaded {
    pub(super) file: File,
}

/// A file.
#[derive(Deserialize)]
pub(super) struct File {
    #[serde(default, deserialize_with = "lenient::text")]
    pub(super) name: Option<String>,
}

/// One batch, as the operation that runs it.
#[derive(Debug, Deserialize)]
pub(super) struct Job {
    #[serde(default, deserialize_with = "lenient::text")]
    name: Option<String>,
    #[serde(default)]
    metadata: Option<Meta>,
    #[serde(default)]
    done: Option<bool>,
    #[serde(default)]
    response: Option<Output>,
    #[serde(default)]
    error: Option<RawFault>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    #[serde(default, deserialize_with = "lenient::text")]
    name: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    model: Option<String>,
    #[serde(default, alias = "display_name", deserialize_with = "lenient::text")]
    display_name: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    state: Option<String>,
    #[serde(default, alias = "create_time", deserialize_with = "lenient::time")]
    create_time: Option<OffsetDateTime>,
    #[serde(default, alias = "update_time", deserialize_with = "lenient::time")]
    update_time: Option<OffsetDateTime>,
    #[serde(default, alias = "end_time", deserialize_with = "lenient::time")]
    end_time: Option<OffsetDateTime>,
    #[serde(default, alias = "batch_stats")]
    batch_stats: Option<Stats>,
    #[serde(default, alias = "input_config")]
    input_config: Option<Input>,
    #[serde(default)]
    output: Option<Output>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    #[serde(default, alias = "request_count", deserialize_with = "lenient::count")]
    request_count: Option<u32>,
    #[serde(default, alias = "successful_request_count", deserialize_with = "lenient::count")]
    successful_request_count: Option<u32>,
    #[serde(default, alias = "failed_request_count", deserialize_with = "lenient::count")]
    failed_request_count: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    #[serde(default, alias = "file_name", deserialize_with = "lenient::text")]
    file_name: Option<String>,
}

/// Where results are; results that stand here themselves are read elsewhere, one by one.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Output {
    #[serde(default, alias = "responses_file", deserialize_with = "lenient::text")]
    responses_file: Option<String>,
}

#[derive(Debug, Deserialize)]
struct RawFault {
    #[serde(default, deserialize_with = "lenient::word")]
    code: Option<String>,
    #[serde(default, deserialize_with = "lenient::word")]
    status: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    message: Option<String>,
}

impl Job {
    /// Tells whether the batch was made of our file or carries our token.
    pub(super) fn is_ours(&self, file: Option<&str>, token: &str) -> bool {
        let Some(meta) = &self.metadata else { return false };
        let input = meta.input_config.as_ref().and_then(|input| input.file_name.as_deref());
        meta.display_name.as_deref() == Some(token) || (file.is_some() && input == file)
    }

    /// Reads the batch; `None` when it has no name and so is none.
    pub(super) fn read(self, provider: &str, clean: impl Fn(&str) -> String) -> Option<BatchJob> {
        let meta = self.metadata.unwrap_or_default();
        let is_batch = |name: &String| name.starts_with("batches/");
        let id = self.name.filter(is_batch).or(meta.name.filter(is_batch))?;
        let (state, word) = state(meta.state, self.done == Some(true), self.error.is_some());
        let stats = meta.batch_stats.as_ref();
        let total = stats.and_then(|stats| stats.request_count);
        let ended = |stats: &Stats| {
            stats.successful_request_count.unwrap_or(0).saturating_add(stats.failed_request_count.unwrap_or(0))
        };
        let file = |output: Option<Output>| output.and_then(|output| output.responses_file);
        Some(BatchJob {
            id,
            total,
            done: stats.filter(|_| total.is_some()).map(ended),
            model: meta.model.map(|model| format!("{provider}/{}", model.strip_prefix("models/").unwrap_or(&model))),
            created_at: meta.create_time,
            expires_at: meta.create_time.and_then(|created| created.checked_add(LIFE)),
            ended_at: meta.end_time.or(meta.update_time.filter(|_| state.is_terminal())),
            output_file: file(self.response).or_else(|| file(meta.output)),
            error_file: None,
            faults: self.error.into_iter().map(|error| error.read(&clean)).collect(),
            state,
            word,
        })
    }
}

/// Reads a state; the prefix differs between the wire, the SDKs and the documentation.
fn state(word: Option<String>, done: bool, failed: bool) -> (JobState, String) {
    let Some(word) = word else {
        let state = match (done, failed) {
            (true, true) => JobState::Failed,
            (true, false) => JobState::Completed,
            (false, _) => JobState::Unknown,
        };
        return (state, String::new());
    };
    let bare = word.strip_prefix("BATCH_STATE_").or_else(|| word.strip_prefix("JOB_STATE_")).unwrap_or(&word);
    let state = match bare {
        "PENDING" | "RUNNING" | "QUEUED" | "PAUSED" | "UPDATING" => JobState::Running,
        "CANCELLING" => JobState::Cancelling,
        "SUCCEEDED" | "PARTIALLY_SUCCEEDED" => JobState::Completed,
        "FAILED" => JobState::Failed,
        "CANCELLED" => JobState::Cancelled,
        "EXPIRED" => JobState::Expired,
        _ => JobState::Unknown,
    };
    (state, word)
}

impl RawFault {
    fn read(self, clean: impl Fn(&str) -> String) -> JobFault {
        let number = self.code.as_deref().and_then(|code| code.parse().ok());
        let word = self.status.or_else(|| Some(grpc(number?)?.to_uppercase())).or(self.code).unwrap_or_default();
        let kind = match word.as_str() {
            "RESOURCE_EXHAUSTED" | "429" => FaultKind::TokenLimit,
            _ => FaultKind::Whole,
        };
        JobFault { kind, code: word, line: None, message: clean(&self.message.unwrap_or_default()) }
    }
}

/// One page of batches, in no documented order.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    #[serde(default)]
    pub(super) operations: Vec<Job>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub(super) next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct Line {
    key: Option<String>,
    metadata: Option<Label>,
    response: Option<generate_content::Reply>,
    error: Option<Value>,
    /// Some reports have the error here.
    status: Option<Value>,
}

#[derive(Deserialize)]
struct Label {
    key: Option<String>,
}

/// Reads one line of results, or one element of results that came inline; `None` when it is none.
pub(super) fn item(line: &[u8]) -> Option<Item> {
    let line: Line = serde_json::from_slice(line).ok()?;
    let custom_id = line.key.or(line.metadata.and_then(|label| label.key))?;
    let error = line.error.or_else(|| line.status.filter(Value::is_object));
    let said = match (line.response, error) {
        (Some(reply), None) => Said::of(generate_content::draft(reply), None),
        (_, Some(error)) => failed(&error),
        (None, None) => Said::Malformed,
    };
    Some(Item { custom_id, said })
}

/// An item's error has a gRPC code, an HTTP code or a word, and not always the same one.
fn failed(error: &Value) -> Said {
    let code = error.get("code").and_then(|code| code.as_i64().or_else(|| code.as_str()?.parse().ok()));
    let word = error.get("status").and_then(Value::as_str).map(str::to_lowercase);
    let word = word.or_else(|| code.and_then(grpc).map(str::to_owned));
    if word.as_deref() == Some("cancelled") {
        return Said::Cancelled;
    }
    let status = code.and_then(|code| u16::try_from(code).ok()).filter(|code| (400..600).contains(code));
    let body = json!({"error": {"status": word, "message": error.get("message"), "details": error.get("details")}});
    Said::Error { status, body: body.to_string().into_bytes() }
}

/// The words of gRPC's codes, as far as they differ from "try again".
const fn grpc(code: i64) -> Option<&'static str> {
    Some(match code {
        1 => "cancelled",
        3 | 11 => "invalid_argument",
        4 => "deadline_exceeded",
        5 | 12 => "not_found",
        7 => "permission_denied",
        8 => "resource_exhausted",
        9 => "failed_precondition",
        14 => "unavailable",
        16 => "unauthenticated",
        _ => return None,
    })
}
