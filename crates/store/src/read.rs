//! What people ask about a task: where it stands, what it brought, what an event says. Never changes a row.

use crate::{
    connect::Store,
    error::Error,
    row::{Columns, readable},
    statement::{REPORT_FIND, TASK_NAMES, TASK_STATUS, TREE_RESULTS},
};
use domain::{
    money::Nanos,
    pace::Pace,
    task::{Failure, HeldFor, Kind, State},
};
use serde_json::Value;
use time::OffsetDateTime;
use tokio_postgres::Row;
use uuid::Uuid;

/// Where a task stands.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the columns of the schema under their own names; DESIGN §2 has the words")]
pub struct Status {
    pub id: Uuid,
    pub root_id: Uuid,
    pub kind: Kind,
    pub state: State,
    pub agent: Option<String>,
    pub progress: Option<String>,
    /// Why it ended badly.
    pub failure: Option<Failure>,
    pub not_before: Option<OffsetDateTime>,
    pub ended_at: Option<OffsetDateTime>,
    /// How many of a root's children have ended.
    pub done: i64,
    /// How many children a root has.
    pub total: i64,
    pub pace: Pace,
    /// Why the pace is what it is, when that is not what was ordered.
    pub pace_reason: Option<String>,
    /// What it waits for, when it is held.
    pub held_for: Option<HeldFor>,
    /// How much money it asked for, when it is held.
    pub held_nanos: Option<Nanos>,
}

/// What a task brought.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the columns of the schema under their own names; DESIGN §2 has the words")]
pub struct TaskResult {
    pub id: Uuid,
    pub parent_id: Option<Uuid>,
    pub step: Option<String>,
    pub item: Option<i32>,
    pub kind: Kind,
    pub state: State,
    pub agent: Option<String>,
    pub title: String,
    /// Why it ended badly.
    pub failure: Option<Failure>,
    pub model: Option<String>,
    pub emulated: bool,
    /// An object with `text`, and what its kind adds.
    pub result: Option<Value>,
    pub pace: Pace,
    /// Its cost; a root's is that of its tree.
    pub nanos: Nanos,
    /// What the same would have cost at pace now.
    pub list_nanos: Nanos,
}

/// The result of an order.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The order.
    pub root_id: Uuid,
    /// The order's title.
    pub title: String,
    /// The text.
    pub markdown: String,
    /// When it was filed.
    pub created_at: OffsetDateTime,
    /// Whether an emulated answer went into it.
    pub emulated: bool,
}

/// What an event says about a task.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the columns of the schema under their own names; DESIGN §2 has the words")]
pub struct EventRow {
    pub id: Uuid,
    pub root_id: Uuid,
    pub parent_id: Option<Uuid>,
    pub kind: Kind,
    pub state: State,
    pub step: Option<String>,
    pub item: Option<i32>,
    pub agent: Option<String>,
    pub title: String,
    /// Why it ended badly, or what it reports.
    pub reason: Option<String>,
    pub emulated: bool,
    /// Its own cost.
    pub nanos: Nanos,
    /// What the same would have cost at pace now.
    pub list_nanos: Nanos,
    pub pace: Pace,
    /// What it waits for, when it is held.
    pub held_for: Option<HeldFor>,
    /// How much money it asked for, when it is held.
    pub held_nanos: Option<Nanos>,
}

impl Store {
    /// Reads where a task stands.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn status(&self, id: Uuid) -> Result<Option<Status>, Error> {
        let Some(row) = self.row(&TASK_STATUS, &[&id]).await? else { return Ok(None) };
        let mut columns = Columns::of(&row, TASK_STATUS.name);
        Ok(Some(Status {
            id: columns.next()?,
            root_id: columns.next()?,
            kind: columns.word()?,
            state: columns.word()?,
            agent: columns.next()?,
            progress: columns.next()?,
            failure: columns.failure()?,
            not_before: columns.next()?,
            ended_at: columns.next()?,
            done: columns.next()?,
            total: columns.next()?,
            pace: columns.word()?,
            pace_reason: columns.next()?,
            held_for: columns.optional_word()?,
            held_nanos: columns.next::<Option<i64>>()?.map(Nanos),
        }))
    }

    /// Reads what a task brought and, if it is a root, its tree after it; empty when there is no such task.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn results(&self, id: Uuid) -> Result<Vec<TaskResult>, Error> {
        let rows = self.rows(&TREE_RESULTS, &[&id]).await?;
        let Some((first, rows)) = rows.split_first() else { return Ok(Vec::new()) };
        let mut results = vec![result(first)?];
        results.extend(readable(rows, result));
        if let [task, parts @ ..] = results.as_mut_slice() {
            for part in parts {
                task.nanos += part.nanos;
                task.list_nanos += part.list_nanos;
            }
        }
        Ok(results)
    }

    /// Reads the report of an order.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn report(&self, root: Uuid) -> Result<Option<Report>, Error> {
        let Some(row) = self.row(&REPORT_FIND, &[&root]).await? else { return Ok(None) };
        let mut columns = Columns::of(&row, REPORT_FIND.name);
        Ok(Some(Report {
            root_id: columns.next()?,
            title: columns.next()?,
            markdown: columns.next()?,
            created_at: columns.next()?,
            emulated: columns.next()?,
        }))
    }

    /// Reads what events say about tasks, in id order; a row that cannot be read is left out.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn names(&self, ids: &[Uuid]) -> Result<Vec<EventRow>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        Ok(readable(&self.rows(&TASK_NAMES, &[&ids]).await?, event))
    }
}

fn result(row: &Row) -> Result<TaskResult, Error> {
    let mut columns = Columns::of(row, TREE_RESULTS.name);
    Ok(TaskResult {
        id: columns.next()?,
        parent_id: columns.next()?,
        step: columns.next()?,
        item: columns.next()?,
        kind: columns.word()?,
        state: columns.word()?,
        agent: columns.next()?,
        title: columns.next()?,
        failure: columns.failure()?,
        model: columns.next()?,
        emulated: columns.next()?,
        result: columns.next()?,
        pace: columns.word()?,
        nanos: Nanos(columns.next()?),
        list_nanos: Nanos(columns.next()?),
    })
}

fn event(row: &Row) -> Result<EventRow, Error> {
    let mut columns = Columns::of(row, TASK_NAMES.name);
    Ok(EventRow {
        id: columns.next()?,
        root_id: columns.next()?,
        parent_id: columns.next()?,
        kind: columns.word()?,
        state: columns.word()?,
        step: columns.next()?,
        item: columns.next()?,
        agent: columns.next()?,
        title: columns.next()?,
        reason: columns.next()?,
        emulated: columns.next()?,
        nanos: Nanos(columns.next()?),
        list_nanos: Nanos(columns.next()?),
        pace: columns.word()?,
        held_for: columns.optional_word()?,
        held_nanos: columns.next::<Option<i64>>()?.map(Nanos),
    })
}
