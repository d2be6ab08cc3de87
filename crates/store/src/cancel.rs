//! Ending an order early, and beginning it again.

use crate::{
    connect::Store,
    error::Error,
    row::Columns,
    statement::{ROOT_RETRY, TASK_CANCEL, TREE_LOCK},
    text,
};
use domain::task::{Kind, Priority, State};
use uuid::Uuid;

/// What became of a cancellation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancelled {
    /// The task and whatever was alive below it.
    Done {
        /// The order. When it is not among the ids, the children's end is to be settled: announce it.
        root_id: Uuid,
        /// What was cancelled.
        ids: Vec<Uuid>,
    },
    /// It had ended.
    AlreadyEnded {
        /// How.
        state: State,
    },
    /// There is no such task.
    Unknown,
}

/// A root that begins again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retried {
    /// The root.
    pub id: Uuid,
    /// Who performs it.
    pub kind: Kind,
    /// Where it stands: pending, or queued on the board.
    pub state: State,
    /// Which lane it takes.
    pub priority: Priority,
    /// The trace it belongs to.
    pub traceparent: Option<String>,
}

/// What became of a retry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retry {
    /// It begins again: announce it.
    Retried(Retried),
    /// It is alive, or completed: there is nothing to try again.
    NotEnded {
        /// Where it stands.
        state: State,
    },
    /// It is a child; only its order can be tried again.
    NotRoot {
        /// The order.
        root_id: Uuid,
    },
    /// There is no such task.
    Unknown,
}

impl Store {
    /// Cancels a task with whatever is alive below it. One round trip.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn cancel(&self, id: Uuid, reason: &str) -> Result<Cancelled, Error> {
        let reason = text::clean(reason);
        let rows =
            self.together(TASK_CANCEL.name, "begin", &[(&TREE_LOCK, &[&id]), (&TASK_CANCEL, &[&id, &reason])]).await?;
        let Some(row) = rows.last().and_then(|rows| rows.first()) else { return Ok(Cancelled::Unknown) };
        let mut columns = Columns::of(row, TASK_CANCEL.name);
        let (root_id, state): (Uuid, State) = (columns.next()?, columns.word()?);
        let ids: Vec<Uuid> = columns.next()?;
        if !ids.is_empty() {
            return Ok(Cancelled::Done { root_id, ids });
        }
        // A child may end between the statement's look and its lock.
        let state = if state.is_terminal() { state } else { self.status(id).await?.map_or(state, |now| now.state) };
        Ok(Cancelled::AlreadyEnded { state })
    }

    /// Moves a failed or cancelled root back to its beginning; its next advance sees which children to reset.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn retry(&self, root: Uuid) -> Result<Retry, Error> {
        if let Some(row) = self.row(&ROOT_RETRY, &[&root]).await? {
            let mut columns = Columns::of(&row, ROOT_RETRY.name);
            return Ok(Retry::Retried(Retried {
                id: columns.next()?,
                kind: columns.word()?,
                state: columns.word()?,
                priority: columns.priority()?,
                traceparent: columns.next()?,
            }));
        }
        Ok(match self.status(root).await? {
            None => Retry::Unknown,
            Some(status) if status.root_id != root => Retry::NotRoot { root_id: status.root_id },
            Some(status) => Retry::NotEnded { state: status.state },
        })
    }
}
