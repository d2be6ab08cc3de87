//! The store against a real Postgres, each test in a schema of its own.

#![expect(
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

mod accept;
mod advance;
mod batch;
mod batch_ends;
mod batch_race;
mod batch_read;
mod batch_settle;
mod batch_submit;
mod blackout;
mod board;
mod budget;
mod budget_read;
mod fixture;
mod keys;
mod moves;
mod pool;
mod race;
mod read;
mod schema;
mod smoke;
mod sweep;
