//! Whole tasks, with what they cost: one, or a tree. Never changes a row.

use crate::{
    connect::Store,
    error::Error,
    row::{Columns, readable},
    statement::{TASK_FIND, TASK_TREE},
};
use domain::{
    money::{Nanos, Usage},
    order::Deliver,
    pace::Pace,
    task::{Failure, HeldFor, Kind, Priority, State},
};
use time::OffsetDateTime;
use tokio_postgres::Row;
use uuid::Uuid;

/// A task, without its work and its result.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the columns of the schema under their own names; DESIGN §2 has the words")]
pub struct Task {
    pub id: Uuid,
    pub root_id: Uuid,
    pub parent_id: Option<Uuid>,
    pub step: Option<String>,
    pub item: Option<i32>,
    pub kind: Kind,
    pub state: State,
    pub priority: Priority,
    pub title: String,
    pub description: String,
    pub agent: Option<String>,
    pub pace: Pace,
    pub deadline: Option<OffsetDateTime>,
    pub playbook: Option<String>,
    pub deliver: Vec<Deliver>,
    pub agents: Vec<String>,
    /// Why it ended badly.
    pub failure: Option<Failure>,
    pub progress: Option<String>,
    pub attempt: i32,
    pub worker: Option<String>,
    pub model: Option<String>,
    pub emulated: bool,
    pub traceparent: Option<String>,
    pub created_by: Option<String>,
    pub created_at: OffsetDateTime,
    pub queued_at: Option<OffsetDateTime>,
    pub not_before: Option<OffsetDateTime>,
    pub started_at: Option<OffsetDateTime>,
    pub ended_at: Option<OffsetDateTime>,
    /// Tokens; a root's are those of its tree.
    pub usage: Usage,
    /// Money; a root's is that of its tree.
    pub nanos: Nanos,
    /// How many charges that is.
    pub calls: i64,
    /// What the same would have cost at pace now; a root's is that of its tree.
    pub list_nanos: Nanos,
    /// Why the pace is what it is, when that is not what was ordered.
    pub pace_reason: Option<String>,
    /// What it waits for, when it is held.
    pub held_for: Option<HeldFor>,
    /// How much money it asked for, when it is held.
    pub held_nanos: Option<Nanos>,
    /// Whom it was to be asked of, when it is held.
    pub held_provider: Option<String>,
    /// The most that a root may cost.
    pub budget: Option<Nanos>,
}

impl Task {
    /// Returns how long it was queued before it started, in milliseconds.
    #[must_use]
    pub fn waited_ms(&self) -> Option<i64> {
        milliseconds(self.queued_at?, self.started_at?)
    }

    /// Returns how long it ran, in milliseconds; for a root, since it was ordered.
    #[must_use]
    pub fn ran_ms(&self) -> Option<i64> {
        let from = if self.parent_id.is_none() { self.created_at } else { self.started_at? };
        milliseconds(from, self.ended_at?)
    }
}

impl Store {
    /// Reads one task.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn task(&self, id: Uuid) -> Result<Option<Task>, Error> {
        self.row(&TASK_FIND, &[&id]).await?.map(|row| read(&row, TASK_FIND.name)).transpose()
    }

    /// Reads a root and its tree, the root first; empty when there is no such root.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn tree(&self, root: Uuid) -> Result<Vec<Task>, Error> {
        let rows = self.rows(&TASK_TREE, &[&root]).await?;
        let Some((first, rows)) = rows.split_first() else { return Ok(Vec::new()) };
        let mut tree = vec![read(first, TASK_TREE.name)?];
        tree.extend(readable(rows, |row| read(row, TASK_TREE.name)));
        if let [root, children @ ..] = tree.as_mut_slice() {
            for child in children {
                add(&mut root.usage, child.usage);
                root.nanos.0 += child.nanos.0;
                root.list_nanos.0 += child.list_nanos.0;
                root.calls += child.calls;
            }
        }
        Ok(tree)
    }
}

/// Reads a row of the statements that read whole tasks.
pub(crate) fn read(row: &Row, statement: &'static str) -> Result<Task, Error> {
    let mut columns = Columns::of(row, statement);
    Ok(Task {
        id: columns.next()?,
        root_id: columns.next()?,
        parent_id: columns.next()?,
        step: columns.next()?,
        item: columns.next()?,
        kind: columns.word()?,
        state: columns.word()?,
        priority: columns.priority()?,
        title: columns.next()?,
        description: columns.next()?,
        agent: columns.next()?,
        pace: columns.word()?,
        deadline: columns.next()?,
        playbook: columns.next()?,
        deliver: columns.document()?.unwrap_or_default(),
        agents: columns.next::<Option<Vec<String>>>()?.unwrap_or_default(),
        failure: columns.failure()?,
        progress: columns.next()?,
        attempt: columns.next()?,
        worker: columns.next()?,
        model: columns.next()?,
        emulated: columns.next()?,
        traceparent: columns.next()?,
        created_by: columns.next()?,
        created_at: columns.next()?,
        queued_at: columns.next()?,
        not_before: columns.next()?,
        started_at: columns.next()?,
        ended_at: columns.next()?,
        usage: columns.usage()?,
        nanos: Nanos(columns.next()?),
        calls: columns.next()?,
        list_nanos: Nanos(columns.next()?),
        pace_reason: columns.next()?,
        held_for: columns.optional_word()?,
        held_nanos: columns.next::<Option<i64>>()?.map(Nanos),
        held_provider: columns.next()?,
        budget: columns.next::<Option<i64>>()?.map(Nanos),
    })
}

fn add(sum: &mut Usage, one: Usage) {
    sum.input += one.input;
    sum.cache_read += one.cache_read;
    sum.cache_write += one.cache_write;
    sum.cache_write_hour += one.cache_write_hour;
    sum.output += one.output;
}

fn milliseconds(from: OffsetDateTime, to: OffsetDateTime) -> Option<i64> {
    i64::try_from((to - from).whole_milliseconds()).ok()
}
