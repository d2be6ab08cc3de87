//! Closing: the oldest items of a group become a batch when the group is due.

use super::{BatchRow, batch, duration};
use crate::{
    connect::Store,
    error::Error,
    row::Columns,
    statement::{BATCH_CLOSE, BATCH_CLOSE_LOCK, BATCH_GROUPS},
    text,
};
use std::time::Duration;
use uuid::Uuid;

/// What waits for one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name: the provider, or `provider/model`.
    pub grp: String,
    /// Who is asked.
    pub provider: String,
    /// `provider/model`, where the provider takes one model for each batch.
    pub model: Option<String>,
    /// How many items.
    pub items: i64,
    /// How many bytes.
    pub bytes: i64,
    /// How long the oldest has waited.
    pub oldest: Duration,
    /// Whether somebody wants it sent now.
    pub flush: bool,
}

/// When a group is due, and what one batch may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// The batch's id, v7.
    pub id: Uuid,
    /// Which group.
    pub grp: String,
    /// How long the oldest item waits for others.
    pub window: Duration,
    /// The most items.
    pub max_items: u32,
    /// The most bytes; one item is taken whatever its size.
    pub max_bytes: u64,
}

impl Store {
    /// Tells what waits, by group. Reads every waiting item: ask when something was collected or is due, not always.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_groups(&self) -> Result<Vec<Group>, Error> {
        let rows = self.rows(&BATCH_GROUPS, &[]).await?;
        rows.iter()
            .map(|row| {
                let mut columns = Columns::of(row, BATCH_GROUPS.name);
                Ok(Group {
                    grp: columns.next()?,
                    provider: columns.next()?,
                    model: columns.next()?,
                    items: columns.next()?,
                    bytes: columns.next()?,
                    oldest: duration(columns.next()?),
                    flush: columns.next()?,
                })
            })
            .collect()
    }

    /// Makes a batch of a group's oldest items, numbered from 0. `None`: the group is not due, another replica is
    /// closing it, or every item that was looked at belonged to a task that has moved on (those have ended now).
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_close(&self, close: &Close) -> Result<Option<BatchRow>, Error> {
        let window = text::milliseconds(close.window);
        let (items, bytes) = (i64::from(close.max_items.max(1)), i64::try_from(close.max_bytes).unwrap_or(i64::MAX));
        let answers = self
            .together(
                BATCH_CLOSE.name,
                "begin",
                &[
                    (&BATCH_CLOSE_LOCK, &[&close.grp]),
                    (&BATCH_CLOSE, &[&close.id, &close.grp, &window, &items, &bytes]),
                ],
            )
            .await?;
        answers.last().and_then(|rows| rows.first()).map(|row| batch(row, BATCH_CLOSE.name)).transpose()
    }
}
