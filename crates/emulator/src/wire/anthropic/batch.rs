//! Anthropic's Message Batches as they are written: the batch, the list, a line of results. Refuses to decide what
//! becomes of a batch.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::content::Text;
use super::super::{instant, json};
use super::error_body;
use crate::batch::{Batch, Counts, Line, Outcome, Phase};
use crate::problem::Problem;

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default)]
    custom_id: Text<'a>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

/// Reads an element of `requests`, the one at that place.
pub(crate) fn item(bytes: &[u8], place: usize) -> Result<Line<'_>, Problem> {
    let path = format!("requests.{place}");
    let item: Item<'_> = serde_json::from_slice(bytes)
        .map_err(|error| Problem::field(&path, format!("{path}: {}", words(&error.to_string()))))?;
    let Some(body) = item.params.filter(|params| params.get().starts_with('{')) else {
        return Err(Problem::field(&path, format!("{path}.params: Field required")));
    };
    Ok(Line { id: item.custom_id.0, body, metadata: None })
}

fn words(error: &str) -> &str {
    error.split(" at line ").next().unwrap_or_default()
}

/// Reads an element that was read before.
pub(crate) fn line(bytes: &[u8]) -> Option<Line<'_>> {
    let item: Item<'_> = serde_json::from_slice(bytes).ok()?;
    Some(Line { id: item.custom_id.0, body: item.params?, metadata: None })
}

/// Whether a `custom_id` is one.
pub(crate) fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// A line of results; `id` is the item's own.
pub(crate) fn result(line: &Line<'_>, outcome: &Outcome<'_>, id: &str) -> String {
    let failed = |problem: &Problem| {
        let request = format!("req_{id}");
        Cow::Owned(format!(r#"{{"type":"errored","error":{}}}"#, error_body(problem, &request)))
    };
    let result = match outcome {
        Outcome::Answer(body) => Cow::Owned(format!(r#"{{"type":"succeeded","message":{body}}}"#)),
        Outcome::Error(problem) => failed(problem),
        Outcome::Timeout => failed(&Problem::new(504, "Emulated: the request took too long.")),
        Outcome::Expired => Cow::Borrowed(r#"{"type":"expired"}"#),
        Outcome::Cancelled => Cow::Borrowed(r#"{"type":"canceled"}"#),
        Outcome::Unknown => Cow::Borrowed(r#"{"type":"emulated_news","emulated":true}"#),
    };
    format!(r#"{{"custom_id":{},"result":{result}}}"#, json(&line.id))
}

#[derive(Serialize)]
struct Object<'a> {
    id: &'a str,
    r#type: &'static str,
    processing_status: Cow<'a, str>,
    request_counts: Tally,
    created_at: String,
    expires_at: String,
    ended_at: Option<String>,
    cancel_initiated_at: Option<String>,
    archived_at: Option<String>,
    results_url: Option<String>,
}

#[derive(Serialize)]
struct Tally {
    processing: usize,
    succeeded: usize,
    errored: usize,
    canceled: usize,
    expired: usize,
}

/// A batch as it is now; `base` is where the emulator is reached.
pub(crate) fn object(batch: &Batch, base: &str) -> String {
    let view = batch.view();
    let over = view.phase.is_over();
    let status = match view.phase {
        Phase::Cancelling => Cow::Borrowed("canceling"),
        _ if over => Cow::Borrowed("ended"),
        _ => batch.word().map_or(Cow::Borrowed("in_progress"), Cow::Borrowed),
    };
    // What is done stays hidden until everything is.
    let counts = if over { batch.counts(&view) } else { Counts::default() };
    let at = |since| instant(batch.created, since);
    json(&Object {
        id: &batch.id,
        r#type: "message_batch",
        processing_status: status,
        request_counts: Tally {
            processing: if over { 0 } else { batch.items.len() },
            succeeded: counts.succeeded,
            errored: counts.errored,
            canceled: counts.cancelled,
            expired: counts.expired,
        },
        created_at: at(std::time::Duration::ZERO),
        expires_at: at(batch.plan.expires),
        ended_at: view.ended.map(at),
        cancel_initiated_at: view.cancelling.map(at),
        archived_at: None,
        results_url: over.then(|| format!("{base}/v1/messages/batches/{}/results", batch.id)),
    })
}
