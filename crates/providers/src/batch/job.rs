//! A batch as its provider tells of it, and the results of its items, whoever the provider is.
//! Refuses to know how either is spelled on a wire.

use crate::{chat::Answer, error::Error};
use futures_util::stream::BoxStream;
use time::OffsetDateTime;

/// A batch at its provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchJob {
    /// The provider's id.
    pub id: String,
    /// How it stands.
    pub state: JobState,
    /// The provider's own word for that.
    pub word: String,
    /// `provider/model`, where the provider names it; it prices the results whose own line names none.
    pub model: Option<String>,
    /// How many items it has, as far as the provider tells.
    pub total: Option<u32>,
    /// How many of them have ended in whatever way, as far as the provider tells.
    pub done: Option<u32>,
    /// When it was created, by the provider's clock.
    pub created_at: Option<OffsetDateTime>,
    /// When the provider will give up on what has not ended by then.
    pub expires_at: Option<OffsetDateTime>,
    /// When it ended.
    pub ended_at: Option<OffsetDateTime>,
    /// The file with the results, where they come in files.
    pub output_file: Option<String>,
    /// The file with the failed items, where they have one of their own.
    pub error_file: Option<String>,
    /// Why the whole batch failed.
    pub faults: Vec<JobFault>,
}

/// How a batch stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum JobState {
    /// It is checked, waits or runs.
    Running,
    /// It was told to stop; what runs may still end.
    Cancelling,
    /// It has ended; single items may have failed all the same.
    Completed,
    /// It was refused as a whole: see [`BatchJob::faults`].
    Failed,
    /// Its time was up; finished items may have results (not at Gemini).
    Expired,
    /// It was stopped; finished items may have results.
    Cancelled,
    /// A word that this crate does not know: ask again later.
    #[default]
    Unknown,
}

impl JobState {
    /// Tells whether nothing more will happen to the batch.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Expired | Self::Cancelled)
    }
}

/// One reason why a whole batch failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFault {
    /// What to do about it.
    pub kind: FaultKind,
    /// The provider's code; empty when it gave none.
    pub code: String,
    /// The line of the input at fault, counted from 1.
    pub line: Option<u32>,
    /// The provider's message, cleaned.
    pub message: String,
}

/// What a fault of a batch is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// Too many tokens wait at the provider already: create it again when other batches have ended.
    TokenLimit,
    /// One line of the input: the batch may be made again without it.
    Line,
    /// The batch itself.
    Whole,
}

impl JobFault {
    /// Tells whether the same batch may be created again, later.
    #[must_use]
    pub const fn is_token_limit(&self) -> bool {
        matches!(self.kind, FaultKind::TokenLimit)
    }
}

/// Why a batch was not created, or may have been.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{error}")]
pub struct CreateError {
    /// The batch may exist all the same: look for it before it is created again.
    pub ambiguous: bool,
    /// What went wrong.
    pub error: Error,
}

/// What a search for a batch brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It is this one.
    Job(BatchJob),
    /// It may be this one: time and number of items agree, and the provider keeps no more than that.
    Perhaps(BatchJob),
    /// The provider does not have it, or not yet.
    Absent,
}

/// The result of one item.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchResult {
    /// The item.
    pub custom_id: String,
    /// What became of it.
    pub outcome: BatchOutcome,
}

/// What became of one item.
#[derive(Debug, Clone, PartialEq)]
pub enum BatchOutcome {
    /// The model answered. [`Answer::data`] is set whenever the text is JSON: whether a schema was
    /// asked for is for the caller to know.
    Succeeded(Answer),
    /// It failed; what was billed all the same is in [`Error::billed`].
    Failed(Error),
    /// Its time was up before it was begun; not billed.
    Expired,
    /// It was cancelled before it was begun; not billed.
    Cancelled,
}

/// The results of a batch, one at a time; an error ends them.
pub type BatchResults = BoxStream<'static, Result<BatchResult, Error>>;
