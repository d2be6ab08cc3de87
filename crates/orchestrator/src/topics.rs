//! The streams that the orchestrator reads and writes, and who is told what.

use crate::Parts;
pub(crate) use bus::EVENTS;
use bus::{Bus, Entry, Lane, Topic};
use domain::{
    pace::Pace,
    task::{Kind, Priority, State},
};
use store::Name;
use uuid::Uuid;

pub(crate) const PLAN: Topic = Topic::new("tasks.plan", "orchestrator");
pub(crate) const ASK: Topic = Topic::new("tasks.ask", "orchestrator");
pub(crate) const DELIVER: Topic = Topic::new("tasks.deliver", "orchestrator");
pub(crate) const SETTLED: Topic = Topic::new("tasks.settled", "orchestrator");
pub(crate) const COMMAND: Topic = Topic::new("tasks.command", "executor");
pub(crate) const BATCH: Topic = Topic::new("tasks.batch", "batch-poller");

/// Returns where a queued task is announced; open tasks and approvals wait for people.
pub(crate) const fn topic(kind: Kind, pace: Pace) -> Option<Topic> {
    match (kind, pace) {
        (Kind::Plan, _) => Some(PLAN),
        (Kind::Ask, Pace::Batch) => Some(BATCH),
        (Kind::Ask, _) => Some(ASK),
        (Kind::Command, _) => Some(COMMAND),
        (Kind::Deliver, _) => Some(DELIVER),
        (Kind::Open | Kind::Approval, _) => None,
    }
}

/// Returns the lane of a priority: high and urgent work overtakes the rest.
pub(crate) const fn lane(priority: Priority) -> Lane {
    match priority {
        Priority::High | Priority::Urgent => Lane::Express,
        Priority::Low | Priority::Normal => Lane::Normal,
    }
}

/// Names a task on a stream.
pub(crate) fn entry(id: Uuid, kind: Kind, traceparent: Option<&str>) -> Entry {
    Entry::new(id, kind.as_str(), traceparent.map(str::to_owned))
}

/// Names a change of state for the events stream.
pub(crate) fn event(id: Uuid, state: State, traceparent: Option<&str>) -> Entry {
    Entry::new(id, format!("task.{state}"), traceparent.map(str::to_owned))
}

/// Announces tasks that are queued again, and tells their watchers.
pub(crate) async fn queue(parts: &Parts, tasks: &[Name]) {
    let named = tasks.iter().filter_map(|task| {
        let entry = entry(task.id, task.kind, task.traceparent.as_deref());
        topic(task.kind, task.pace).map(|topic| (topic, lane(task.priority), entry))
    });
    let events: Vec<Entry> =
        tasks.iter().map(|task| event(task.id, State::Queued, task.traceparent.as_deref())).collect();
    tell(&parts.bus, &named.collect::<Vec<_>>(), &events).await;
}

/// Tells the readers of a slice and the watchers of its events, at the same time. What cannot be told is found
/// again by the sweep.
pub(crate) async fn tell(bus: &Bus, names: &[(Topic, Lane, Entry)], events: &[Entry]) {
    let (named, watched) = tokio::join!(bus.announce(names), bus.publish(&EVENTS, events));
    if let Err(error) = named {
        tracing::warn!(%error, tasks = names.len(), "announcements were lost; the sweep makes them again");
    }
    if let Err(error) = watched {
        tracing::debug!(%error, "events were lost");
    }
}
