//! What a service can rely on: its config, its life as a process, its place in a trace.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

mod config;
mod embedded;
mod process;
mod specimen;
mod trace;
