//! Tasks as clients see them. Refuses to show what is ours alone: workers, leases, what a model was asked.

use domain::{
    money::{Nanos, Usage},
    order::{Deliver, Order},
    task::{Kind, State},
};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use store::{Page, Status, Task, TaskResult};
use time::{OffsetDateTime, UtcOffset};
use utoipa::ToSchema;
use uuid::Uuid;

/// An order as it is given. Unknown fields are refused.
#[derive(Debug, ToSchema)]
#[schema(as = NewOrder)]
#[expect(dead_code, reason = "describes for OpenAPI what `domain::order` reads and checks")]
pub(crate) struct NewOrderShown {
    /// One line, 1 to 300 characters.
    #[schema(example = "겨울 예약을 늘릴 방법을 보고서로 써줘")]
    title: String,
    /// The whole text, at most 100,000 characters.
    description: Option<String>,
    /// `low`, `normal`, `high` or `urgent`.
    #[schema(default = "normal")]
    priority: Option<String>,
    /// The recipe; without one the order is an open task on the board.
    #[schema(example = "report")]
    playbook: Option<String>,
    /// `now`, `flex`, `batch` or `auto`.
    #[schema(default = "now")]
    pace: Option<String>,
    /// When the report must be there (RFC 3339, in the future).
    #[schema(value_type = Option<String>, format = DateTime)]
    deadline: Option<String>,
    /// Where the report goes besides the archive: `{"kind": "webhook", "url": "https://…"}`.
    deliver: Option<Vec<Value>>,
    /// Agents for playbooks that take them, such as `answer`.
    agents: Option<Vec<String>>,
}

/// Money.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Cost)]
pub(crate) struct CostShown {
    /// Nano-dollars (10⁻⁹ USD).
    pub(crate) nanos: i64,
    /// The same for people.
    #[schema(example = "$0.0123")]
    pub(crate) usd: String,
}

impl From<Nanos> for CostShown {
    fn from(nanos: Nanos) -> Self {
        Self { nanos: nanos.0, usd: nanos.to_string() }
    }
}

/// Tokens.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Tokens)]
pub(crate) struct TokensShown {
    /// Input at the full price.
    pub(crate) input: i64,
    /// Input read from a cache.
    pub(crate) cache_read: i64,
    /// Input written to a cache.
    pub(crate) cache_write: i64,
    /// Output.
    pub(crate) output: i64,
    /// All of them.
    pub(crate) total: i64,
}

impl From<Usage> for TokensShown {
    fn from(usage: Usage) -> Self {
        Self {
            input: usage.input,
            cache_read: usage.cache_read,
            cache_write: usage.cache_write.saturating_add(usage.cache_write_hour),
            output: usage.output,
            total: usage.total(),
        }
    }
}

/// A task. A root's tokens and cost are those of its tree.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Task)]
pub(crate) struct TaskShown {
    pub(crate) id: Uuid,
    pub(crate) root_id: Uuid,
    pub(crate) parent_id: Option<Uuid>,
    /// The playbook's step.
    pub(crate) step: Option<String>,
    /// Its place in a step for each element of a list.
    pub(crate) item: Option<i32>,
    /// `plan`, `ask`, `command`, `open`, `approval` or `deliver`.
    #[schema(example = "plan")]
    pub(crate) kind: &'static str,
    /// `pending`, `queued`, `in_progress`, `held`, `completed`, `failed` or `cancelled`.
    #[schema(example = "pending")]
    pub(crate) state: &'static str,
    /// `low`, `normal`, `high` or `urgent`.
    #[schema(example = "normal")]
    pub(crate) priority: &'static str,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) agent: Option<String>,
    /// `now`, `flex`, `batch` or `auto`.
    #[schema(example = "now")]
    pub(crate) pace: &'static str,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) deadline: Option<OffsetDateTime>,
    pub(crate) playbook: Option<String>,
    /// Where the report goes besides the archive. The address's path may be a secret: only its host is shown.
    pub(crate) deliver: Vec<DeliverShown>,
    pub(crate) agents: Vec<String>,
    /// Why it ended badly, as a code.
    pub(crate) cause: Option<&'static str>,
    /// Why it ended badly, as a sentence.
    pub(crate) reason: Option<String>,
    /// What its performer said last.
    pub(crate) progress: Option<String>,
    /// How often it was begun.
    pub(crate) attempt: i32,
    pub(crate) model: Option<String>,
    /// Whether an answer of the emulator, not of a model, went into it.
    pub(crate) emulated: bool,
    pub(crate) created_by: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) queued_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) started_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) ended_at: Option<OffsetDateTime>,
    /// From queued to started, in milliseconds.
    pub(crate) waited_ms: Option<i64>,
    /// From started (a root: from ordered) to ended, in milliseconds.
    pub(crate) ran_ms: Option<i64>,
    pub(crate) tokens: TokensShown,
    pub(crate) cost: CostShown,
    /// How many model calls that is.
    pub(crate) calls: i64,
}

