//! The one layer of retry: how often, how long to wait, when to give up.
//! Refuses to know what is tried.

use crate::error::Class;
use rand::RngExt;
use std::time::Duration;
use tokio::time::Instant;

/// How often one ask is sent at most.
const MOST: u32 = 4;
/// The first wait when the server named none; it doubles from there.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait of our own choosing.
const LONGEST_BACKOFF: Duration = Duration::from_secs(8);
/// The longest delay of the server's choosing that is waited for; a longer one is reported instead.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The tries that one ask still has.
#[derive(Debug)]
pub(crate) struct Tries {
    made: u32,
    deadline: Instant,
}

impl Tries {
    /// Starts the clock: everything together may take `timeout`.
    pub(crate) fn within(timeout: Duration) -> Self {
        // A timeout beyond what the clock can hold is as good as a year.
        let now = Instant::now();
        let deadline = now.checked_add(timeout).unwrap_or_else(|| now + Duration::from_secs(365 * 24 * 3600));
        Self { made: 0, deadline }
    }

    /// Returns when everything must have ended.
    pub(crate) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Returns how long to wait before the next try, or `None` when there is to be none.
    pub(crate) fn next(&mut self, class: Class) -> Option<Duration> {
        let Class::Retry { after } = class else { return None };
        self.made += 1;
        if self.made >= MOST {
            return None;
        }
        let wait = match after {
            Some(delay) if delay > LONGEST_WAIT => return None,
            // A tenth on top, so that all who were told the same do not return together.
            Some(delay) => delay.mul_f64(rand::rng().random_range(1.0..1.1)),
            None => {
                let doubled = FIRST_WAIT.saturating_mul(1 << (self.made - 1).min(16));
                doubled.min(LONGEST_BACKOFF).mul_f64(rand::rng().random_range(0.5..1.0))
            }
        };
        (Instant::now() + wait < self.deadline).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Class = Class::Retry { after: None };

    #[test]
    fn tries_are_few() {
        let mut tries = Tries::within(Duration::from_secs(3600));
        let waits: Vec<Duration> = std::iter::from_fn(|| tries.next(RETRY)).collect();
        assert_eq!(waits.len(), 3, "four tries have three waits between them");
        for (wait, most) in waits.iter().zip([250, 500, 1000]) {
            assert!((most / 2..=most).contains(&wait.as_millis()), "{wait:?} of {most} ms");
        }
    }

    #[test]
    fn the_server_is_obeyed_within_reason() {
        let after = |seconds| Class::Retry { after: Some(Duration::from_secs(seconds)) };
        let mut tries = Tries::within(Duration::from_secs(3600));
        let wait = tries.next(after(10)).unwrap();
        assert!((10_000..11_000).contains(&wait.as_millis()));
        assert_eq!(Tries::within(Duration::from_secs(3600)).next(after(61)), None, "too long to wait for");
        assert_eq!(Tries::within(Duration::from_secs(5)).next(after(10)), None, "past the timeout");
    }

    #[test]
    fn only_retry_is_tried_again() {
        for class in [Class::FailOver, Class::Hold, Class::Fail] {
            assert_eq!(Tries::within(Duration::MAX).next(class), None);
        }
    }
}
