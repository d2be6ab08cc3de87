//! OpenAI's files and batches as they stand on the wire.
//! Refuses to trust an order: of results, of the fields of a line, or of the pages of a list.

use super::{
    BatchJob, FaultKind, JobFault, JobState,
    item::{Item, Said},
    lenient,
};
use crate::{
    catalogue::Wire,
    wire::{Draft, Fault, chat_completions, responses},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::collections::HashMap;
use time::OffsetDateTime;

/// The key of the metadata under which a batch has our token.
pub(super) const TOKEN: &str = "chavion_batch";

/// Returns what a wire is called in a line and in a batch.
pub(super) const fn endpoint(wire: Wire) -> &'static str {
    match wire {
        Wire::Responses => "/v1/responses",
        _ => "/v1/chat/completions",
    }
}

/// What creates a batch.
#[derive(Serialize)]
pub(super) struct Create<'a> {
    pub(super) input_file_id: &'a str,
    pub(super) endpoint: &'static str,
    pub(super) completion_window: &'static str,
    pub(super) metadata: HashMap<&'static str, &'a str>,
}

/// A file.
#[derive(Deserialize)]
pub(super) struct File {
    #[serde(default, deserialize_with = "lenient::text")]
    pub(super) id: Option<String>,
}

/// One batch.
#[derive(Debug, Deserialize)]
pub(super) struct Job {
    #[serde(default, deserialize_with = "lenient::text")]
    id: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    status: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    model: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub(super) input_file_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    output_file_id: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    error_file_id: Option<String>,
    #[serde(default)]
    errors: Option<Faults>,
    #[serde(default)]
    request_counts: Option<Counts>,
    #[serde(default)]
    pub(super) metadata: Option<HashMap<String, Value>>,
    #[serde(default, deserialize_with = "lenient::time")]
    pub(super) created_at: Option<OffsetDateTime>,
    #[serde(default, deserialize_with = "lenient::time")]
    expires_at: Option<OffsetDateTime>,
    #[serde(default, deserialize_with = "lenient::time")]
    completed_at: Option<OffsetDateTime>,
    #[serde(default, deserialize_with = "lenient::time")]
    failed_at: Option<OffsetDateTime>,
    #[serde(default, deserialize_with = "lenient::time")]
    expired_at: Option<OffsetDateTime>,
    #[serde(default, deserialize_with = "lenient::time")]
    cancelled_at: Option<OffsetDateTime>,
}

#[derive(Debug, Deserialize)]
struct Faults {
    #[serde(default)]
    data: Vec<RawFault>,
}

#[derive(Debug, Deserialize)]
struct RawFault {
    #[serde(default, deserialize_with = "lenient::word")]
    code: Option<String>,
    #[serde(default, deserialize_with = "lenient::count")]
    line: Option<u32>,
    #[serde(default, deserialize_with = "lenient::text")]
    message: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Counts {
    #[serde(default, deserialize_with = "lenient::count")]
    total: Option<u32>,
    #[serde(default, deserialize_with = "lenient::count")]
    completed: Option<u32>,
    #[serde(default, deserialize_with = "lenient::count")]
    failed: Option<u32>,
}

impl Job {
    /// Tells whether the batch was made of our file or carries our token.
    pub(super) fn is_ours(&self, file: Option<&str>, token: &str) -> bool {
        let by_file = file.is_some() && self.input_file_id.as_deref() == file;
        let label = self.metadata.as_ref().and_then(|metadata| metadata.get(TOKEN)?.as_str());
        by_file || label == Some(token)
    }

