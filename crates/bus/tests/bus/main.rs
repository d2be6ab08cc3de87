//! The bus against real Redis: what a consumer promises, and what it does when things break.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests stop at the first surprise")]

mod deaths;
mod events;
mod faults;
mod handling;
mod leases;
mod server;
mod setup;
mod stopping;
