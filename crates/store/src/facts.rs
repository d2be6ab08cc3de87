//! Sums of money for gauges. Refuses to page: what does not fit is left out, for a gauge's labels must stay few.

use crate::{
    connect::Store,
    error::Error,
    row::Columns,
    statement::{BUDGET_SUMS, CHARGE_TODAY},
};
use domain::money::Nanos;

/// The most rows of one reading.
const LIMIT: i64 = 1_000;

/// What was spent today (UTC) by one agent with one model at one pace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpentToday {
    /// Who answered.
    pub provider: String,
    /// With which model.
    pub model: String,
    /// Who asked; empty when no agent did.
    pub agent: String,
    /// How fast it was asked.
    pub pace: String,
    /// Whether it was the emulator's.
    pub emulated: bool,
    /// The money.
    pub nanos: Nanos,
    /// What the same would have cost at pace now.
    pub list_nanos: Nanos,
}

/// How a budget stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetSum {
    /// `agent`, `provider` or `all`.
    pub scope: String,
    /// Whose; `all`.
    pub name: String,
    /// `total` or `day`.
    pub period: String,
    /// The most that may be spent.
    pub limit: Nanos,
    /// What is spent in this period.
    pub spent: Nanos,
    /// What is set aside for asks that run.
    pub reserved: Nanos,
}

impl Store {
    /// Sums what was spent today, the most first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn spent_today(&self) -> Result<Vec<SpentToday>, Error> {
        let rows = self.rows(&CHARGE_TODAY, &[&LIMIT]).await?;
        rows.iter()
            .map(|row| {
                let mut columns = Columns::of(row, CHARGE_TODAY.name);
                Ok(SpentToday {
                    provider: columns.next()?,
                    model: columns.next()?,
                    agent: columns.next()?,
                    pace: columns.next()?,
                    emulated: columns.next()?,
                    nanos: Nanos(columns.next()?),
                    list_nanos: Nanos(columns.next()?),
                })
            })
            .collect()
    }

    /// Lists how the budgets of agents, of providers and of all stand.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn budget_sums(&self) -> Result<Vec<BudgetSum>, Error> {
        let rows = self.rows(&BUDGET_SUMS, &[&LIMIT]).await?;
        rows.iter()
            .map(|row| {
                let mut columns = Columns::of(row, BUDGET_SUMS.name);
                Ok(BudgetSum {
                    scope: columns.next()?,
                    name: columns.next()?,
                    period: columns.next()?,
                    limit: Nanos(columns.next()?),
                    spent: Nanos(columns.next()?),
                    reserved: Nanos(columns.next()?),
                })
            })
            .collect()
    }
}
