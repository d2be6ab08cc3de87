//! The items of a batch, as far as deciding about their ends needs them.

use crate::{
    connect::Store,
    error::Error,
    row::Columns,
    statement::{BATCH_ITEMS, BATCH_REST, BATCH_WORKS},
};
use domain::{
    advance::{AskWork, Work},
    batch::ItemState,
    task::Priority,
};
use serde_json::Value;
use std::collections::HashMap;
use time::OffsetDateTime;
use tokio_postgres::Row;
use uuid::Uuid;

/// One ask in a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemRow {
    /// Its number in the batch, from 0.
    pub seq: i32,
    /// The task and its attempt.
    pub task: (Uuid, i32),
    /// The order.
    pub root_id: Uuid,
    /// Who asks.
    pub agent: Option<String>,
    /// Who is asked.
    pub provider: String,
    /// Which model.
    pub model: String,
    /// How many batches the ask has been in, this one included.
    pub tries: i32,
    /// How many of its answers misfitted.
    pub misfits: i32,
    /// Where it stands.
    pub state: ItemState,
    /// Whether its task waits for this very item.
    pub waited_for: bool,
    /// What the answer must satisfy.
    pub schema: Option<Value>,
    /// How often a misfit is asked again.
    pub retry: u32,
    /// Whether it may be asked at pace now when batches fail it.
    pub fallback: bool,
    /// The trace it belongs to.
    pub traceparent: Option<String>,
    /// Among other tasks.
    pub priority: Priority,
    /// When it must be asked faster.
    pub give_up_at: Option<OffsetDateTime>,
}

impl Store {
    /// Reads items by their numbers, in their order; a number that the batch does not have is left out.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_items(&self, id: Uuid, seqs: &[i32]) -> Result<Vec<ItemRow>, Error> {
        if seqs.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.rows(&BATCH_ITEMS, &[&id, &seqs]).await?;
        rows.iter().map(|row| item(row, BATCH_ITEMS.name)).collect()
    }

    /// Reads at most `limit` items of a batch that have not ended, after a number (−1: from the first), in the order of
    /// their numbers.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_rest(&self, id: Uuid, after: i32, limit: i64) -> Result<Vec<ItemRow>, Error> {
        let rows = self.rows(&BATCH_REST, &[&id, &after, &limit]).await?;
        rows.iter().map(|row| item(row, BATCH_REST.name)).collect()
    }

    /// Reads what asks ask, by task; a task that is no ask is left out.
    ///
    /// # Errors
    /// When the database cannot be asked, or a row's work cannot be read.
    pub async fn batch_works(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, AskWork>, Error> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let mut works = HashMap::with_capacity(ids.len());
        for row in &self.rows(&BATCH_WORKS, &[&ids]).await? {
            let mut columns = Columns::of(row, BATCH_WORKS.name);
            let id = columns.next()?;
            if let Some(Work::Ask(work)) = columns.document()? {
                works.insert(id, work);
            }
        }
        Ok(works)
    }
}

fn item(row: &Row, statement: &'static str) -> Result<ItemRow, Error> {
    let mut columns = Columns::of(row, statement);
    Ok(ItemRow {
        seq: columns.next()?,
        task: (columns.next()?, columns.next()?),
        root_id: columns.next()?,
        agent: columns.next()?,
        provider: columns.next()?,
        model: columns.next()?,
        tries: columns.next()?,
        misfits: columns.next()?,
        state: columns.word()?,
        waited_for: columns.next()?,
        schema: columns.document()?,
        retry: u32::try_from(columns.next::<i64>()?).unwrap_or(0),
        fallback: columns.next()?,
        traceparent: columns.next()?,
        priority: columns.priority()?,
        give_up_at: columns.next()?,
    })
}
