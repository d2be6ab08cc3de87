//! The lines of a batch as a stream over pages of its items: memory holds a page or two, however large the batch is.

use crate::lookup::token;
use futures_util::StreamExt as _;
use providers::{BatchLine, BatchLines};
use store::{BatchRow, Store};

/// Returns the lines of a batch, in the order of their places.
pub(crate) fn of(store: &Store, row: &BatchRow) -> BatchLines {
    let token = token(row);
    Box::pin(store.batch_stream(row.id).map(move |read| {
        let (seq, body) = read?;
        Ok(BatchLine { custom_id: token.item(seq).to_string(), body })
    }))
}
