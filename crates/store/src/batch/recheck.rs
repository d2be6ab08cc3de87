//! Money for asks that are asked again because their answers misfitted: a conversation is longer than a question, and
//! what was set aside for the question has been spent on it.

use crate::{
    budget::{Refusal, refusal},
    connect::Store,
    error::Error,
    row::Columns,
    statement::{BATCH_RECHECK, BATCH_RECHECK_OPEN},
    text,
};
use std::time::Duration;
use uuid::Uuid;

impl Store {
    /// Sets money aside anew for the asks that wait for another batch, and takes those out for which there is not
    /// enough. Returns them with the provider that they were to be asked of: hold them within the lease.
    ///
    /// # Errors
    /// When the database cannot be asked; then what was set aside before still is.
    pub async fn batch_recheck(&self, tasks: &[Uuid], lease: Duration) -> Result<Vec<(Refusal, String)>, Error> {
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        let lease = text::milliseconds(lease);
        let answers = self
            .together(
                BATCH_RECHECK.name,
                "begin",
                &[(&BATCH_RECHECK_OPEN, &[&tasks]), (&BATCH_RECHECK, &[&tasks, &lease])],
            )
            .await?;
        let rows = answers.last().map(Vec::as_slice).unwrap_or_default();
        rows.iter().map(|row| Ok((refusal(row)?, Columns::last_of(row, BATCH_RECHECK.name).next()?))).collect()
    }
}
