//! The gateway on a real Postgres and Redis, over real HTTP.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

mod away;
mod bad_input;
mod batches;
mod board;
mod budgets;
mod events;
mod fuzz;
mod idempotency;
mod keys;
mod lists;
mod routes;
mod server;
mod start;
