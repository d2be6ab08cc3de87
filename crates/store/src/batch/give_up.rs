//! Giving up: an item that would come too late is left behind, and its task is asked at once.

use super::name;
use crate::{
    connect::Store,
    error::Error,
    row::Columns,
    statement::{BATCH_GIVE_UP, BATCH_WAKE},
    sweep::Name,
    text,
};
use std::collections::BTreeSet;
use uuid::Uuid;

/// What was given up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivenUp {
    /// How many items: when it is the limit, there may be more.
    pub items: usize,
    /// The tasks that are queued at pace now: announce them.
    pub asks: Vec<Name>,
    /// The batches in which no task waits for an item any more: they are due now, to be cancelled at their providers.
    pub unwanted: Vec<Uuid>,
}

impl Store {
    /// Gives up at most `limit` items whose time has come. Queued ones end; submitted ones are abandoned: what they
    /// still bring is booked and nothing else. Their tasks are queued at pace now with the reason.
    ///
    /// # Errors
    /// When the database cannot be asked; the tasks may have moved all the same, and the sweep announces them.
    pub async fn batch_give_up(&self, reason: &str, limit: i64) -> Result<GivenUp, Error> {
        let rows = self.rows(&BATCH_GIVE_UP, &[&text::clean(reason), &limit]).await?;
        let mut given_up = GivenUp { items: rows.len(), ..GivenUp::default() };
        let mut touched = BTreeSet::new();
        for row in &rows {
            touched.extend(Columns::last_of(row, BATCH_GIVE_UP.name).next::<Option<Uuid>>()?);
            if Columns::of(row, BATCH_GIVE_UP.name).next::<Option<Uuid>>()?.is_some() {
                given_up.asks.push(name(&mut Columns::of(row, BATCH_GIVE_UP.name))?);
            }
        }
        let touched: Vec<Uuid> = touched.into_iter().collect();
        given_up.unwanted = self.batch_unwanted(&touched).await?;
        if !given_up.unwanted.is_empty() {
            self.rows(&BATCH_WAKE, &[&given_up.unwanted]).await?;
        }
        Ok(given_up)
    }
}
