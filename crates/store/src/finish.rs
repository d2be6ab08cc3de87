//! Outcomes: how a performer's work ended, and what it cost. A charge is booked with the outcome or not at all.

use crate::{connect::Store, error::Error, held::Hold, row::Columns, statement::TASK_FINISH, text};
use domain::{
    money::{Nanos, Usage},
    pace::Pace,
    task::{Failure, State},
};
use serde_json::Value;
use std::borrow::Cow;
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

/// How a task ended for whoever performed it.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The task.
    pub id: Uuid,
    /// Its order.
    pub root_id: Uuid,
    /// The claimed attempt; `None`: the task is refused while it is queued, which only [`End::Failed`] can do.
    pub attempt: Option<i32>,
    /// How it ended.
    pub end: End,
    /// The model that answered, `provider/model`.
    pub model: Option<String>,
    /// Whether the emulator answered.
    pub emulated: bool,
    /// What it cost; booked once for each attempt.
    pub charge: Option<Charge>,
}

impl Outcome {
    /// Builds the outcome of a task that no model answered.
    #[must_use]
    pub fn plain(id: Uuid, root_id: Uuid, attempt: Option<i32>, end: End) -> Self {
        Self { id, root_id, attempt, end, model: None, emulated: false, charge: None }
    }
}

/// The end of one attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// It ended well.
    Completed {
        /// What it brought: an object with `text`, and `data` or the like.
        result: Value,
    },
    /// It ended badly.
    Failed(Failure),
    /// It is queued again.
    Again {
        /// How long it must wait, in milliseconds.
        not_before_ms: i64,
        /// Why; shown as its progress.
        reason: String,
    },
    /// It waits for somebody or something.
    Held(Hold),
}

/// What one attempt consumed and cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// Who asked.
    pub agent: Option<String>,
    /// Who answered.
    pub provider: String,
    /// With which model.
    pub model: String,
    /// How fast.
    pub pace: Pace,
    /// The tokens.
    pub usage: Usage,
    /// The money.
    pub nanos: Nanos,
    /// What the same tokens would have cost at pace now.
    pub list_nanos: Nanos,
    /// Whether it was the emulator's.
    pub emulated: bool,
}

/// A task that an outcome moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// The task.
    pub id: Uuid,
    /// Its order.
    pub root_id: Uuid,
    /// Where it stands now: completed, failed, held, or queued.
    pub state: State,
}

impl Store {
    /// Applies outcomes and returns the tasks that moved. The ended ones wait to be settled: announce them.
    /// What is not returned was cancelled, lost its lease, or had ended before.
    ///
    /// # Errors
    /// When the database cannot be asked; then nothing was applied, or (when the connection broke) all of it may
    /// have been, and the same call is safe.
    pub async fn finish(&self, outcomes: &[Outcome]) -> Result<Vec<Finished>, Error> {
        if outcomes.is_empty() {
            return Ok(Vec::new());
        }
        let outcomes = Outcomes::of(outcomes, false)?;
        let rows = self.rows(&TASK_FINISH, &outcomes.parameters()).await?;
        rows.iter().map(read).collect()
    }
}

/// Reads a row of the statement.
pub(crate) fn read(row: &Row) -> Result<Finished, Error> {
    let mut columns = Columns::of(row, TASK_FINISH.name);
    Ok(Finished { id: columns.next()?, root_id: columns.next()?, state: columns.word()? })
}

type OptionalTexts<'a> = Vec<Option<Cow<'a, str>>>;

/// Outcomes, column by column.
#[derive(Default)]
pub(crate) struct Outcomes<'a> {
    ids: Vec<Uuid>,
    attempts: Vec<Option<i32>>,
    states: Vec<&'static str>,
    results: Vec<Option<String>>,
    causes: Vec<Option<&'static str>>,
    reasons: OptionalTexts<'a>,
    delays: Vec<Option<i64>>,
    models: OptionalTexts<'a>,
    emulated: Vec<bool>,
    held_for: Vec<Option<&'static str>>,
    held_nanos: Vec<Option<i64>>,
    held_providers: OptionalTexts<'a>,
    settle: bool,
    charges: Charges<'a>,
}

