//! Batches at the providers: many asks in one job, at half price, answered within a day.
//! Refuses to know what an ask is for, to remember a job, and to send a job twice: who calls keeps
//! the ids, and looks a job up before it is created again.
//!
//! The way of a batch: [`Batches::body`] for each ask, [`Batches::upload`] where the provider takes
//! files, [`Batches::create`], [`Batches::status`] until it has ended, [`Batches::results`],
//! [`Batches::clean`]. After an answer to `create` that was lost: [`Batches::find`].
//!
//! | | Anthropic | OpenAI | Gemini |
//! | --- | --- | --- | --- |
//! | asks travel | in the request | in a file, in one go | in a file, in chunks of 8 MiB |
//! | a lost batch is found by | time and number of asks | input file, metadata | file, display name |
//! | results | one stream | two files | one file, or inline |

mod anthropic;
mod body;
mod cancel;
mod clean;
mod create;
mod estimate;
mod find;
mod gemini;
mod item;
mod job;
mod lenient;
mod offer;
mod open_api;
mod openai;
mod remote;
mod results;
mod resumable;
mod split;
mod status;
mod upload;
mod write;

pub use job::{BatchJob, BatchOutcome, BatchResult, BatchResults, CreateError, FaultKind, Found, JobFault, JobState};
pub use offer::{BatchOffer, Offer};

use crate::{endpoint::Endpoint, providers::Inner};
use futures_util::Stream;
use std::{fmt, pin::Pin, sync::Arc};

/// The batch API of one provider; a clone is another handle to the same connections.
#[derive(Clone)]
pub struct Batches {
    inner: Arc<Inner>,
    endpoint: Arc<Endpoint>,
    kind: Kind,
}

/// A batch API that is written here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Anthropic,
    OpenAi,
    Gemini,
}

/// One ask of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchLine {
    /// What its result is known by: 1 to 64 letters of `[A-Za-z0-9_-]`, unique in the batch.
    pub custom_id: String,
    /// What [`Batches::body`] gave.
    pub body: String,
}

/// The asks of a batch, one after the other; read once, in pieces, as fast as the provider takes them.
pub type BatchLines = Pin<Box<dyn Stream<Item = Result<BatchLine, Box<dyn std::error::Error + Send + Sync>>> + Send>>;

/// What is known of a batch before its lines are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchSpec {
    /// Whose it is, for [`Batches::find`]: 1 to 64 letters of `[A-Za-z0-9_-]`. Every `custom_id` of the
    /// batch begins with it and a dash.
    pub token: String,
    /// `provider/model`, where the provider takes one model per batch ([`BatchOffer::one_model`]).
    pub model: Option<String>,
    /// How many lines there are.
    pub items: u32,
    /// The sum of [`Batches::line_bytes`] over all lines.
    pub bytes: u64,
}

impl fmt::Debug for Batches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Batches").field(&self.endpoint).finish()
    }
}
