//! Money set aside before it is spent. Refuses to estimate: the amounts are handed in.
//!
//! A budget's row is locked while it is changed, in the order of the keys, so that what is spent and what is set aside
//! never exceed a limit, however many replicas spend. Triggers on charges and reservations keep both sums true.

use crate::{
    connect::Store,
    error::Error,
    row::Columns,
    statement::{BUDGET_MEND, BUDGET_RELEASE, BUDGET_RESERVE},
};
use domain::money::Nanos;
use tokio_postgres::Row;
use uuid::Uuid;

/// Money that an ask is about to spend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The task and the attempt.
    pub task: (Uuid, i32),
    /// Its order.
    pub root_id: Uuid,
    /// Who asks.
    pub agent: Option<String>,
    /// Who is to answer.
    pub provider: String,
    /// The most that it may cost.
    pub nanos: Nanos,
}

/// An ask for which there is not money enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The task and the attempt.
    pub task: (Uuid, i32),
    /// Of the budgets that refuse it, the one with the least left: `order`, `agent`, `provider` or `all`.
    pub scope: String,
    /// The order's id, or the name of the agent or provider; `all`.
    pub name: String,
    /// `total` or `day`.
    pub period: String,
    /// The budget's limit.
    pub limit: Nanos,
    /// What is neither spent nor set aside.
    pub left: Nanos,
    /// What was asked for.
    pub asked: Nanos,
}

impl Refusal {
    /// Tells whether waiting helps: tomorrow (UTC) the budget begins anew.
    #[must_use]
    pub fn ends_with_the_day(&self) -> bool {
        self.period == "day"
    }

    /// Says for people what is missing and how to go on.
    #[must_use]
    pub fn reason(&self) -> String {
        let whose = match self.scope.as_str() {
            "order" => "the order".to_owned(),
            "all" => "everything".to_owned(),
            scope => format!("the {scope} {}", self.name),
        };
        let (day, anew) =
            if self.ends_with_the_day() { (" of today", ", or wait for tomorrow (UTC)") } else { ("", "") };
        let enough = Nanos(self.limit.0.saturating_add(self.asked.0.saturating_sub(self.left.0)));
        format!(
            "It may cost {}, and of the budget{day} of {} for {whose} only {} is left; raise it to at least {enough} to go on{anew}.",
            self.asked, self.limit, self.left,
        )
    }
}

impl Store {
    /// Sets money aside for asks, in their order, and returns those for which there is not enough; the others may be
    /// performed. True across replicas; asked again for the same attempt it sets nothing more aside.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn budget_reserve(&self, wanted: &[Wanted]) -> Result<Vec<Refusal>, Error> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let (ids, attempts): (Vec<Uuid>, Vec<i32>) = wanted.iter().map(|one| one.task).unzip();
        let roots: Vec<Uuid> = wanted.iter().map(|one| one.root_id).collect();
        let agents: Vec<Option<&str>> = wanted.iter().map(|one| one.agent.as_deref()).collect();
        let providers: Vec<&str> = wanted.iter().map(|one| one.provider.as_str()).collect();
        let amounts: Vec<i64> = wanted.iter().map(|one| one.nanos.0.max(0)).collect();
        let rows = self.rows(&BUDGET_RESERVE, &[&ids, &attempts, &roots, &agents, &providers, &amounts]).await?;
        rows.iter().map(refusal).collect()
    }

    /// Sets nothing aside any more for attempts that end without a charge. ([`Store::finish`] does so by itself.)
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn budget_release(&self, attempts: &[(Uuid, i32)]) -> Result<(), Error> {
        if attempts.is_empty() {
            return Ok(());
        }
        let (ids, attempts): (Vec<Uuid>, Vec<i32>) = attempts.iter().copied().unzip();
        self.rows(&BUDGET_RELEASE, &[&ids, &attempts]).await.map(drop)
    }

    /// Finds money set aside for attempts that are over and said nothing, and sets it free.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn budget_mend(&self) -> Result<(), Error> {
        self.rows(&BUDGET_MEND, &[]).await.map(drop)
    }
}

/// Reads a refusal from the first columns.
pub(crate) fn refusal(row: &Row) -> Result<Refusal, Error> {
    let mut columns = Columns::of(row, BUDGET_RESERVE.name);
    Ok(Refusal {
        task: (columns.next()?, columns.next()?),
        scope: columns.next()?,
        name: columns.next()?,
        period: columns.next()?,
        limit: Nanos(columns.next()?),
        left: Nanos(columns.next()?),
        asked: Nanos(columns.next()?),
    })
}
