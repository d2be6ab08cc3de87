//! The `chavion` command as its users run it: the real binary, private data folders, free ports, one `up` for each
//! test that needs one.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests stop at the first surprise, and say where its traces are"
)]

mod doctor;
mod env_example;
mod guarded;
mod life;
mod orders;
mod refused;
mod verbs;
mod world;
