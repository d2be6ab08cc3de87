//! Readiness as a latch: a service is ready when every part that it named is up and nobody has asked it to
//! stop. Refuses to know what the parts are and to check any of them itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The parts of a service and which of them are up.
#[derive(Clone, Debug)]
pub struct Readiness {
    parts: Arc<watch::Sender<BTreeMap<&'static str, bool>>>,
    stop: CancellationToken,
}

/// What `/ready` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// True when work may be sent here.
    pub ready: bool,
    /// The parts that are not up; `["start"]` before the service has named any.
    pub missing: Vec<&'static str>,
    /// True once the service was asked to stop.
    pub stopping: bool,
}

impl Readiness {
    pub(crate) fn new(stop: CancellationToken) -> Self {
        Self { parts: Arc::new(watch::Sender::new(BTreeMap::new())), stop }
    }

    /// Names a part that the service waits for; it is down until [`Part::up`]. A service names all its parts
    /// before it brings the first one up.
    #[must_use]
    pub fn part(&self, name: &'static str) -> Part {
        self.parts.send_modify(|parts| {
            parts.entry(name).or_insert(false);
        });
        Part { name, readiness: self.clone() }
    }

    /// Tells what is missing.
    #[must_use]
    pub fn report(&self) -> Report {
        let stopping = self.stop.is_cancelled();
        let missing = missing(&self.parts.borrow());
        Report { ready: missing.is_empty() && !stopping, missing, stopping }
    }

    /// Waits until every part is up.
    pub async fn wait(&self) {
        let mut parts = self.parts.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = parts.wait_for(|parts| missing(parts).is_empty()).await;
    }
}

fn missing(parts: &BTreeMap<&'static str, bool>) -> Vec<&'static str> {
    if parts.is_empty() {
        return vec!["start"];
    }
    parts.iter().filter(|(_, up)| !**up).map(|(name, _)| *name).collect()
}

/// One part of a service, which its owner moves up and down.
#[derive(Clone, Debug)]
pub struct Part {
    name: &'static str,
    readiness: Readiness,
}

impl Part {
    /// Keeps the part as `up` says, until the stop or the end of its sender.
    pub async fn follow(self, mut up: watch::Receiver<bool>, stop: CancellationToken) {
        loop {
            if *up.borrow_and_update() {
                self.up();
            } else {
                self.down();
            }
            tokio::select! {
                changed = up.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
        }
    }

    /// Marks the part as up.
    pub fn up(&self) {
        self.set(true);
    }

    /// Marks the part as down.
    pub fn down(&self) {
        self.set(false);
    }

    fn set(&self, up: bool) {
        let changed = self.readiness.parts.send_if_modified(|parts| parts.insert(self.name, up) != Some(up));
        if changed {
            tracing::info!(part = self.name, up, "part changed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Readiness, missing};
    use tokio::sync::watch;
    use tokio_util::sync::CancellationToken;

    #[tokio::test]
    async fn is_ready_when_all_parts_are_up_and_not_when_stopping() {
        let stop = CancellationToken::new();
        let ready = Readiness::new(stop.clone());
        assert_eq!(ready.report().missing, ["start"]);
        let (postgres, redis) = (ready.part("postgres"), ready.part("redis"));
        postgres.up();
        assert_eq!(ready.report().missing, ["redis"]);
        redis.up();
        ready.wait().await;
        assert!(ready.report().ready);
        postgres.down();
        assert_eq!(ready.report().missing, ["postgres"]);
        postgres.up();
        stop.cancel();
        let report = ready.report();
        assert!(!report.ready && report.stopping && report.missing.is_empty());
    }

    #[tokio::test]
    async fn a_part_follows_what_it_is_told_until_the_stop() {
        let stop = CancellationToken::new();
        let ready = Readiness::new(stop.clone());
        let (told, up) = watch::channel(false);
        let mut following = tokio::task::JoinSet::new();
        following.spawn(ready.part("redis").follow(up, stop.clone()));
        told.send_replace(true);
        ready.wait().await;
        told.send_replace(false);
        let mut parts = ready.parts.subscribe();
        parts.wait_for(|parts| !missing(parts).is_empty()).await.unwrap();
        stop.cancel();
        following.join_next().await.unwrap().unwrap();
    }
}
