//! Claiming tasks and keeping them: one winner for each, for the time of a lease.

use crate::{
    connect::Store,
    error::Error,
    finish::{End, Outcome},
    row::Columns,
    statement::{TASK_CLAIM, TASK_RENEW},
    text,
};
use domain::{
    advance::Work,
    pace::Pace,
    task::{Cause, Failure, Kind, Priority},
};
use std::time::Duration;
use time::OffsetDateTime;
use tokio_postgres::Row;
use uuid::Uuid;

/// A task that the caller alone performs, until its lease runs out.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// The task.
    pub id: Uuid,
    /// Its order.
    pub root_id: Uuid,
    /// Which try this is, from 1; the outcome must carry it.
    pub attempt: i32,
    /// Who performs it.
    pub agent: Option<String>,
    /// How fast the answer must come.
    pub pace: Pace,
    /// What people read.
    pub title: String,
    /// The step of the playbook.
    pub step: Option<String>,
    /// What is to be done.
    pub work: Work,
    /// The trace it belongs to.
    pub traceparent: Option<String>,
    /// When the order's report must be there.
    pub deadline: Option<OffsetDateTime>,
    /// Among other tasks.
    pub priority: Priority,
    /// How often the order has made this very ask, this attempt included; see [`domain::advance::looped`].
    pub asked: i64,
    /// Whether there is any budget: only then is [`Store::budget_reserve`] to be asked.
    pub budgeted: bool,
    /// Whether there is any blackout: only then is one to be looked for.
    pub blackouts: bool,
}

impl Store {
    /// Claims those of the tasks that are queued and due, the most urgent first. What is not returned was claimed
    /// by someone else, ended, or postponed.
    ///
    /// `durable`: the claim survives a crash of Postgres, so the task cannot start twice. Without it the claim is
    /// committed without waiting for the disk.
    ///
    /// A task whose row this version cannot read fails and says so; the sweep tells its order.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn claim(
        &self,
        ids: &[Uuid],
        kind: Kind,
        worker: &str,
        lease: Duration,
        durable: bool,
    ) -> Result<Vec<Claimed>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let lease = text::milliseconds(lease);
        let rows = self.rows(&TASK_CLAIM, &[&ids, &kind.as_str(), &worker, &lease, &durable]).await?;
        let mut claimed = Vec::with_capacity(rows.len());
        let mut unreadable = Vec::new();
        for row in &rows {
            match read(row) {
                Ok(task) => claimed.push(task),
                Err(error) => unreadable.extend(refused(row, &error)),
            }
        }
        if !unreadable.is_empty()
            && let Err(error) = self.finish(&unreadable).await
        {
            // Their leases run out, and they come again.
            tracing::warn!(%error, "tasks that cannot be read could not be ended");
        }
        claimed.sort_by_key(|task| (std::cmp::Reverse(task.priority), task.id));
        Ok(claimed)
    }

    /// Extends leases and returns the tasks that the worker still holds; the others were ended or taken away.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn renew(&self, worker: &str, held: &[(Uuid, i32)], lease: Duration) -> Result<Vec<Uuid>, Error> {
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let (ids, attempts): (Vec<Uuid>, Vec<i32>) = held.iter().copied().unzip();
        let rows = self.rows(&TASK_RENEW, &[&ids, &attempts, &worker, &text::milliseconds(lease)]).await?;
        rows.iter().map(|row| Columns::of(row, TASK_RENEW.name).next()).collect()
    }
}

fn read(row: &Row) -> Result<Claimed, Error> {
    let mut columns = Columns::of(row, TASK_CLAIM.name);
    let id: Uuid = columns.next()?;
    let mut claimed = Claimed {
        id,
        root_id: columns.next()?,
        attempt: columns.next()?,
        agent: columns.next()?,
        pace: columns.word()?,
        title: columns.next()?,
        step: columns.next()?,
        work: columns.document()?.ok_or_else(|| Error::Unreadable {
            statement: TASK_CLAIM.name,
            problem: format!("task {id} is queued without work"),
        })?,
        traceparent: columns.next()?,
        deadline: columns.next()?,
        priority: columns.priority()?,
        asked: i64::from(columns.next::<i32>()?),
        budgeted: columns.next()?,
        blackouts: columns.next()?,
    };
    if let Work::Ask(ask) = &claimed.work {
        claimed.asked += i64::from(ask.twins);
    }
    Ok(claimed)
}

/// Ends a task that cannot be read: claimed again after every lease, it would never end.
fn refused(row: &Row, error: &Error) -> Option<Outcome> {
    let mut columns = Columns::of(row, TASK_CLAIM.name);
    let (id, root_id, attempt): (Uuid, Uuid, i32) = (columns.next().ok()?, columns.next().ok()?, columns.next().ok()?);
    tracing::error!(%error, task = %id, "a claimed task cannot be read and fails");
    let reason = "This version of Chavion cannot read what is to be done here; the log says why.";
    let end = End::Failed(Failure::new(Cause::Internal, reason));
    Some(Outcome::plain(id, root_id, Some(attempt), end))
}