#[derive(Default)]
struct Charges<'a> {
    ids: Vec<Uuid>,
    attempts: Vec<i32>,
    agents: Vec<Option<Cow<'a, str>>>,
    providers: Vec<Cow<'a, str>>,
    models: Vec<Cow<'a, str>>,
    paces: Vec<&'static str>,
    input: Vec<i64>,
    cache_read: Vec<i64>,
    cache_write: Vec<i64>,
    cache_write_hour: Vec<i64>,
    output: Vec<i64>,
    nanos: Vec<i64>,
    emulated: Vec<bool>,
    list_nanos: Vec<i64>,
}

impl<'a> Outcomes<'a> {
    /// Lays outcomes out. `settle`: the caller takes their ends in with the same transaction.
    pub(crate) fn of(outcomes: &'a [Outcome], settle: bool) -> Result<Self, Error> {
        let mut columns = Self { settle, ..Self::default() };
        for outcome in outcomes {
            columns.push(outcome)?;
        }
        Ok(columns)
    }

    fn push(&mut self, outcome: &'a Outcome) -> Result<(), Error> {
        let (state, result, cause, reason, delay) = match &outcome.end {
            End::Completed { result } => {
                (State::Completed, Some(text::json(TASK_FINISH.name, result)?), None, None, None)
            }
            End::Failed(failure) => {
                (State::Failed, None, Some(failure.cause.as_str()), Some(text::clean(&failure.reason)), None)
            }
            End::Again { not_before_ms, reason } => {
                (State::Queued, None, None, Some(text::clean(reason)), Some((*not_before_ms).max(0)))
            }
            End::Held(hold) => {
                (State::Held, None, None, Some(text::clean(&hold.reason)), hold.until.map(text::milliseconds))
            }
        };
        let hold = match &outcome.end {
            End::Held(hold) => Some(hold),
            _ => None,
        };
        self.held_for.push(hold.map(|hold| hold.held_for.as_str()));
        self.held_nanos.push(hold.map(|hold| hold.nanos.0).filter(|nanos| *nanos > 0));
        self.held_providers.push(hold.and_then(|hold| hold.provider.as_deref()).map(text::clean));
        self.ids.push(outcome.id);
        self.attempts.push(outcome.attempt);
        self.states.push(state.as_str());
        self.results.push(result);
        self.causes.push(cause);
        self.reasons.push(reason);
        self.delays.push(delay);
        self.models.push(outcome.model.as_deref().map(text::clean));
        self.emulated.push(outcome.emulated);
        if let (Some(charge), Some(attempt)) = (&outcome.charge, outcome.attempt) {
            self.charges.push(outcome.id, attempt, charge);
        }
        Ok(())
    }

    /// Returns the parameters of the statement.
    pub(crate) fn parameters(&self) -> [&(dyn ToSql + Sync); 27] {
        let charges = &self.charges;
        [
            &self.ids,
            &self.attempts,
            &self.states,
            &self.results,
            &self.causes,
            &self.reasons,
            &self.delays,
            &self.models,
            &self.emulated,
            &self.settle,
            &charges.ids,
            &charges.attempts,
            &charges.agents,
            &charges.providers,
            &charges.models,
            &charges.paces,
            &charges.input,
            &charges.cache_read,
            &charges.cache_write,
            &charges.cache_write_hour,
            &charges.output,
            &charges.nanos,
            &charges.emulated,
            &charges.list_nanos,
            &self.held_for,
            &self.held_nanos,
            &self.held_providers,
        ]
    }
}

impl<'a> Charges<'a> {
    fn push(&mut self, id: Uuid, attempt: i32, charge: &'a Charge) {
        self.ids.push(id);
        self.attempts.push(attempt);
        self.agents.push(charge.agent.as_deref().map(text::clean));
        self.providers.push(text::clean(&charge.provider));
        self.models.push(text::clean(&charge.model));
        self.paces.push(charge.pace.as_str());
        self.input.push(charge.usage.input);
        self.cache_read.push(charge.usage.cache_read);
        self.cache_write.push(charge.usage.cache_write);
        self.cache_write_hour.push(charge.usage.cache_write_hour);
        self.output.push(charge.usage.output);
        self.nanos.push(charge.nanos.0);
        self.emulated.push(charge.emulated);
        self.list_nanos.push(charge.list_nanos.0);
    }
}
