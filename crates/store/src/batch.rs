//! Batches and their items: collected, closed into a batch, submitted, polled, settled. Whoever works on a batch has
//! taken it, and every write names the hold that it was taken with. Refuses to decide what becomes of an item.

mod close;
mod collect;
mod counts;
mod give_up;
mod hold;
mod items;
mod lines;
mod progress;
mod recheck;
mod settle;
mod submit;

pub use close::{Close, Group};
pub use collect::{Declined, NewItem};
pub use counts::{BatchCount, BatchCounts, WaitingCount};
pub use give_up::GivenUp;
pub use items::ItemRow;
pub use lines::Lines;
pub use progress::{JobEnd, Polled};
pub use settle::{ItemEnd, ItemThen, Settled, SettledItem};
pub use submit::Created;

use crate::{error::Error, row::Columns, sweep::Name};
use domain::batch::{BatchState, CancelThen};
use std::time::Duration;
use time::OffsetDateTime;
use tokio_postgres::Row;
use uuid::Uuid;

/// One job at a provider's batch API, as far as whoever works on it needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchRow {
    /// The batch, v7.
    pub id: Uuid,
    /// Whose API.
    pub provider: String,
    /// `provider/model`, where the provider takes one model for each batch.
    pub model: Option<String>,
    /// Where it stands.
    pub state: BatchState,
    /// Which create this is, from 1.
    pub submission: i32,
    /// How many items it was made of.
    pub items: i32,
    /// Their bytes, as the provider counts them.
    pub bytes: i64,
    /// What every write must name.
    pub hold: i32,
    /// The file its items were uploaded as.
    pub input_file: Option<String>,
    /// When it was about to be created.
    pub intent_at: Option<OffsetDateTime>,
    /// Its name at the provider.
    pub remote_id: Option<String>,
    /// The provider's own word for its state.
    pub remote_state: Option<String>,
    /// The file of its results.
    pub output_file: Option<String>,
    /// The file of its errors.
    pub error_file: Option<String>,
    /// How many items the provider has done.
    pub done_items: Option<i32>,
    /// Since when the provider says that it does not know it.
    pub unknown_since: Option<OffsetDateTime>,
    /// What people read.
    pub note: Option<String>,
    /// When its master wanted it cancelled.
    pub cancel_wanted_at: Option<OffsetDateTime>,
    /// What becomes of its asks then.
    pub cancel_then: Option<CancelThen>,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When the provider took it.
    pub submitted_at: Option<OffsetDateTime>,
    /// When the provider gives it up.
    pub expires_at: Option<OffsetDateTime>,
    /// When the provider ended it.
    pub ended_at: Option<OffsetDateTime>,
    /// When its last item was settled.
    pub settled_at: Option<OffsetDateTime>,
    /// When nothing was left to be done.
    pub cleaned_at: Option<OffsetDateTime>,
    /// The time of the database when this was read: ages are counted from it.
    pub now: OffsetDateTime,
}

/// Reads a batch from the columns that every statement returns in the same order.
fn batch(row: &Row, statement: &'static str) -> Result<BatchRow, Error> {
    let mut columns = Columns::of(row, statement);
    Ok(BatchRow {
        id: columns.next()?,
        provider: columns.next()?,
        model: columns.next()?,
        state: columns.word()?,
        submission: columns.next()?,
        items: columns.next()?,
        bytes: columns.next()?,
        hold: columns.next()?,
        input_file: columns.next()?,
        intent_at: columns.next()?,
        remote_id: columns.next()?,
        remote_state: columns.next()?,
        output_file: columns.next()?,
        error_file: columns.next()?,
        done_items: columns.next()?,
        unknown_since: columns.next()?,
        note: columns.next()?,
        cancel_wanted_at: columns.next()?,
        cancel_then: columns.optional_word()?,
        created_at: columns.next()?,
        submitted_at: columns.next()?,
        expires_at: columns.next()?,
        ended_at: columns.next()?,
        settled_at: columns.next()?,
        cleaned_at: columns.next()?,
        now: columns.next()?,
    })
}

/// Reads a task to be announced: id, order, kind, pace, trace and priority, from the next columns.
fn name(columns: &mut Columns<'_>) -> Result<Name, Error> {
    Ok(Name {
        id: columns.next()?,
        root_id: columns.next()?,
        kind: columns.word()?,
        pace: columns.word()?,
        traceparent: columns.next()?,
        priority: columns.priority()?,
    })
}

/// Reads milliseconds; what lies in the past is now.
fn duration(milliseconds: i64) -> Duration {
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
}
