//! What every test needs and no service may have: a private Postgres schema and Redis prefix,
//! a bounded wait for a condition, a proxy that can be cut. Refuses to know what is tested with it.

#![expect(clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "tests stop at the first surprise")]

pub mod process;

mod proxy;

use std::time::{Duration, Instant};

pub use proxy::Proxy;

/// The longest that a test waits for a condition: long enough for a machine that does many other things, since nothing
/// waits longer than it must.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A private Postgres schema on the server of `TEST_DATABASE_URL`.
#[derive(Debug)]
pub struct Database {
    /// A URL whose search path is the private schema alone.
    pub url: String,
    /// The schema's name.
    pub schema: String,
}

impl Database {
    /// Creates an empty schema.
    ///
    /// # Panics
    /// When `TEST_DATABASE_URL` is not set or its server does not answer.
    pub async fn create() -> Self {
        let base = std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL: run the tests with scripts/test");
        let schema = format!("t_{}", uuid::Uuid::now_v7().simple());
        let (client, connection) =
            tokio_postgres::connect(&base, tokio_postgres::NoTls).await.expect("the test Postgres answers");
        let driver = tokio::task::spawn(connection);
        client.batch_execute(&format!("create schema {schema}")).await.expect("a schema can be created");
        drop(client);
        driver.await.expect("the driver ends").expect("the connection closes cleanly");
        let separator = if base.contains('?') { '&' } else { '?' };
        Self { url: format!("{base}{separator}options=-csearch_path%3D{schema}"), schema }
    }

    /// Runs SQL in the schema, for what no service does: a clock that is turned back, a row that is spoilt.
    ///
    /// # Panics
    /// When the server does not take it.
    pub async fn sql(&self, text: &str) {
        let (client, connection) =
            tokio_postgres::connect(&self.url, tokio_postgres::NoTls).await.expect("the test Postgres answers");
        let driver = tokio::task::spawn(connection);
        client.batch_execute(text).await.expect("the SQL is taken");
        drop(client);
        driver.await.expect("the driver ends").expect("the connection closes cleanly");
    }
}

/// The Redis of `TEST_REDIS_URL` and a key prefix that no other test has.
#[derive(Debug)]
pub struct Redis {
    /// The server's URL.
    pub url: String,
    /// The prefix, ending in a colon.
    pub prefix: String,
}

impl Redis {
    /// Makes a fresh prefix.
    ///
    /// # Panics
    /// When `TEST_REDIS_URL` is not set.
    #[must_use]
    pub fn create() -> Self {
        let url = std::env::var("TEST_REDIS_URL").expect("TEST_REDIS_URL: run the tests with scripts/test");
        Self { url, prefix: format!("t{}:", uuid::Uuid::now_v7().simple()) }
    }
}

/// Waits until `condition` holds, asking every few milliseconds, for at most [`PATIENCE`].
///
/// # Panics
/// When the condition did not hold in time; `what` says what was waited for.
pub async fn until<F, Fut>(what: &str, condition: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = bool>,
{
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