    /// Reads the batch; `None` when it has no id and so is none.
    pub(super) fn read(self, provider: &str, clean: impl Fn(&str) -> String) -> Option<BatchJob> {
        let word = self.status.unwrap_or_default();
        let state = match word.to_lowercase().as_str() {
            "validating" | "in_progress" | "finalizing" | "queued" => JobState::Running,
            "cancelling" | "canceling" => JobState::Cancelling,
            "completed" => JobState::Completed,
            "failed" => JobState::Failed,
            "expired" => JobState::Expired,
            "cancelled" | "canceled" => JobState::Cancelled,
            _ => JobState::Unknown,
        };
        // Before the file was checked the total is 0, which says nothing.
        let counts = self.request_counts.as_ref().filter(|counts| counts.total.is_some_and(|total| total > 0));
        let done = |counts: &Counts| Some(counts.completed.unwrap_or(0).saturating_add(counts.failed.unwrap_or(0)));
        Some(BatchJob {
            id: self.id?,
            total: counts.and_then(|counts| counts.total),
            done: counts.and_then(done),
            state,
            word,
            model: self.model.map(|model| format!("{provider}/{model}")),
            created_at: self.created_at,
            expires_at: self.expires_at,
            ended_at: self.completed_at.or(self.failed_at).or(self.expired_at).or(self.cancelled_at),
            output_file: self.output_file_id,
            error_file: self.error_file_id,
            faults: self.errors.into_iter().flat_map(|errors| errors.data).map(|raw| raw.read(&clean)).collect(),
        })
    }
}

impl RawFault {
    fn read(self, clean: impl Fn(&str) -> String) -> JobFault {
        let code = self.code.unwrap_or_default();
        let message = self.message.unwrap_or_default();
        let kind = if is_token_limit(&code, &message) {
            FaultKind::TokenLimit
        } else if self.line.is_some() {
            FaultKind::Line
        } else {
            FaultKind::Whole
        };
        JobFault { kind, code, line: self.line, message: clean(&message) }
    }
}

/// Tells whether a batch was refused because too many tokens wait already. The code is known from
/// reports only, so the message is looked at, too.
fn is_token_limit(code: &str, message: &str) -> bool {
    code.to_lowercase().contains("token_limit") || message.to_lowercase().contains("enqueued token")
}

/// One page of batches.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) data: Vec<Job>,
    #[serde(default)]
    pub(super) has_more: bool,
    #[serde(default, deserialize_with = "lenient::text")]
    pub(super) last_id: Option<String>,
}

impl Page {
    /// Returns what the next page comes after.
    pub(super) fn last(&self) -> Option<&str> {
        self.last_id.as_deref().or_else(|| self.data.last()?.id.as_deref())
    }
}

#[derive(Deserialize)]
struct Line<R> {
    custom_id: String,
    response: Option<Response<R>>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Response<R> {
    #[serde(default, deserialize_with = "lenient::count")]
    status_code: Option<u32>,
    #[serde(default, deserialize_with = "lenient::text")]
    request_id: Option<String>,
    body: Option<R>,
}

/// Reads one line of results; `None` when it is none. A file does not say which of the two wires its
/// answers speak: `wire` is what the last one spoke.
pub(super) fn item(line: &[u8], wire: &mut Wire) -> Option<Item> {
    let first = of_wire(line, *wire);
    if first.as_ref().is_some_and(|item| !matches!(item.said, Said::Malformed)) {
        return first;
    }
    let other = if *wire == Wire::Responses { Wire::ChatCompletions } else { Wire::Responses };
    match of_wire(line, other) {
        Some(item) if !matches!(item.said, Said::Malformed) => {
            *wire = other;
            Some(item)
        }
        second => first.or(second).or_else(|| of_any(line)),
    }
}

fn of_wire(line: &[u8], wire: Wire) -> Option<Item> {
    match wire {
        Wire::Responses => typed(line, responses::draft, |reply| reply.error.take()),
        _ => typed(line, chat_completions::draft, |reply| reply.error.take()),
    }
}

fn typed<R: DeserializeOwned>(
    line: &[u8],
    draft: fn(R) -> Result<Draft, Fault>,
    error: fn(&mut R) -> Option<Value>,
) -> Option<Item> {
    let line: Line<R> = serde_json::from_slice(line).ok()?;
    let said = match (line.error, line.response) {
        (Some(error), None) => unexecuted(&error),
        (_, Some(response)) => answered(response, draft, error),
        (None, None) => Said::Malformed,
    };
    Some(Item { custom_id: line.custom_id, said })
}

fn answered<R>(
    response: Response<R>,
    draft: fn(R) -> Result<Draft, Fault>,
    error: fn(&mut R) -> Option<Value>,
) -> Said {
    let status = response.status_code.and_then(|status| u16::try_from(status).ok());
    match (status, response.body) {
        (Some(200..=299) | None, Some(reply)) => Said::of(draft(reply), response.request_id),
        (Some(200..=299) | None, None) => Said::Malformed,
        (status, body) => Said::error(status, &body.and_then(|mut body| error(&mut body)).unwrap_or_default()),
    }
}

/// An item that was never sent to a model.
fn unexecuted(error: &Value) -> Said {
    let code = error.get("code").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    match code.as_str() {
        "batch_expired" => Said::Expired,
        "batch_cancelled" | "batch_canceled" => Said::Cancelled,
        "request_timeout" => Said::error(Some(408), error),
        _ => Said::error(None, error),
    }
}

/// Reads a line whose body is neither wire's: a proxy's page, a text.
fn of_any(line: &[u8]) -> Option<Item> {
    let line: Line<Value> = serde_json::from_slice(line).ok()?;
    let status = line.response.and_then(|response| response.status_code).and_then(|status| u16::try_from(status).ok());
    let said = match status {
        Some(200..=299) | None => Said::Malformed,
        status => Said::error(status, &Value::Null),
    };
    Some(Item { custom_id: line.custom_id, said })
}
