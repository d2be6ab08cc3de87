//! The named tasks that a service owns, so that none outlives the drain and none dies unseen.
//! Refuses to know what they do.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A set of named tasks. A panic in one is logged, asks the service to stop, and makes it exit with 1.
#[derive(Clone, Debug)]
pub struct Tasks {
    tracker: TaskTracker,
    state: Arc<Mutex<State>>,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    running: BTreeMap<u64, (&'static str, AbortHandle)>,
    crashed: Option<&'static str>,
}

impl Tasks {
    pub(crate) fn new(stop: CancellationToken) -> Self {
        Self { tracker: TaskTracker::new(), state: Arc::default(), stop }
    }

    /// Starts a task. It should end soon after the service's stop token is cancelled; the name tells on it if not.
    pub fn spawn<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // Held until the task is noted, so that a task which ends at once finds its note to remove.
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        let tasks = self.clone();
        let handle = self.tracker.spawn(async move {
            let ended = AssertUnwindSafe(future).catch_unwind().await;
            tasks.ended(id, name, ended.err());
        });
        state.running.insert(id, (name, handle.abort_handle()));
    }

    /// Tells the names of the tasks that run now.
    #[must_use]
    pub fn running(&self) -> Vec<&'static str> {
        self.lock().running.values().map(|(name, _)| *name).collect()
    }

    /// Waits at most `patience` for all tasks to end, then cuts the rest and returns their names.
    pub(crate) async fn drain(&self, patience: Duration) -> Vec<&'static str> {
        self.tracker.close();
        if tokio::time::timeout(patience, self.tracker.wait()).await.is_ok() {
            return Vec::new();
        }
        let state = self.lock();
        for (_, handle) in state.running.values() {
            handle.abort();
        }
        state.running.values().map(|(name, _)| *name).collect()
    }

    /// Tells which task panicked first, if one did.
    pub(crate) fn crashed(&self) -> Option<&'static str> {
        self.lock().crashed
    }

    fn ended(&self, id: u64, name: &'static str, panic: Option<Box<dyn Any + Send>>) {
        let mut state = self.lock();
        state.running.remove(&id);
        if let Some(panic) = panic {
            state.crashed.get_or_insert(name);
            drop(state);
            tracing::error!(task = name, panic = said(panic.as_ref()), "a task panicked: stopping");
            self.stop.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns what a panic said.
pub(crate) fn said(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a text")
}

#[cfg(test)]
mod tests {
    use super::Tasks;
    use std::time::Duration;
    use tokio_util::sync::CancellationToken;

    #[tokio::test]
    async fn drains_what_ends_and_names_what_does_not() {
        let stop = CancellationToken::new();
        let tasks = Tasks::new(stop.clone());
        let token = stop.clone();
        tasks.spawn("obedient", async move { token.cancelled().await });
        tasks.spawn("고집쟁이", std::future::pending());
        tasks.spawn("brief", async {});
        stop.cancel();
        assert_eq!(tasks.drain(Duration::from_millis(50)).await, ["고집쟁이"]);
        assert!(tasks.drain(Duration::from_secs(30)).await.is_empty(), "the rest was cut");
    }

    #[tokio::test]
    async fn a_panic_stops_the_service() {
        let stop = CancellationToken::new();
        let tasks = Tasks::new(stop.clone());
        tasks.spawn("fragile", async { panic!("깨졌다") });
        stop.cancelled().await;
        assert_eq!(tasks.crashed(), Some("fragile"));
        assert!(tasks.drain(Duration::from_secs(30)).await.is_empty());
    }
}
