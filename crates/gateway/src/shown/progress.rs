//! How far a task is and what it brought, as clients see it.

use super::{BatchWaitShown, CostShown, TaskShown, saved};
use domain::task::{HeldFor, State};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use store::{Status, Task, TaskResult};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// A task and the tasks below it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tree)]
pub(crate) struct TreeShown {
    /// The task.
    #[serde(flatten)]
    task: TaskShown,
    /// The tasks below it, in the order in which they began, then those that have not.
    #[schema(no_recursion)]
    children: Vec<TreeShown>,
}

impl TreeShown {
    /// Nests the tasks of a tree below one of them; `None` when it is not among them.
    pub(crate) fn of(top: Uuid, tasks: Vec<Task>) -> Option<Self> {
        let mut below: HashMap<Uuid, Vec<Task>> = HashMap::new();
        let mut found = None;
        for task in tasks {
            if task.id == top {
                found = Some(task);
            } else if let Some(parent) = task.parent_id {
                below.entry(parent).or_default().push(task);
            }
        }
        Some(Self::nested(found?, &mut below))
    }

    /// Notes on each task which batches it waits for, and on those above it, each batch once.
    pub(crate) fn waiting(&mut self, waits: &HashMap<Uuid, BatchWaitShown>) {
        self.task.batches.extend(waits.get(&self.task.id).cloned());
        for child in &mut self.children {
            child.waiting(waits);
            for wait in &child.task.batches {
                if !self.task.batches.iter().any(|known| known.is_with(wait)) {
                    self.task.batches.push(wait.clone());
                }
            }
        }
    }

    fn nested(task: Task, below: &mut HashMap<Uuid, Vec<Task>>) -> Self {
        let mut children = below.remove(&task.id).unwrap_or_default();
        // As it happened: what began first, then what waits.
        children.sort_by_key(|child| (child.started_at.is_none(), child.started_at, child.id));
        let children = children.into_iter().map(|child| Self::nested(child, below)).collect();
        Self { task: task.into(), children }
    }
}

/// How a task stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Status)]
pub(crate) struct StatusShown {
    id: Uuid,
    root_id: Uuid,
    kind: &'static str,
    state: &'static str,
    /// Whether it is completed, failed or cancelled.
    ended: bool,
    agent: Option<String>,
    /// What its performer said last.
    progress: Option<String>,
    cause: Option<&'static str>,
    reason: Option<String>,
    /// Before when it will not be tried again.
    #[serde(with = "time::serde::rfc3339::option")]
    not_before: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    ended_at: Option<OffsetDateTime>,
    /// How many tasks below it have ended.
    done: i64,
    /// How many tasks are below it so far.
    total: i64,
    /// `now`, `flex`, `batch` or `auto`.
    pace: &'static str,
    /// Why the pace is what it is, when that is not what was ordered.
    pace_reason: Option<String>,
    /// What it waits for while it is held.
    held_for: Option<&'static str>,
    /// How much money it asks for while it is held for a budget.
    held: Option<CostShown>,
}

impl StatusShown {
    /// Tells whether it is completed, failed or cancelled.
    pub(crate) const fn has_ended(&self) -> bool {
        self.ended
    }
}

impl From<Status> for StatusShown {
    fn from(status: Status) -> Self {
        let (cause, reason) = status.failure.map(|failure| (failure.cause.as_str(), failure.reason)).unzip();
        let held = status.state == State::Held;
        Self {
            id: status.id,
            root_id: status.root_id,
            kind: status.kind.as_str(),
            state: status.state.as_str(),
            ended: status.state.is_terminal(),
            agent: status.agent,
            progress: status.progress,
            cause,
            reason,
            not_before: status.not_before,
            ended_at: status.ended_at,
            done: status.done,
            total: status.total,
            pace: status.pace.as_str(),
            pace_reason: status.pace_reason,
            held_for: status.held_for.filter(|_| held).map(HeldFor::as_str),
            held: status.held_nanos.filter(|nanos| held && nanos.0 > 0).map(CostShown::from),
        }
    }
}

/// What a task brought and, for an order, what its parts brought.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Results)]
pub(crate) struct ResultsShown {
    /// The task itself.
    #[serde(flatten)]
    task: ResultShown,
    /// The report in Markdown, when there is one.
    report: Option<String>,
    /// The tasks below it.
    parts: Vec<ResultShown>,
}

impl ResultsShown {
    /// Shows results, the task's own first; `None` when there are none.
    pub(crate) fn of(results: Vec<TaskResult>) -> Option<Self> {
        let mut results = results.into_iter();
        let task = ResultShown::from(results.next()?);
        let report = task.text().map(str::to_owned);
        Some(Self { task, report, parts: results.map(ResultShown::from).collect() })
    }

    /// The task itself.
    pub(crate) const fn task(&self) -> &ResultShown {
        &self.task
    }
}

/// What one task brought.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TaskResult)]
pub(crate) struct ResultShown {
    id: Uuid,
    parent_id: Option<Uuid>,
    step: Option<String>,
    item: Option<i32>,
    kind: &'static str,
    pub(crate) state: &'static str,
    agent: Option<String>,
    title: String,
    cause: Option<&'static str>,
    reason: Option<String>,
    model: Option<String>,
    /// Whether an answer of the emulator, not of a model, went into it.
    pub(crate) emulated: bool,
    /// `now`, `flex`, `batch` or `auto`.
    pace: &'static str,
    /// What it cost; an order with all its parts.
    cost: CostShown,
    /// What the same would have cost at pace now.
    list_cost: CostShown,
    /// The difference.
    saved: CostShown,
    /// An object with `text`, and what its kind adds (`data`, `exit_code`, …).
    result: Option<Value>,
}

impl ResultShown {
    /// The text that it brought.
    pub(crate) fn text(&self) -> Option<&str> {
        self.result.as_ref()?.get("text")?.as_str()
    }
}

impl From<TaskResult> for ResultShown {
    fn from(result: TaskResult) -> Self {
        let (cause, reason) = result.failure.map(|failure| (failure.cause.as_str(), failure.reason)).unzip();
        Self {
            id: result.id,
            parent_id: result.parent_id,
            step: result.step,
            item: result.item,
            kind: result.kind.as_str(),
            state: result.state.as_str(),
            agent: result.agent,
            title: result.title,
            cause,
            reason,
            model: result.model,
            emulated: result.emulated,
            pace: result.pace.as_str(),
            cost: result.nanos.into(),
            list_cost: result.list_nanos.into(),
            saved: saved(result.nanos, result.list_nanos),
            result: result.result,
        }
    }
}
