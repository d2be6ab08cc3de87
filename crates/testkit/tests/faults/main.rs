//! Everything at once, as real processes, while services are killed, streams emptied and providers lie.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "tests stop at the first surprise"
)]

mod corners;
mod half_price;
mod orders;
mod stack;
mod worse;

/// Reads how long a test is to be; without the variable it has its short form.
fn variable(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
