//! The sandbox on real processes, on the kernel that is here.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests stop at the first surprise")]

mod confine;
mod death;
mod limits;
mod world;
