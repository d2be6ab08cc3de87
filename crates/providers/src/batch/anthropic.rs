//! Anthropic's message batches as they stand on the wire.
//! Refuses to read `results_url`: it names a host, and the key goes to our own alone.

use super::{
    BatchJob, JobState,
    item::{Item, Said},
    lenient,
};
use crate::wire::messages;
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;

/// One batch.
#[derive(Debug, Deserialize)]
pub(super) struct Job {
    #[serde(default, deserialize_with = "lenient::text")]
    id: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    processing_status: Option<String>,
    #[serde(default)]
    request_counts: Option<Counts>,
    #[serde(default, deserialize_with = "lenient::time")]
    created_at: Option<OffsetDateTime>,
    #[serde(default, deserialize_with = "lenient::time")]
    expires_at: Option<OffsetDateTime>,
    #[serde(default, deserialize_with = "lenient::time")]
    ended_at: Option<OffsetDateTime>,
}

#[derive(Debug, Deserialize)]
struct Counts {
    #[serde(default, deserialize_with = "lenient::count")]
    processing: Option<u32>,
    #[serde(default, deserialize_with = "lenient::count")]
    succeeded: Option<u32>,
    #[serde(default, deserialize_with = "lenient::count")]
    errored: Option<u32>,
    #[serde(default, deserialize_with = "lenient::count")]
    canceled: Option<u32>,
    #[serde(default, deserialize_with = "lenient::count")]
    expired: Option<u32>,
}

impl Job {
    /// Reads the batch; `None` when it has no id and so is none.
    pub(super) fn read(self) -> Option<BatchJob> {
        let word = self.processing_status.unwrap_or_default();
        let state = match word.to_lowercase().as_str() {
            "in_progress" => JobState::Running,
            "canceling" | "cancelling" => JobState::Cancelling,
            "ended" => JobState::Completed,
            _ => JobState::Unknown,
        };
        let sum =
            |counts: &[Option<u32>]| counts.iter().flatten().fold(0, |sum: u32, count| sum.saturating_add(*count));
        let done = self
            .request_counts
            .as_ref()
            .map(|counts| sum(&[counts.succeeded, counts.errored, counts.canceled, counts.expired]));
        let waiting = self.request_counts.as_ref().and_then(|counts| counts.processing).unwrap_or(0);
        Some(BatchJob {
            id: self.id?,
            total: done.map(|done| done.saturating_add(waiting)),
            // Until the whole batch has ended all counts but one stay 0: that is no progress, but no news.
            done: done.filter(|_| state == JobState::Completed),
            state,
            word,
            created_at: self.created_at,
            expires_at: self.expires_at,
            ended_at: self.ended_at,
            ..BatchJob::default()
        })
    }
}

/// One page of batches, the newest first.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) data: Vec<Job>,
    #[serde(default)]
    pub(super) has_more: bool,
    #[serde(default, deserialize_with = "lenient::text")]
    pub(super) last_id: Option<String>,
}

#[derive(Deserialize)]
struct Line {
    custom_id: String,
    result: Outcome,
}

#[derive(Deserialize)]
struct Outcome {
    #[serde(rename = "type")]
    kind: String,
    message: Option<messages::Reply>,
    error: Option<Value>,
}

/// Reads one line of results; `None` when it is none.
pub(super) fn item(line: &[u8]) -> Option<Item> {
    let Line { custom_id, result } = serde_json::from_slice(line).ok()?;
    let said = match (result.kind.as_str(), result.message, result.error) {
        ("succeeded", Some(message), _) => Said::of(messages::draft(message), None),
        ("expired", ..) => Said::Expired,
        ("canceled" | "cancelled", ..) => Said::Cancelled,
        (_, _, Some(error)) => Said::error(None, &error),
        _ => Said::Malformed,
    };
    Some(Item { custom_id, said })
}
