//! Batches and files as all three providers have them: what was asked is kept as bytes, how far it is follows from the
//! clock, and answers are made when they are read. Refuses to know a wire format, and to sleep for a batch.

mod blob;
mod item;
mod life;
mod plan;
mod results;
mod shelf;
mod split;
mod start;

pub(crate) use blob::{Blob, Lines};
pub(crate) use item::{Line, Outcome};
pub(crate) use life::{Batch, Bill, Counts, Flaw, Form};
pub(crate) use plan::Phase;
pub(crate) use results::{Results, Which, size};
pub(crate) use shelf::{Shelf, Stored, Upload};
pub(crate) use split::Splitter;
pub(crate) use start::{Start, Words};
