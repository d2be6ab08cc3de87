//! Tasks that wait for a person, for money, or for a provider: put aside, and queued again.

use crate::{
    connect::Store,
    error::Error,
    finish::{End, Finished, Outcome},
    row::Columns,
    statement::{BUDGET_ROOM, Statement, TASK_UNHOLD},
    sweep::Name,
};
use domain::{money::Nanos, task::HeldFor};
use std::time::Duration;
use tokio_postgres::Row;
use uuid::Uuid;

/// Why an attempt ends held, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// What the task waits for.
    pub held_for: HeldFor,
    /// Whom it was to be asked of.
    pub provider: Option<String>,
    /// What it asked for; nothing when it does not wait for money.
    pub nanos: Nanos,
    /// One plain sentence for people: what is missing and how to go on. Shown as the task's progress.
    pub reason: String,
    /// After that time it is queued again by itself; `None`: somebody has to.
    pub until: Option<Duration>,
}

/// An attempt that ends held without having cost anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The task and the attempt.
    pub task: (Uuid, i32),
    /// Why.
    pub hold: Hold,
}

/// What is queued again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release<'a> {
    /// Whatever waits for money and fits by now, in the order of the ids.
    Budgets,
    /// Whatever waits for the provider of that name.
    Blackout(&'a str),
}

impl Store {
    /// Moves attempts from in_progress to held and returns those that moved. What was set aside for them is free.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn hold(&self, held: &[Held]) -> Result<Vec<Finished>, Error> {
        let outcome = |one: &Held| {
            let (id, attempt) = one.task;
            Outcome::plain(id, Uuid::nil(), Some(attempt), End::Held(one.hold.clone()))
        };
        self.finish(&held.iter().map(outcome).collect::<Vec<_>>()).await
    }

    /// Queues held tasks again and names them: announce them.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn unhold(&self, release: &Release<'_>) -> Result<Vec<Name>, Error> {
        match release {
            Release::Budgets => names(&self.rows(&BUDGET_ROOM, &[]).await?, &BUDGET_ROOM),
            Release::Blackout(provider) => names(&self.rows(&TASK_UNHOLD, &[provider]).await?, &TASK_UNHOLD),
        }
    }
}

fn names(rows: &[Row], statement: &Statement) -> Result<Vec<Name>, Error> {
    let mut names = Vec::with_capacity(rows.len());
    for row in rows {
        let mut columns = Columns::of(row, statement.name);
        names.push(Name {
            id: columns.next()?,
            root_id: columns.next()?,
            kind: columns.word()?,
            pace: columns.word()?,
            traceparent: columns.next()?,
            priority: columns.priority()?,
        });
    }
    // Whoever waited longest goes first.
    names.sort_unstable_by_key(|name| (std::cmp::Reverse(name.priority), name.id));
    Ok(names)
}
