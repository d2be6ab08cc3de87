//! Submitting: what is noted before and after a batch is created at its provider. Each returns false when the batch is
//! someone else's by now, or not where the move begins.

use crate::{
    connect::Store,
    error::Error,
    row::Columns,
    statement::{
        BATCH_CREATED, BATCH_HALVE, BATCH_INTENT, BATCH_PLACES, BATCH_REMOTES, BATCH_RESUBMIT, BATCH_THIN,
        BATCH_UPLOADED, BATCH_WITHDRAW,
    },
    text,
};
use std::collections::{HashMap, HashSet};
use time::OffsetDateTime;
use uuid::Uuid;

/// A batch as its provider has taken it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Its name there.
    pub remote_id: String,
    /// The provider's own word for its state.
    pub remote_state: String,
    /// When the provider gives it up.
    pub expires_at: Option<OffsetDateTime>,
}

impl Store {
    /// Notes the file that a batch's items were uploaded as.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_uploaded(&self, id: Uuid, hold: i32, input_file: &str) -> Result<bool, Error> {
        self.wrote(&BATCH_UPLOADED, &[&id, &hold, &text::clean(input_file)]).await
    }

    /// Notes that a batch is about to be created; commit this before the create, for from then on it may exist.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_intent(&self, id: Uuid, hold: i32) -> Result<bool, Error> {
        self.wrote(&BATCH_INTENT, &[&id, &hold]).await
    }

    /// Takes the intent back after a create that was certainly refused: the next create need not look it up.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_withdraw(&self, id: Uuid, hold: i32) -> Result<bool, Error> {
        self.wrote(&BATCH_WITHDRAW, &[&id, &hold]).await
    }

    /// Moves a batch from submitting to running. Also false when the name is another batch's of ours.
    ///
    /// # Errors
    /// When the database cannot be asked; [`Error::is_taken`] when another batch takes the name at this moment.
    pub async fn batch_created(&self, id: Uuid, hold: i32, created: &Created) -> Result<bool, Error> {
        let (remote, state) = (text::clean(&created.remote_id), text::clean(&created.remote_state));
        self.wrote(&BATCH_CREATED, &[&id, &hold, &remote, &state, &created.expires_at]).await
    }

    /// Begins the next submission of a batch (submitting or running) that is certain not to exist at the provider, or
    /// failed there as a whole: with a new number, no file, no intent and no name.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_resubmit(&self, id: Uuid, hold: i32, note: &str) -> Result<bool, Error> {
        self.wrote(&BATCH_RESUBMIT, &[&id, &hold, &text::clean(note)]).await
    }

    /// Makes two batches of one (submitting or running) that its provider refused for what is in it, and moves it to
    /// failed; they count as old as it is. None are made when fewer than two items are left, when `most` pieces of the
    /// first batch have been refused, or when the batch is someone else's by now.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_halve(
        &self,
        id: Uuid,
        hold: i32,
        halves: [Uuid; 2],
        note: &str,
        most: i64,
    ) -> Result<Vec<Uuid>, Error> {
        let [first, second] = halves;
        let rows = self.rows(&BATCH_HALVE, &[&id, &hold, &first, &second, &text::clean(note), &most]).await?;
        rows.iter().map(|row| Columns::of(row, BATCH_HALVE.name).next()).collect()
    }

    /// Takes those items out of a batch whose tasks do not wait for them any more, as long as nothing of it was sent,
    /// and returns how many items and bytes are left. `None`: it was sent, or is someone else's by now.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_thin(&self, id: Uuid, hold: i32) -> Result<Option<(i32, i64)>, Error> {
        let rows = self.rows(&BATCH_THIN, &[&id, &hold]).await?;
        let read = |row| {
            let mut columns = Columns::of(row, BATCH_THIN.name);
            Ok((columns.next()?, columns.next()?))
        };
        rows.first().map(read).transpose()
    }

    /// Returns the numbers of items by their places in the file that a batch was sent as, from 0. They differ when items
    /// were taken out before.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_places(&self, id: Uuid, places: &[i32]) -> Result<HashMap<i32, i32>, Error> {
        let rows = self.rows(&BATCH_PLACES, &[&id, &places]).await?;
        rows.iter()
            .map(|row| {
                let mut columns = Columns::of(row, BATCH_PLACES.name);
                Ok((columns.next()?, columns.next()?))
            })
            .collect()
    }

    /// Returns the names at a provider that are batches of ours: all that are not done with, and those that ended after
    /// `since`. What is looked up for a batch that was created after `since` is none of these.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_remotes(&self, provider: &str, since: OffsetDateTime) -> Result<HashSet<String>, Error> {
        let rows = self.rows(&BATCH_REMOTES, &[&provider, &since]).await?;
        rows.iter().map(|row| Columns::of(row, BATCH_REMOTES.name).next()).collect()
    }
}
