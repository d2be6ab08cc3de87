//! Orders from their plan to their report, over real Postgres, Redis and HTTP; only the models are emulated.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

mod asks;
mod deliveries;
mod fixture;
mod holds;
mod paces;
mod reports;
