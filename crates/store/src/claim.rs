//! Claiming tasks and keeping them: one winner for each, for the time of a lease.

use crate::{
    connect::Store,
    error::Error,
    row::Columns,
    statement::{TASK_CLAIM, TASK_RENEW},
    text,
};
use domain::{
    advance::Work,
    pace::Pace,
    task::{Kind, Priority},
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
}

impl Store {
    /// Claims those of the tasks that are queued and due, the most urgent first. What is not returned was claimed
    /// by someone else, ended, or postponed.
    ///
    /// `durable`: the claim survives a crash of Postgres, so the task cannot start twice. Without it the claim is
    /// committed without waiting for the disk.
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
        for row in &rows {
            match read(row) {
                Ok(task) => claimed.push(task),
                // The others of the slice must not wait for it; its lease runs out, and a replica that
                // understands it may come by.
                Err(error) => tracing::error!(%error, "a claimed task cannot be read"),
            }
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
    Ok(Claimed {
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
    })
}
