//! How long to wait before a provider is asked again: soon at first, for small batches are done in seconds, and
//! ever more seldom, for most of the others take minutes to an hour.

use std::time::Duration;

/// Returns how long after a batch of this age is looked at again: a tenth of its age, between a sixtieth of the
/// slowest pace and the slowest pace itself (1 s to 60 s by default).
#[must_use]
pub fn poll_delay(age: Duration, slowest: Duration) -> Duration {
    (age / 10).clamp(slowest / 60, slowest)
}

/// Returns how long to wait after a try that failed: what the provider asked for, at most an hour, else as for a
/// poll of a batch of this age.
#[must_use]
pub fn retry_delay(asked: Option<Duration>, age: Duration, slowest: Duration) -> Duration {
    const LONGEST: Duration = Duration::from_secs(3600);
    asked.map_or_else(|| poll_delay(age, slowest), |asked| asked.clamp(slowest / 60, LONGEST))
}
