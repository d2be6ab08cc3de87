//! The calls that may be under way at once, shared out among providers: a slow one takes half of them at most, so that
//! asks to the others go on. Asks that wait for a call keep their place in line, not a call.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many asks are taken in for each call that may be made: the places in line.
pub(crate) const PLACES: usize = 4;

/// The calls, shared out.
pub(crate) struct Share {
    all: Arc<Semaphore>,
    each: usize,
    lines: Mutex<HashMap<String, Arc<Line>>>,
}

/// The calls of one provider, and who waits for one.
struct Line {
    calls: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// A call that may be made; dropped, another may.
pub(crate) struct Call {
    _all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
}

impl Share {
    /// Shares out so many calls among so many providers; one alone may take them all.
    pub(crate) fn new(calls: usize, providers: usize) -> Self {
        let each = if providers > 1 { calls.div_ceil(2) } else { calls };
        Self { all: Arc::new(Semaphore::new(calls.max(1))), each: each.max(1), lines: Mutex::default() }
    }

    /// Waits for a call; `None` when so many wait for the provider already that they would fill the places of all.
    pub(crate) async fn call(&self, provider: &str) -> Option<Call> {
        let line = self.line(provider);
        let waiting = Waiting::new(&line);
        if waiting.before >= self.each.saturating_mul(PLACES - 1) {
            return None;
        }
        let own = Arc::clone(&line.calls).acquire_owned().await.ok()?;
        let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Call { _all: all, _own: own })
    }

    fn line(&self, provider: &str) -> Arc<Line> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(provider) {
            return Arc::clone(line);
        }
        let line = Arc::new(Line { calls: Arc::new(Semaphore::new(self.each)), waiting: AtomicUsize::new(0) });
        lines.insert(provider.to_owned(), Arc::clone(&line));
        line
    }
}

/// A place in a provider's line, left when dropped.
struct Waiting<'a> {
    line: &'a Line,
    before: usize,
}

impl<'a> Waiting<'a> {
    fn new(line: &'a Line) -> Self {
        Self { line, before: line.waiting.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.line.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Share;
    use std::sync::Arc;
    use tokio::task::JoinSet;

    #[tokio::test]
    async fn a_slow_provider_takes_half_and_the_rest_of_its_line_is_sent_away() {
        let share = Arc::new(Share::new(4, 2));
        let slow = [share.call("slow").await.unwrap(), share.call("slow").await.unwrap()];
        let mut line = JoinSet::new();
        for _ in 0..6 {
            let share = Arc::clone(&share);
            line.spawn(async move { share.call("slow").await.is_some() });
        }
        testkit::until("the line is full", || async { share.line("slow").waiting.load(super::Ordering::Relaxed) == 6 })
            .await;
        assert!(share.call("slow").await.is_none(), "the line is full");
        let quick = [share.call("quick").await.unwrap(), share.call("quick").await.unwrap()];
        drop((slow, quick));
        while let Some(served) = line.join_next().await {
            assert!(served.unwrap(), "who waited is served");
        }
    }

    #[tokio::test]
    async fn a_provider_alone_takes_all() {
        let share = Share::new(4, 1);
        let mut calls = Vec::new();
        for _ in 0..4 {
            calls.push(share.call("only").await.unwrap());
        }
        assert_eq!(calls.len(), 4);
    }
}
