//! Orders by their ids alone: whose tasks these are, and the end of those that cannot be read.

use crate::{
    connect::Store,
    error::Error,
    row::Columns,
    statement::{ROOT_GIVE_UP, TASK_ROOTS},
    text,
};
use std::collections::HashMap;
use uuid::Uuid;

impl Store {
    /// Ends an order that cannot be carried forward, without reading it: it fails, its live tasks are cancelled. Tells
    /// whether it had not ended before.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn give_up(&self, root: Uuid, reason: &str) -> Result<bool, Error> {
        self.rows(&ROOT_GIVE_UP, &[&root, &text::clean(reason)]).await.map(|ended| !ended.is_empty())
    }

    /// Returns the order of each of the tasks; what is not there any more is left out.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn roots_of(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, Uuid>, Error> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = self.rows(&TASK_ROOTS, &[&ids]).await?;
        rows.iter()
            .map(|row| {
                let mut columns = Columns::of(row, TASK_ROOTS.name);
                Ok((columns.next()?, columns.next()?))
            })
            .collect()
    }
}
