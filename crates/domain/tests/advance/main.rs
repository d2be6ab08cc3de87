//! The rules of what happens next, one by one.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

mod asks;
mod context;
mod desk;
mod ends;
mod retry;
mod steps;
