//! Budgets and blackouts as clients see them.

use super::CostShown;
use domain::money::Nanos;
use serde::Serialize;
use store::{Blackout, BudgetView};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// A budget.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Budget)]
pub(crate) struct BudgetShown {
    /// `order`, `agent`, `provider` or `all`.
    scope: &'static str,
    /// The order's id, or the agent's or the provider's name; `all`.
    name: String,
    /// `total`, or `day`: one day (UTC).
    period: &'static str,
    /// The most that may be spent.
    limit: CostShown,
    /// What was spent.
    spent: CostShown,
    /// What is set aside for asks that run.
    reserved: CostShown,
    /// What may still be asked for.
    left: CostShown,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
    /// The order's title.
    title: Option<String>,
    /// Where the order stands.
    order_state: Option<&'static str>,
}

impl From<BudgetView> for BudgetShown {
    fn from(budget: BudgetView) -> Self {
        let gone = budget.spent.0.saturating_add(budget.reserved.0);
        let (title, state) = budget.order.unzip();
        Self {
            scope: budget.key.scope.as_str(),
            name: budget.key.name,
            period: budget.key.period.as_str(),
            limit: budget.limit.into(),
            spent: budget.spent.into(),
            reserved: budget.reserved.into(),
            left: Nanos(budget.limit.0.saturating_sub(gone).max(0)).into(),
            updated_at: budget.updated_at,
            title,
            order_state: state.map(domain::task::State::as_str),
        }
    }
}

/// A page of budgets, by scope, name and period.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BudgetPage)]
pub(crate) struct BudgetsShown {
    /// The budgets.
    pub(crate) budgets: Vec<BudgetShown>,
    /// What to hand in as `cursor` for the next page; none on the last one.
    pub(crate) next: Option<String>,
}

/// A budget as it is now, and what goes on because of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChangedBudget)]
pub(crate) struct ChangedBudgetShown {
    #[serde(flatten)]
    pub(crate) budget: BudgetShown,
    /// The limit that it had; null when it is new.
    pub(crate) before: Option<CostShown>,
    /// The tasks that were held for money and go on.
    pub(crate) released: Vec<Uuid>,
}

/// A budget that is gone, and what goes on because of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeletedBudget)]
pub(crate) struct DeletedBudgetShown {
    pub(crate) scope: &'static str,
    pub(crate) name: String,
    pub(crate) period: &'static str,
    /// The limit that it had.
    pub(crate) before: CostShown,
    /// The tasks that were held for money and go on.
    pub(crate) released: Vec<Uuid>,
}

/// A provider that cannot serve.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Blackout)]
pub(crate) struct BlackoutShown {
    #[schema(example = "openai")]
    provider: String,
    /// One word: `key`, `billing`, `permission`, `quota`, ….
    cause: String,
    /// The provider's own words.
    reason: String,
    #[serde(with = "time::serde::rfc3339")]
    since: OffsetDateTime,
    /// When one ask may try whether it is over.
    #[serde(with = "time::serde::rfc3339")]
    probe_at: OffsetDateTime,
    /// How many tries have failed.
    probes: i32,
}

impl From<Blackout> for BlackoutShown {
    fn from(blackout: Blackout) -> Self {
        Self {
            provider: blackout.provider,
            cause: blackout.cause,
            reason: blackout.reason,
            since: blackout.since,
            probe_at: blackout.probe_at,
            probes: blackout.probes,
        }
    }
}

/// The providers that cannot serve.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Blackouts)]
pub(crate) struct BlackoutsShown {
    /// By name.
    pub(crate) blackouts: Vec<BlackoutShown>,
}

/// A blackout that its master has ended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EndedBlackout)]
pub(crate) struct EndedBlackoutShown {
    /// Who serves again.
    pub(crate) provider: String,
    /// The tasks that were held for it and go on.
    pub(crate) released: Vec<Uuid>,
}
