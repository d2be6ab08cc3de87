//! The store against a real Postgres, each test in a schema of its own.

#![expect(
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

mod accept;
mod advance;
mod board;
mod fixture;
mod keys;
mod moves;
mod pool;
mod race;
mod read;
mod schema;
mod smoke;
mod sweep;
