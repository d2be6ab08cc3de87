//! What people ask about a task: where it stands, what it brought, what an event says. Never changes a row.

use crate::{
    connect::Store,
    error::Error,
    row::Columns,
    statement::{REPORT_FIND, TASK_NAMES, TASK_STATUS, TREE_RESULTS},
};
use domain::{
    money::Nanos,
    task::{Failure, Kind, State},
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
        }))
    }

    /// Reads what a task brought and, if it is a root, its tree after it; empty when there is no such task.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn results(&self, id: Uuid) -> Result<Vec<TaskResult>, Error> {
        self.rows(&TREE_RESULTS, &[&id]).await?.iter().map(result).collect()
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

    /// Reads what events say about tasks, in id order.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn names(&self, ids: &[Uuid]) -> Result<Vec<EventRow>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.rows(&TASK_NAMES, &[&ids]).await?.iter().map(event).collect()
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
    })
}
