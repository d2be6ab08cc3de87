//! Transactions that go out in one piece. Each statement is sent when its future is first polled, so what is
//! joined in order is executed in order, and the answers come back together.

use crate::{
    connect::Store,
    error::Error,
    run::Parameters,
    statement::{self, Statement},
};
use deadpool_postgres::Object;
use futures_util::{
    FutureExt,
    future::{join, join_all, try_join_all},
};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};
use tokio_postgres::Row;

/// A statement and its parameters.
pub(crate) type Call<'a> = (&'static Statement, Parameters<'a>);

/// A connection and what is open on it. Dropped while open, it rolls back.
pub(crate) struct Transaction {
    client: Object,
    open: AtomicBool,
    broken: AtomicBool,
}

impl Transaction {
    pub(crate) fn on(client: Object) -> Self {
        Self { client, open: AtomicBool::new(false), broken: AtomicBool::new(false) }
    }

    /// Opens the transaction with `begin`, or with statements of the server's own that start with it.
    pub(crate) async fn begin(&self, opening: &str) -> Result<(), Error> {
        self.open.store(true, Ordering::Relaxed);
        self.done("begin", self.client.batch_execute(opening).await)
    }

    /// Sends all the statements, then waits for all their answers; the first error is what is returned.
    pub(crate) async fn all(&self, prepared: &[Prepared<'_>]) -> Result<Vec<Vec<Row>>, Error> {
        // join_all polls in order, which is what makes this one pipeline.
        join_all(
            prepared
                .iter()
                .map(async |call| self.done(call.name, self.client.query(&call.statement, call.parameters).await)),
        )
        .await
        .into_iter()
        .collect()
    }

    /// Commits. After a statement that failed, even one that could not be sent, it rolls back instead.
    pub(crate) async fn end(&self, durability: Durability) -> Result<(), Error> {
        let word = match (self.broken.load(Ordering::Relaxed), durability) {
            (true, _) => "rollback",
            (false, Durability::Full) => "commit",
            (false, Durability::Repeatable) => "set local synchronous_commit to off; commit",
        };
        let ended = self.client.batch_execute(word).await;
        self.open.store(false, Ordering::Relaxed);
        self.done("commit", ended)
    }

    /// Prepares the statements that this connection has not met yet, in one round trip.
    pub(crate) async fn prepare<'a>(&self, calls: &[Call<'a>]) -> Result<Vec<Prepared<'a>>, Error> {
        try_join_all(calls.iter().map(async |(statement, parameters)| {
            let prepared = self.done(statement.name, self.client.prepare_cached(statement.sql).await)?;
            Ok(Prepared { name: statement.name, statement: prepared, parameters })
        }))
        .await
    }

    /// Runs one more statement inside the transaction.
    pub(crate) async fn rows(&self, call: Call<'_>) -> Result<Vec<Row>, Error> {
        let prepared = self.prepare(&[call]).await?;
        Ok(self.all(&prepared).await?.pop().unwrap_or_default())
    }

    /// Runs a migration's text.
    pub(crate) async fn script(&self, text: &str) -> Result<(), Error> {
        self.done("migrate", self.client.batch_execute(text).await)
    }

    fn done<T>(&self, name: &'static str, result: Result<T, tokio_postgres::Error>) -> Result<T, Error> {
        result.map_err(|error| {
            self.broken.store(true, Ordering::Relaxed);
            Error::statement(name, &error)
        })
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if *self.open.get_mut() {
            // The first poll sends it; whoever gets the connection next is served after it.
            let _ = self.client.batch_execute("rollback").now_or_never();
        }
    }
}

/// What a crash of Postgres itself may undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Nothing: the commit waits for the disk.
    Full,
    /// The last moments, all of them from one point on: the work is found undone and done again.
    Repeatable,
}

/// A statement that its connection knows, with its parameters.
pub(crate) struct Prepared<'a> {
    name: &'static str,
    statement: tokio_postgres::Statement,
    parameters: Parameters<'a>,
}

impl Store {
    /// Runs statements as one transaction in one round trip.
    pub(crate) async fn together(
        &self,
        name: &'static str,
        opening: &str,
        calls: &[Call<'_>],
    ) -> Result<Vec<Vec<Row>>, Error> {
        let transaction = Transaction::on(self.client().await?);
        let started = Instant::now();
        let rows = async {
            let prepared = transaction.prepare(calls).await?;
            let (begun, (rows, ended)) =
                join(transaction.begin(opening), join(transaction.all(&prepared), transaction.end(Durability::Full)))
                    .await;
            begun?;
            let rows = rows?;
            ended.map(|()| rows)
        }
        .await;
        self.metrics().observe(name, started, rows)
    }

    /// Runs statements as one transaction, one replica after the other.
    pub(crate) async fn exclusive(&self, calls: &[Call<'_>]) -> Result<Vec<Vec<Row>>, Error> {
        self.together(statement::EXCLUSIVE, EXCLUSIVE, calls).await
    }
}

/// Opens a transaction that no other replica on the same schema runs at the same time.
pub(crate) const EXCLUSIVE: &str =
    "begin; select pg_advisory_xact_lock(hashtext('chavion'), hashtext(current_schema()))";
