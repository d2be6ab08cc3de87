//! When the asks that wait for a batch become one.

use std::time::Duration;

/// What a provider takes in one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most items.
    pub items: i64,
    /// The most bytes, the frame of each item included.
    pub bytes: i64,
}

/// The asks of one group that wait for a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// How many they are.
    pub items: i64,
    /// How many bytes they have.
    pub bytes: i64,
    /// How long the oldest has waited.
    pub oldest: Duration,
    /// Somebody asked that they go at once.
    pub flush: bool,
}

/// Tells whether a group's time has come: its oldest item has waited for the window, it is full, or somebody asked.
#[must_use]
pub fn is_due(waiting: &Waiting, limits: &Limits, window: Duration) -> bool {
    let full = waiting.items >= limits.items || waiting.bytes >= limits.bytes;
    waiting.items > 0 && (waiting.flush || full || waiting.oldest >= window)
}