/// A destination of the report.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Deliver)]
pub(crate) struct DeliverShown {
    /// `webhook`.
    kind: &'static str,
    /// The server it goes to.
    host: String,
}

impl From<&Deliver> for DeliverShown {
    fn from(deliver: &Deliver) -> Self {
        let Deliver::Webhook { url } = deliver;
        let host = url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
        Self { kind: "webhook", host: host.unwrap_or_default() }
    }
}

impl TaskShown {
    /// Shows an order that was just kept, without reading its row.
    pub(crate) fn of_order(
        id: Uuid,
        (kind, state): (Kind, State),
        order: &Order,
        (key, now): (&str, OffsetDateTime),
    ) -> Self {
        Self {
            id,
            root_id: id,
            parent_id: None,
            step: None,
            item: None,
            kind: kind.as_str(),
            state: state.as_str(),
            priority: order.priority.as_str(),
            title: order.title.clone(),
            description: order.description.clone(),
            agent: None,
            pace: order.pace.as_str(),
            deadline: order.deadline.map(|deadline| deadline.to_offset(UtcOffset::UTC)),
            playbook: order.playbook.clone(),
            deliver: order.deliver.iter().map(DeliverShown::from).collect(),
            agents: order.agents.clone(),
            cause: None,
            reason: None,
            progress: None,
            attempt: 0,
            model: None,
            emulated: false,
            created_by: Some(key.to_owned()),
            created_at: now,
            queued_at: (state == State::Queued).then_some(now),
            started_at: None,
            ended_at: None,
            waited_ms: None,
            ran_ms: None,
            tokens: Usage::default().into(),
            cost: Nanos(0).into(),
            calls: 0,
        }
    }
}

impl From<Task> for TaskShown {
    fn from(task: Task) -> Self {
        let (waited_ms, ran_ms) = (task.waited_ms(), task.ran_ms());
        let (cause, reason) = task.failure.map(|failure| (failure.cause.as_str(), failure.reason)).unzip();
        Self {
            id: task.id,
            root_id: task.root_id,
            parent_id: task.parent_id,
            step: task.step,
            item: task.item,
            kind: task.kind.as_str(),
            state: task.state.as_str(),
            priority: task.priority.as_str(),
            title: task.title,
            description: task.description,
            agent: task.agent,
            pace: task.pace.as_str(),
            deadline: task.deadline,
            playbook: task.playbook,
            deliver: task.deliver.iter().map(DeliverShown::from).collect(),
            agents: task.agents,
            cause,
            reason,
            progress: task.progress,
            attempt: task.attempt,
            model: task.model,
            emulated: task.emulated,
            created_by: task.created_by,
            created_at: task.created_at,
            queued_at: task.queued_at,
            started_at: task.started_at,
            ended_at: task.ended_at,
            waited_ms,
            ran_ms,
            tokens: task.usage.into(),
            cost: task.nanos.into(),
            calls: task.calls,
        }
    }
}

/// A page of tasks, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TaskPage)]
pub(crate) struct PageShown {
    /// The tasks.
    tasks: Vec<TaskShown>,
    /// What to hand in as `cursor` for the next page; none on the last one.
    next: Option<String>,
}

impl PageShown {
    /// Shows a page whose next one starts at a cursor for `filter`.
    pub(crate) fn of(page: Page, filter: &str) -> Self {
        let next = page.next.map(|last| crate::page::cursor(last, filter));
        Self { tasks: page.tasks.into_iter().map(TaskShown::from).collect(), next }
    }
}

/// A task and the tasks below it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tree)]
pub(crate) struct TreeShown {
    /// The task.
    #[serde(flatten)]
    task: TaskShown,
    /// The tasks below it, in the order in which they were made.
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

    fn nested(task: Task, below: &mut HashMap<Uuid, Vec<Task>>) -> Self {
        let children = below.remove(&task.id).unwrap_or_default();
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
            result: result.result,
        }
    }
}
