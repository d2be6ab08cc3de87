//! Numbers on their way into the answer. Refuses to know what they measure.

use serde_json::{Value, json};
use std::time::Duration;

/// Returns a count as a number to calculate with.
pub(crate) fn real(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

/// Returns a duration in milliseconds.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Rounds to three places: more would be noise.
pub(crate) fn round(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

/// Divides, and calls nothing by nothing zero.
pub(crate) fn ratio(of: f64, to: f64) -> f64 {
    if to == 0.0 { 0.0 } else { round(of / to) }
}

/// Durations of one kind.
#[derive(Debug, Default, Clone)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// Adds one.
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Returns how many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns the one below which this share of all lie, in milliseconds; zero when there are none.
    pub(crate) fn quantile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        sorted.get(place).map_or(0.0, |time| round(ms(*time)))
    }

    /// Shows the usual ones, in milliseconds.
    pub(crate) fn shown(&self) -> Value {
        json!({
            "count": self.count(),
            "p50_ms": self.quantile(50),
            "p90_ms": self.quantile(90),
            "p99_ms": self.quantile(99),
            "max_ms": self.quantile(100),
        })
    }
}
