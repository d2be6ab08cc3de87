//! Tasks as clients see them. Refuses to show what is ours alone: workers, leases, what a model was asked.

mod batch;
mod budget;
mod given;
mod progress;

pub(crate) use batch::{
    BatchDetailShown, BatchOrderShown, BatchShown, BatchWaitShown, BatchesShown, Latencies, WaitingShown, saved,
};
pub(crate) use budget::{
    BlackoutShown, BlackoutsShown, BudgetShown, BudgetsShown, ChangedBudgetShown, DeletedBudgetShown,
    EndedBlackoutShown,
};
pub(crate) use given::{CancelBatchShown, FlushShown, NewBudgetShown, NewOrderShown};
pub(crate) use progress::{ResultsShown, StatusShown, TreeShown};

use domain::{
    money::{Nanos, Usage},
    order::{Deliver, Order},
    task::{HeldFor, Kind, State},
};
use serde::Serialize;
use store::{Page, Task};
use time::{OffsetDateTime, UtcOffset};
use utoipa::ToSchema;
use uuid::Uuid;

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
    /// Why the pace is what it is, when that is not what was ordered.
    pub(crate) pace_reason: Option<String>,
    /// What it waits for while it is held: `approval`, `budget` or `blackout`; its `progress` says how to go on.
    #[schema(example = "budget")]
    pub(crate) held_for: Option<&'static str>,
    /// How much money it asks for while it is held for a budget.
    pub(crate) held: Option<CostShown>,
    /// Whom it was to be asked of while it is held.
    pub(crate) held_provider: Option<String>,
    /// The batches that it, or a part of it, waits for; told when one task or a tree is read.
    pub(crate) batches: Vec<BatchWaitShown>,
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
    /// What the same would have cost at pace now.
    pub(crate) list_cost: CostShown,
    /// The difference.
    pub(crate) saved: CostShown,
    /// The most that an order may cost.
    pub(crate) budget: Option<CostShown>,
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
            pace_reason: None,
            held_for: None,
            held: None,
            held_provider: None,
            batches: Vec::new(),
            deadline: order.deadline.and_then(|deadline| deadline.checked_to_offset(UtcOffset::UTC)),
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
            list_cost: Nanos(0).into(),
            saved: Nanos(0).into(),
            budget: order.budget.map(CostShown::from),
            calls: 0,
        }
    }
}

impl From<Task> for TaskShown {
    fn from(task: Task) -> Self {
        let (waited_ms, ran_ms) = (task.waited_ms(), task.ran_ms());
        let held = task.state == State::Held;
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
            pace_reason: task.pace_reason,
            held_for: task.held_for.filter(|_| held).map(HeldFor::as_str),
            held: task.held_nanos.filter(|nanos| held && nanos.0 > 0).map(CostShown::from),
            held_provider: task.held_provider.filter(|_| held),
            batches: Vec::new(),
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
            list_cost: task.list_nanos.into(),
            saved: saved(task.nanos, task.list_nanos),
            budget: task.budget.map(CostShown::from),
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
