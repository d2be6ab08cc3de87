//! When an ask that waits for a batch must be asked faster.

use std::time::Duration;
use time::OffsetDateTime;

/// Returns when an item must be given up so that asking at once still meets the deadline; `None` when there is no
/// deadline. Asking may take its whole time limit, but is granted half of what is left at the most: a batch that was
/// chosen is also given a chance. What is in the past is to be asked at once.
#[must_use]
pub fn give_up_at(deadline: Option<OffsetDateTime>, now: OffsetDateTime, asking: Duration) -> Option<OffsetDateTime> {
    let deadline = deadline?;
    let left = Duration::try_from(deadline - now).unwrap_or_default();
    Some(deadline.max(now) - asking.min(left / 2))
}
