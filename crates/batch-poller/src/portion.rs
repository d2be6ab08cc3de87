//! How many asks are collected at a time: few long ones, many short ones, so that what is held in memory does not grow
//! with the length of the questions. Refuses to look into them.

use domain::advance::Work;
use std::sync::atomic::{AtomicUsize, Ordering};
use store::Claimed;
use tokio::sync::{Semaphore, SemaphorePermit};

/// About the most bytes of questions that are claimed at a time; each is held about four times until it is an item.
const BYTES: usize = 2 << 20;
/// The fewest asks that are claimed at a time, and the most.
const ASKS: (usize, usize) = (4, 128);
/// How many portions are in hand at once: as many as there are connections to Postgres by default.
const AT_ONCE: usize = 4;
/// What a question is taken for before the first was seen.
const UNSEEN: usize = 128 << 10;

/// The portions in which asks are collected.
#[derive(Debug)]
pub(crate) struct Portions {
    mean: AtomicUsize,
    room: Semaphore,
}

impl Default for Portions {
    fn default() -> Self {
        Self { mean: AtomicUsize::new(UNSEEN), room: Semaphore::new(AT_ONCE) }
    }
}

impl Portions {
    /// Waits until there is room for another portion; it is taken until the permit is dropped.
    pub(crate) async fn room(&self) -> Option<SemaphorePermit<'_>> {
        self.room.acquire().await.ok()
    }

    /// Returns how many asks to claim next, by what was lately seen.
    pub(crate) fn asks(&self) -> usize {
        (BYTES / self.mean.load(Ordering::Relaxed).max(1)).clamp(ASKS.0, ASKS.1)
    }

    /// Takes in how long the questions of a portion are: longer ones count at once, shorter ones bit by bit.
    pub(crate) fn seen(&self, claimed: &[Claimed]) {
        let bytes = claimed.iter().map(|task| match &task.work {
            Work::Ask(work) => work.system.len().saturating_add(work.prompt.len()),
            Work::Command(_) | Work::Deliver(_) => 0,
        });
        if let Some(mean) = bytes.fold(0, usize::saturating_add).checked_div(claimed.len()) {
            self.learn(mean);
        }
    }

    fn learn(&self, mean: usize) {
        let before = self.mean.load(Ordering::Relaxed);
        self.mean.store(mean.max(before / 4 * 3 + mean / 4), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_the_questions_the_fewer_at_a_time() {
        let portions = Portions::default();
        assert_eq!(portions.asks(), 16);
        for _ in 0..12 {
            portions.learn(2_000);
        }
        assert_eq!(portions.asks(), 128, "short ones by the full slice");
        portions.learn(300_000);
        assert_eq!(portions.asks(), 6, "long ones at once by few");
        portions.learn(4 << 20);
        assert_eq!(portions.asks(), 4);
        portions.learn(0);
        assert_eq!(portions.asks(), 4, "and slowly by more again");
    }
}
