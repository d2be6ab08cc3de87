//! Sums over batches and what waits for one, for gauges.

use super::duration;
use crate::{connect::Store, error::Error, row::Columns, statement::BATCH_COUNTS};
use domain::batch::BatchState;
use std::time::Duration;

/// What is there and not done with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchCounts {
    /// Batches, by provider and state.
    pub batches: Vec<BatchCount>,
    /// Items that wait for a batch, by provider.
    pub waiting: Vec<WaitingCount>,
}

/// The batches of one provider in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchCount {
    /// Whose.
    pub provider: String,
    /// Where they stand.
    pub state: BatchState,
    /// How many.
    pub batches: i64,
    /// How many items they were made of.
    pub items: i64,
    /// How many of these the provider says are done.
    pub done: i64,
    /// How long ago the oldest was submitted, or made if it was not.
    pub oldest: Duration,
}

/// The items of one provider that wait for a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingCount {
    /// Whose.
    pub provider: String,
    /// How many.
    pub items: i64,
    /// How long the oldest has waited.
    pub oldest: Duration,
}

impl Store {
    /// Counts batches that are not done with and items that wait for one.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_counts(&self) -> Result<BatchCounts, Error> {
        let mut counts = BatchCounts::default();
        for row in &self.rows(&BATCH_COUNTS, &[]).await? {
            let mut columns = Columns::of(row, BATCH_COUNTS.name);
            let (provider, state) = (columns.next()?, columns.optional_word()?);
            let (batches, items, done) = (columns.next()?, columns.next()?, columns.next()?);
            let oldest = duration(columns.next()?);
            match state {
                Some(state) => counts.batches.push(BatchCount { provider, state, batches, items, done, oldest }),
                None => counts.waiting.push(WaitingCount { provider, items, oldest }),
            }
        }
        Ok(counts)
    }
}
