//! The batches that this replica has in hand: their leases are renewed together, and whoever works on one that is
//! no longer ours is told to stop.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use store::Store;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How soon a renewal that failed is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// The batches in hand, by id.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<HashMap<Uuid, (i32, CancellationToken)>>);

impl Kept {
    /// Takes a batch in hand; the token is cancelled when it is lost.
    pub(crate) fn hold(&self, id: Uuid, hold: i32) -> CancellationToken {
        let token = CancellationToken::new();
        if let Some((_, earlier)) = self.lock().insert(id, (hold, token.clone())) {
            earlier.cancel();
        }
        token
    }

    /// Lets a batch go; a later hold of the same batch is kept.
    pub(crate) fn release(&self, id: Uuid, hold: i32) {
        let mut kept = self.lock();
        if kept.get(&id).is_some_and(|(current, _)| *current == hold) {
            kept.remove(&id);
        }
    }

    /// Renews every third of a lease while anything is in hand, and does not end by itself. Idle, it asks nothing.
    /// When no renewal has got through for a whole lease, others may have taken what is in hand: its work stops.
    pub(crate) async fn keep(&self, store: &Store, worker: &str, lease: Duration) {
        let mut beat = tokio::time::interval(lease / 3);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut renewed = Instant::now();
        loop {
            beat.tick().await;
            let began = Instant::now();
            let held: Vec<(Uuid, i32)> = self.lock().iter().map(|(id, (hold, _))| (*id, *hold)).collect();
            if held.is_empty() {
                renewed = began;
                continue;
            }
            // Whoever cannot be answered in time has lost them just as well.
            let left = (renewed + lease).saturating_duration_since(began).max(lease / 3);
            let answer = tokio::time::timeout(left, store.batch_keep(worker, &held, lease));
            match answer.await.unwrap_or(Err(store::Error::Busy { seconds: left.as_secs() })) {
                Ok(ours) => {
                    renewed = began;
                    self.let_go(&held, &ours);
                }
                Err(error) if renewed.elapsed() >= lease => {
                    tracing::warn!(%error, batches = held.len(), "leases ran out; the work on their batches stops");
                    self.let_go(&held, &[]);
                    renewed = Instant::now();
                }
                Err(error) => {
                    tracing::warn!(%error, batches = held.len(), "leases could not be renewed; tried again");
                    beat.reset_after(AGAIN.min(lease / 3));
                }
            }
        }
    }

    fn let_go(&self, asked: &[(Uuid, i32)], ours: &[Uuid]) {
        let mut kept = self.lock();
        for (id, hold) in asked.iter().filter(|(id, _)| !ours.contains(id)) {
            if kept.get(id).is_some_and(|(current, _)| current == hold)
                && let Some((_, token)) = kept.remove(id)
            {
                tracing::warn!(batch = %id, "another replica has taken the batch");
                token.cancel();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, (i32, CancellationToken)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_and_is_not_ours_is_lost() {
        let kept = Kept::default();
        let [ours, lost, new, again] = [1, 2, 3, 4].map(Uuid::from_u128);
        let tokens = [ours, lost, new, again].map(|id| kept.hold(id, 1));
        let second = kept.hold(again, 2);
        kept.let_go(&[(ours, 1), (lost, 1), (again, 1)], &[ours]);
        assert_eq!(tokens.map(|token| token.is_cancelled()), [false, true, false, true]);
        assert!(!second.is_cancelled(), "the next hold is another");
        kept.release(again, 1);
        assert!(kept.lock().contains_key(&again));
        kept.release(again, 2);
        assert!(!kept.lock().contains_key(&again));
    }
}
