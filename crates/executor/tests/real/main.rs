//! The executor on a real Postgres, a real Redis and real processes.

#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

mod death;
mod run;
mod world;
