//! The tasks that one replica has in hand: their leases are renewed together, in one statement, and whoever works on
//! what is no longer ours is told to stop.

use crate::connect::Store;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How soon a renewal that failed is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// How long before the end of a drain the work that still runs is cut.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The tasks in hand, by id.
#[derive(Debug, Default)]
pub struct Leases {
    /// Cancelled when this replica has no time left: every token is its child.
    cut: CancellationToken,
    held: Mutex<HashMap<Uuid, (i32, CancellationToken)>>,
}

impl Leases {
    /// Takes a task in hand; the token is cancelled when its work must stop.
    #[must_use]
    pub fn hold(&self, id: Uuid, attempt: i32) -> CancellationToken {
        let token = self.cut.child_token();
        // Work on an earlier attempt is no longer ours: what it does, it does beside the new one.
        if let Some((_, earlier)) = self.lock().insert(id, (attempt, token.clone())) {
            earlier.cancel();
        }
        token
    }

    /// Tells whether a task is still ours.
    #[must_use]
    pub fn holds(&self, id: Uuid) -> bool {
        self.lock().contains_key(&id)
    }

    /// Stops every task that still runs, and whatever is taken in hand from now on.
    pub fn cut(&self) {
        self.cut.cancel();
    }

    /// Tells whether the tasks were cut.
    #[must_use]
    pub fn are_cut(&self) -> bool {
        self.cut.is_cancelled()
    }

    /// Lets an attempt go; a later attempt at the same task is kept.
    pub fn release(&self, id: Uuid, attempt: i32) {
        let mut held = self.lock();
        if held.get(&id).is_some_and(|(current, _)| *current == attempt) {
            held.remove(&id);
        }
    }

    /// Renews every third of a lease while anything is in hand, and does not end by itself. Idle, it asks nothing.
    pub async fn keep(&self, store: &Store, worker: &str, lease: Duration) {
        let mut beat = tokio::time::interval(lease / 3);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            let held = self.list();
            match store.renew(worker, &held, lease).await {
                Ok(ours) => self.let_go(&held, &ours),
                Err(error) => {
                    tracing::warn!(%error, tasks = held.len(), "leases could not be renewed; tried again");
                    beat.reset_after(AGAIN.min(lease / 3));
                }
            }
        }
    }

    /// After the stop, lets work go on until shortly before the end of the drain, then cuts it, so that its ends can
    /// still be written. Does not end.
    pub async fn cut_in_time(&self, stop: &CancellationToken, drain: Duration) {
        stop.cancelled().await;
        tokio::time::sleep(drain.saturating_sub(LAST_WORDS.min(drain / 2))).await;
        self.cut();
        std::future::pending::<()>().await;
    }

    /// Returns the token of the cut.
    #[must_use]
    pub fn end(&self) -> CancellationToken {
        self.cut.clone()
    }

    fn list(&self) -> Vec<(Uuid, i32)> {
        self.lock().iter().map(|(id, (attempt, _))| (*id, *attempt)).collect()
    }

    /// Drops and cancels those of `asked` that are still in hand but not among `ours`.
    fn let_go(&self, asked: &[(Uuid, i32)], ours: &[Uuid]) {
        let mut held = self.lock();
        for (id, attempt) in asked.iter().filter(|(id, _)| !ours.contains(id)) {
            if held.get(id).is_some_and(|(current, _)| current == attempt)
                && let Some((_, token)) = held.remove(id)
            {
                token.cancel();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, (i32, CancellationToken)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_and_is_not_ours_is_let_go() {
        let leases = Leases::default();
        let [kept, lost, new, again] = [1, 2, 3, 4].map(Uuid::from_u128);
        let tokens = [kept, lost, new, again].map(|id| leases.hold(id, 1));
        let asked = vec![(kept, 1), (lost, 1), (again, 1)];
        let second = leases.hold(again, 2);
        leases.let_go(&asked, &[kept]);
        assert_eq!(
            tokens.map(|token| token.is_cancelled()),
            [false, true, false, true],
            "an earlier attempt is stopped by the next"
        );
        assert!(!second.is_cancelled(), "the next attempt is another lease");
        assert_eq!([kept, lost, new, again].map(|id| leases.holds(id)), [true, false, true, true]);
        leases.release(again, 1);
        assert!(leases.holds(again), "an earlier attempt lets go of itself alone");
        leases.release(kept, 1);
        leases.cut();
        assert!(!leases.holds(kept) && leases.are_cut() && second.is_cancelled());
        assert!(leases.hold(kept, 2).is_cancelled());
    }
}
