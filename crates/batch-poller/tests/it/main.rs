//! The batch-poller on real Redis and Postgres: what it refuses, what it leaves alone, and its life as a process.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

mod process;
mod refuse;
mod world;
