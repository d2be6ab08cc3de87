//! Questions to Postgres, and its bare commits to compare with. Refuses to touch what Chavion keeps.

use crate::figures::{Times, real};
use anyhow::Context as _;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// Connections of the concurrent baseline.
const CONNECTIONS: usize = 8;
/// Commits that are under way at once in it.
const CONCURRENT: usize = 64;
const TABLE: &str = "
    create schema if not exists bench;
    create table if not exists bench.commits (id bigint generated always as identity primary key, body text not null);
";
const INSERT: &str = "insert into bench.commits (body) values ($1)";
/// About as much as a small row of ours.
const BODY: &str = "주문 1: 애견호텔의 겨울 예약을 늘릴 방법을 보고서로 써줘. 주문 1: 애견호텔의 겨울 예약을 늘릴 방법을 보고서로 써줘.";

/// A connection, with the task that drives it.
pub(crate) struct Postgres {
    client: Client,
    url: String,
    _driver: JoinSet<()>,
}

/// What the server counted until a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    /// Transactions, our own questions left out.
    pub(crate) transactions: f64,
    /// Bytes of its log.
    pub(crate) log_bytes: f64,
}

impl Postgres {
    /// Connects.
    pub(crate) async fn open(url: &str) -> anyhow::Result<Self> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("Postgres does not answer")?;
        let mut driver = JoinSet::new();
        driver.spawn(async move { drop(connection.await) });
        Ok(Self { client, url: url.to_owned(), _driver: driver })
    }

    /// Reads one number, in one transaction that is not prepared before.
    pub(crate) async fn number(&self, question: &str) -> anyhow::Result<f64> {
        let [number] = self.numbers(question).await?;
        Ok(number)
    }

    async fn numbers<const COUNT: usize>(&self, question: &str) -> anyhow::Result<[f64; COUNT]> {
        let answer = self.client.simple_query(&format!("select {question}")).await?;
        let row = answer.into_iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let row = row.context("Postgres answered nothing")?;
        let mut numbers = [0.0; COUNT];
        for (place, number) in numbers.iter_mut().enumerate() {
            *number = row.get(place).and_then(|text| text.parse().ok()).context("Postgres answered no number")?;
        }
        Ok(numbers)
    }

    /// Runs statements.
    pub(crate) async fn run(&self, statements: &str) -> anyhow::Result<()> {
        Ok(self.client.batch_execute(statements).await?)
    }

    /// Reads one column of texts.
    pub(crate) async fn texts(&self, question: &str) -> anyhow::Result<Vec<String>> {
        let rows = self.client.query(question, &[]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Reads a setting.
    pub(crate) async fn setting(&self, name: &str) -> anyhow::Result<String> {
        Ok(self.client.query_one("select current_setting($1)", &[&name]).await?.try_get(0)?)
    }

    /// Reads what the server has counted. The question itself is part of the next count.
    pub(crate) async fn counted(&self) -> anyhow::Result<Counted> {
        let question = "xact_commit + xact_rollback, pg_current_wal_lsn() - '0/0' from pg_stat_database
            where datname = current_database()";
        let [transactions, log_bytes] = self.numbers(question).await?;
        Ok(Counted { transactions, log_bytes })
    }

    /// Measures commits of one row each: one after the other, and many at once.
    pub(crate) async fn commits(&self, count: usize, window: Duration) -> anyhow::Result<Value> {
        self.client.batch_execute(TABLE).await?;
        let insert = self.client.prepare(INSERT).await?;
        let mut alone = Times::default();
        for _ in 0..count {
            let start = Instant::now();
            self.client.execute(&insert, &[&BODY]).await?;
            alone.push(start.elapsed());
        }
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            let connection = Self::open(&self.url).await?;
            let insert = connection.client.prepare(INSERT).await?;
            connections.push((connection, insert));
        }
        let start = Instant::now();
        let writers: FuturesUnordered<_> = connections
            .iter()
            .cycle()
            .take(CONCURRENT)
            .map(|(connection, insert)| async move {
                let mut done = 0_usize;
                while start.elapsed() < window {
                    connection.client.execute(insert, &[&BODY]).await?;
                    done += 1;
                }
                anyhow::Ok(done)
            })
            .collect();
        let done = writers.collect::<Vec<_>>().await.into_iter().sum::<anyhow::Result<usize>>()?;
        Ok(json!({
            "alone": alone.shown(),
            "concurrent": CONCURRENT,
            "connections": CONNECTIONS,
            "per_second": (real(done) / start.elapsed().as_secs_f64()).round(),
        }))
    }
}
