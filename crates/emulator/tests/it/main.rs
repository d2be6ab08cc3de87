//! The emulator over real sockets: shapes, faults, streams, life.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests stop at the first surprise")]

mod batch_checks;
mod batch_faults;
mod batches;
mod client;
mod faults;
mod life;
mod shapes;
mod streams;
