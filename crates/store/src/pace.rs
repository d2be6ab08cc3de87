//! What the choice of a pace goes by: how long the providers' batches lately took.

use crate::{connect::Store, error::Error, row::Columns, statement::BATCH_TOOK};
use std::{collections::HashMap, time::Duration};

impl Store {
    /// Returns what nine of ten of each provider's batches of the last three days took at most, from the closing of the
    /// group to the last result. A provider of which nothing is known is not there.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_took(&self) -> Result<HashMap<String, Duration>, Error> {
        let rows = self.rows(&BATCH_TOOK, &[]).await?;
        rows.iter()
            .map(|row| {
                let mut columns = Columns::of(row, BATCH_TOOK.name);
                let (provider, took): (String, i64) = (columns.next()?, columns.next()?);
                Ok((provider, Duration::from_millis(u64::try_from(took).unwrap_or(0))))
            })
            .collect()
    }
}
