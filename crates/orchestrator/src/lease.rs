//! The tasks that this replica works on: their leases are renewed together, in one statement, and what is
//! no longer ours is stopped.

use crate::Parts;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The tasks in hand, by id.
#[derive(Default)]
pub(crate) struct Leases {
    held: Mutex<HashMap<Uuid, (i32, CancellationToken)>>,
}

impl Leases {
    /// Takes a task in hand; the token is cancelled when the task is no longer ours.
    pub(crate) fn hold(&self, id: Uuid, attempt: i32) -> CancellationToken {
        let token = CancellationToken::new();
        self.lock().insert(id, (attempt, token.clone()));
        token
    }

    /// Lets a task go.
    pub(crate) fn release(&self, id: Uuid) {
        self.lock().remove(&id);
    }

    fn list(&self) -> Vec<(Uuid, i32)> {
        self.lock().iter().map(|(id, (attempt, _))| (*id, *attempt)).collect()
    }

    /// Cancels those of `asked` that are still in hand but not among `ours`.
    fn drop_lost(&self, asked: &[(Uuid, i32)], ours: &[Uuid]) {
        let held = self.lock();
        for (id, attempt) in asked.iter().filter(|(id, _)| !ours.contains(id)) {
            if let Some((current, token)) = held.get(id)
                && current == attempt
            {
                token.cancel();
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, (i32, CancellationToken)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Renews every third of a lease while anything is in hand, until `done`; an idle replica asks nothing. What is
/// finished during a drain still needs its lease, so `done` comes after the last task, not with the stop.
pub(crate) async fn run(parts: Arc<Parts>, done: CancellationToken) {
    let lease = parts.config.lease;
    let mut beat = tokio::time::interval(lease / 3);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = beat.tick() => {}
            () = done.cancelled() => return,
        }
        let held = parts.leases.list();
        if held.is_empty() {
            continue;
        }
        match parts.store.renew(&parts.config.common.replica, &held, lease).await {
            Ok(ours) => parts.leases.drop_lost(&held, &ours),
            Err(error) => tracing::warn!(%error, tasks = held.len(), "leases could not be renewed; tried again"),
        }
    }
}
