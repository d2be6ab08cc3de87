//! The streams that the batch-poller reads and writes, and who is told what.

use crate::traced;
pub(crate) use bus::EVENTS;
use bus::{Bus, Entry, Lane, Topic};
use domain::{
    batch::BatchState,
    pace::Pace,
    task::{Kind, Priority, State},
};
use store::Name;
use uuid::Uuid;

/// Where asks of pace batch are announced.
pub(crate) const BATCH: Topic = Topic::new("tasks.batch", "batch-poller");
/// Where asks of every other pace are announced.
pub(crate) const ASK: Topic = Topic::new("tasks.ask", "orchestrator");
/// Where the orchestrator hears that a task has ended.
pub(crate) const SETTLED: Topic = Topic::new("tasks.settled", "orchestrator");

/// What a slice of work tells when it is committed.
#[derive(Debug, Default)]
pub(crate) struct News {
    names: Vec<(Topic, Lane, Entry)>,
    events: Vec<Entry>,
}

impl News {
    /// Announces a queued ask to whoever asks at its pace, and the feed hears of it.
    pub(crate) fn queued(&mut self, name: &Name) {
        let topic = if name.pace == Pace::Batch { BATCH } else { ASK };
        self.name(topic, name);
        self.moved(name, State::Queued);
    }

    /// Announces an ended ask to the orchestrator, and the feed hears of it.
    pub(crate) fn ended(&mut self, name: &Name, state: State) {
        self.name(SETTLED, name);
        self.moved(name, state);
    }

    /// The feed hears that a task has moved.
    pub(crate) fn moved(&mut self, name: &Name, state: State) {
        self.event(name.id, state, name.traceparent.as_deref());
    }

    /// The feed hears that a task has moved.
    pub(crate) fn event(&mut self, id: Uuid, state: State, traceparent: Option<&str>) {
        self.events.push(Entry::new(id, format!("task.{state}"), traceparent.map(str::to_owned)));
    }

    /// The feed hears that a batch has moved, or has news.
    pub(crate) fn batch(&mut self, id: Uuid, state: BatchState) {
        let trace = traced::of(id).to_string();
        self.events.push(Entry::new(id, format!("batch.{state}"), Some(trace)));
    }

    /// The feed hears that a provider cannot serve, or can again.
    pub(crate) fn blackout(&mut self, word: &str) {
        self.events.push(Entry::new(Uuid::nil(), format!("blackout.{word}"), None));
    }

    /// Tells all of it. What cannot be told is found again by the orchestrator's sweep.
    pub(crate) async fn tell(self, bus: &Bus) {
        let (named, watched) = tokio::join!(bus.announce(&self.names), bus.publish(&EVENTS, &self.events));
        if let Err(error) = named {
            tracing::warn!(%error, tasks = self.names.len(), "announcements were lost; the sweep makes them again");
        }
        if let Err(error) = watched {
            tracing::debug!(%error, "events were lost");
        }
    }

    fn name(&mut self, topic: Topic, name: &Name) {
        let entry = Entry::new(name.id, Kind::Ask.as_str(), name.traceparent.clone());
        let lane = match name.priority {
            Priority::High | Priority::Urgent => Lane::Express,
            Priority::Low | Priority::Normal => Lane::Normal,
        };
        self.names.push((topic, lane, entry));
    }
}
