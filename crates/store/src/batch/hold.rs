//! Holding: which replica works on a batch, until when, and when it is to be looked at next.

use super::{BatchRow, batch, duration};
use crate::{
    connect::Store,
    error::Error,
    row::Columns,
    run::Parameters,
    statement::{BATCH_KEEP, BATCH_NEXT_DUE, BATCH_RELEASE, BATCH_TAKE, Statement},
    text,
};
use std::time::Duration;
use uuid::Uuid;

impl Store {
    /// Takes at most `limit` batches that are due and that nobody has in hand, the most overdue first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_take(&self, worker: &str, lease: Duration, limit: i64) -> Result<Vec<BatchRow>, Error> {
        self.batch_take_but(worker, lease, limit, &[]).await
    }

    /// As [`Store::batch_take`], but none of these providers.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_take_but(
        &self,
        worker: &str,
        lease: Duration,
        limit: i64,
        busy: &[&str],
    ) -> Result<Vec<BatchRow>, Error> {
        let rows = self.rows(&BATCH_TAKE, &[&worker, &text::milliseconds(lease), &limit, &busy]).await?;
        rows.iter().map(|row| batch(row, BATCH_TAKE.name)).collect()
    }

    /// Extends the leases of batches (ids and holds) and returns those that are still the worker's.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_keep(&self, worker: &str, held: &[(Uuid, i32)], lease: Duration) -> Result<Vec<Uuid>, Error> {
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let (ids, holds): (Vec<Uuid>, Vec<i32>) = held.iter().copied().unzip();
        let rows = self.rows(&BATCH_KEEP, &[&worker, &ids, &holds, &text::milliseconds(lease)]).await?;
        rows.iter().map(|row| Columns::of(row, BATCH_KEEP.name).next()).collect()
    }

    /// Lets a batch go until it is due again (at once, if somebody asked for it meanwhile, as a cancel does); without a
    /// note, the last one stays. False: it is someone else's.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_release(&self, id: Uuid, hold: i32, due: Duration, note: Option<&str>) -> Result<bool, Error> {
        let note = note.map(text::clean);
        self.wrote(&BATCH_RELEASE, &[&id, &hold, &text::milliseconds(due), &note]).await
    }

    /// Tells when something is next to be done for a batch, a group or an item that is to be given up; zero: now,
    /// `None`: nothing is there. That a group is full is not seen here: [`Store::batch_groups`] tells after collecting.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_next_due(&self, window: Duration) -> Result<Option<Duration>, Error> {
        let row = self.row(&BATCH_NEXT_DUE, &[&text::milliseconds(window)]).await?;
        let due: Option<i64> = row.map(|row| Columns::of(&row, BATCH_NEXT_DUE.name).next()).transpose()?.flatten();
        Ok(due.map(duration))
    }

    /// Runs an update of one row and tells whether it was there to be updated.
    pub(super) async fn wrote(&self, statement: &'static Statement, parameters: Parameters<'_>) -> Result<bool, Error> {
        Ok(self.row(statement, parameters).await?.is_some())
    }
}
