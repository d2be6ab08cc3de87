//! The batch-poller on real Postgres, Redis and sockets, with the emulator as every provider.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

mod collect;
mod doubt;
mod items;
mod poller;
mod process;
mod refusals;
mod restart;
mod trips;
mod waits;
mod world;
