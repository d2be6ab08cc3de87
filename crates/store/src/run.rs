//! Running one statement: prepared once on each connection, measured, its error filed under its name.

use crate::{connect::Store, error::Error, statement::Statement};
use std::time::Instant;
use tokio_postgres::{Row, types::ToSql};

/// The parameters of a statement, in order.
pub(crate) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Store {
    /// Runs a statement in its own transaction and returns its rows.
    pub(crate) async fn rows(
        &self,
        statement: &'static Statement,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, Error> {
        let client = self.client().await?;
        let started = Instant::now();
        let rows = async {
            let prepared = client.prepare_cached(statement.sql).await?;
            client.query(&prepared, parameters).await
        }
        .await;
        self.metrics().observe(statement.name, started, rows.map_err(|error| Error::statement(statement.name, &error)))
    }

    /// Runs a statement in its own transaction and returns its first row.
    pub(crate) async fn row(
        &self,
        statement: &'static Statement,
        parameters: Parameters<'_>,
    ) -> Result<Option<Row>, Error> {
        Ok(self.rows(statement, parameters).await?.into_iter().next())
    }
}
