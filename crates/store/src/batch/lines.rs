//! The requests of a batch, in order, page by page: memory stays flat however many there are.

use crate::{connect::Store, error::Error, row::Columns, statement::BATCH_LINES};
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use tokio::task::JoinSet;
use uuid::Uuid;

/// Numbers and requests, in the order of the numbers.
pub type Lines = BoxStream<'static, Result<(i32, String), Error>>;

/// The most requests that are read at once.
const PAGE: i64 = 1_000;
/// The most bytes that are read at once, one request of any size excepted.
const PAGE_BYTES: i64 = 2 << 20;

impl Store {
    /// Reads a page of a batch's requests that have not ended, after a number (−1: from the first): at most `limit` of
    /// at most so many bytes together, but one at least. Empty: there are no more.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_lines(&self, id: Uuid, after: i32, limit: i64, bytes: i64) -> Result<Vec<(i32, String)>, Error> {
        let rows = self.rows(&BATCH_LINES, &[&id, &after, &limit, &bytes]).await?;
        rows.iter()
            .map(|row| {
                let mut columns = Columns::of(row, BATCH_LINES.name);
                Ok((columns.next()?, columns.next()?))
            })
            .collect()
    }

    /// Returns all requests of a batch that have not ended as a stream that may be read at any speed: no statement is
    /// open between two pages. A page is read while the one before it is being used.
    #[must_use]
    pub fn batch_stream(&self, id: Uuid) -> Lines {
        let mut ahead = JoinSet::new();
        ahead.spawn(page(self.clone(), id, -1));
        let pages = stream::try_unfold((self.clone(), ahead), move |(store, mut ahead)| async move {
            let Some(read) = ahead.join_next().await else { return Ok::<_, Error>(None) };
            let lines = read.map_err(|error| Error::Unreadable {
                statement: BATCH_LINES.name,
                problem: format!("the reader of the next page stopped: {error}"),
            })??;
            let Some((last, _)) = lines.last() else { return Ok(None) };
            ahead.spawn(page(store.clone(), id, *last));
            Ok(Some((lines, (store, ahead))))
        });
        pages.map_ok(|lines| stream::iter(lines).map(Ok::<_, Error>)).try_flatten().boxed()
    }
}

async fn page(store: Store, id: Uuid, after: i32) -> Result<Vec<(i32, String)>, Error> {
    store.batch_lines(id, after, PAGE, PAGE_BYTES).await
}
