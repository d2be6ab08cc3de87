//! Whose tasks these are.

use crate::{connect::Store, error::Error, row::Columns, statement::TASK_ROOTS};
use std::collections::HashMap;
use uuid::Uuid;

impl Store {
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
