//! Traces as a collector gets them from the real services: one order is one tree of spans, whichever services carry it,
//! and a batch and the asks in it find each other.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests stop at the first surprise"
)]

mod collector;
mod live;
#[path = "../faults/stack/mod.rs"]
#[expect(dead_code, reason = "the fault tests need more of it")]
mod stack;
