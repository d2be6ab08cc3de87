//! The streams that the executor reads and writes.

pub(crate) use bus::EVENTS;
use bus::{Entry, Lane, Topic};
use domain::task::{Kind, Priority, State};
use uuid::Uuid;

/// Where commands are announced.
pub(crate) const COMMAND: Topic = Topic::new("tasks.command", "executor");
/// Where the orchestrator hears that a task has ended.
pub(crate) const SETTLED: Topic = Topic::new("tasks.settled", "orchestrator");

/// Returns the lane of a priority: high and urgent work overtakes the rest.
pub(crate) const fn lane(priority: Priority) -> Lane {
    match priority {
        Priority::High | Priority::Urgent => Lane::Express,
        Priority::Low | Priority::Normal => Lane::Normal,
    }
}

/// Names an ended command on a stream.
pub(crate) fn settled(id: Uuid, traceparent: &str) -> Entry {
    Entry::new(id, Kind::Command.as_str(), Some(traceparent.to_owned()))
}

/// Names a change of state for the watchers.
pub(crate) fn event(id: Uuid, state: State, traceparent: Option<&str>) -> Entry {
    Entry::new(id, format!("task.{state}"), traceparent.map(str::to_owned))
}
