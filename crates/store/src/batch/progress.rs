//! What a provider says of a batch, and the end of it. Each returns false when the batch is someone else's by now, or
//! not where the move begins.

use super::duration;
use crate::{
    connect::Store,
    error::Error,
    row::Columns,
    statement::{BATCH_CLEANED, BATCH_ENDED, BATCH_FAILED, BATCH_POLLED, BATCH_SETTLED, BATCH_UNKNOWN, BATCH_UNWANTED},
    text,
};
use std::time::Duration;
use time::OffsetDateTime;
use uuid::Uuid;

/// What a provider says of a running batch; what it does not say stays as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Polled {
    /// Its own word for the state.
    pub remote_state: String,
    /// How many items are done.
    pub done: Option<i32>,
    /// When it gives the batch up.
    pub expires_at: Option<OffsetDateTime>,
    /// The file of results.
    pub output_file: Option<String>,
    /// The file of errors.
    pub error_file: Option<String>,
    /// What people read.
    pub note: Option<String>,
}

/// How a provider ended a batch; what it does not say stays as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobEnd {
    /// Its own word for the state.
    pub remote_state: String,
    /// How many items are done.
    pub done: Option<i32>,
    /// The file of results.
    pub output_file: Option<String>,
    /// The file of errors.
    pub error_file: Option<String>,
    /// When; now, if it does not say.
    pub ended_at: Option<OffsetDateTime>,
    /// What people read.
    pub note: Option<String>,
}

impl Store {
    /// Notes what a provider says of a running batch. The lease stays: release it.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_polled(&self, id: Uuid, hold: i32, polled: &Polled) -> Result<bool, Error> {
        let Polled { remote_state, done, expires_at, output_file, error_file, note } = polled;
        let (state, note) = (text::clean(remote_state), note.as_deref().map(text::clean));
        let (output, error) = (output_file.as_deref().map(text::clean), error_file.as_deref().map(text::clean));
        self.wrote(&BATCH_POLLED, &[&id, &hold, &state, done, expires_at, &output, &error, &note]).await
    }

    /// Notes that a provider says that it does not know a running batch, and returns for how long it has said nothing
    /// else. `None`: it is someone else's by now, or does not run.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_unknown(&self, id: Uuid, hold: i32) -> Result<Option<Duration>, Error> {
        let rows = self.rows(&BATCH_UNKNOWN, &[&id, &hold]).await?;
        rows.first().map(|row| Ok(duration(Columns::of(row, BATCH_UNKNOWN.name).next()?))).transpose()
    }

    /// Moves a batch from running to ended: its results can be read.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_ended(&self, id: Uuid, hold: i32, end: &JobEnd) -> Result<bool, Error> {
        let JobEnd { remote_state, done, output_file, error_file, ended_at, note } = end;
        let (state, note) = (text::clean(remote_state), note.as_deref().map(text::clean));
        let (output, error) = (output_file.as_deref().map(text::clean), error_file.as_deref().map(text::clean));
        self.wrote(&BATCH_ENDED, &[&id, &hold, &state, done, &output, &error, ended_at, &note]).await
    }

    /// Moves a batch from ended to settled. Also false while an item of it has not ended.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_settled(&self, id: Uuid, hold: i32) -> Result<bool, Error> {
        self.wrote(&BATCH_SETTLED, &[&id, &hold]).await
    }

    /// Moves a batch that no provider took to failed. Also false while an item of it has not ended.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_failed(&self, id: Uuid, hold: i32, note: &str) -> Result<bool, Error> {
        self.wrote(&BATCH_FAILED, &[&id, &hold, &text::clean(note)]).await
    }

    /// Ends the work on a batch that is settled or has failed: it is never due again.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_cleaned(&self, id: Uuid, hold: i32) -> Result<bool, Error> {
        self.wrote(&BATCH_CLEANED, &[&id, &hold]).await
    }

    /// Returns those of the batches (submitting or running) in which no task waits for an item any more: cancel them.
    /// Stops at the first item that is waited for.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_unwanted(&self, ids: &[Uuid]) -> Result<Vec<Uuid>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.rows(&BATCH_UNWANTED, &[&ids]).await?;
        rows.iter().map(|row| Columns::of(row, BATCH_UNWANTED.name).next()).collect()
    }
}
