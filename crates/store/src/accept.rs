//! Accepting an order: the root task and the answer for its idempotency key, in one statement.

use crate::{
    connect::Store,
    error::Error,
    idempotency::{Idempotency, Replay},
    row::Columns,
    statement::{PLAYBOOK_NAMES, TASK_ACCEPT},
    text,
};
use domain::{order::Order, task::Kind};
use serde_json::Value;
use uuid::Uuid;

/// An order to be kept.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// The root task's id, v7. The same id is accepted once.
    pub id: Uuid,
    /// What was ordered; with a playbook it becomes a `plan`, without one an `open` task on the board.
    pub order: Order,
    /// The name of the key it came with.
    pub created_by: String,
    /// The trace it belongs to.
    pub traceparent: Option<String>,
    /// Present when the request carried a key.
    pub idempotency: Option<Idempotency>,
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq)]
pub enum Accepted {
    /// It is kept: announce it.
    Created,
    /// The same request was answered before.
    Replayed {
        /// The status it was answered with.
        status: u16,
        /// The body it was answered with.
        body: Value,
        /// The root task of the first request.
        task_id: Option<Uuid>,
    },
    /// The key was used for another request.
    KeyReused,
    /// No current playbook has that name.
    UnknownPlaybook {
        /// The names that would have been right.
        known: Vec<String>,
    },
}

impl Store {
    /// Keeps an order, in one round trip when nothing speaks against it.
    ///
    /// # Errors
    /// [`Error::Nul`] when a text cannot be kept; otherwise when the database cannot be asked. After a transient
    /// error the same call is safe.
    pub async fn accept(&self, task: &NewTask) -> Result<Accepted, Error> {
        if self.insert(task).await? {
            return Ok(Accepted::Created);
        }
        if let Some(key) = &task.idempotency {
            match self.replay(key.key_id, &key.key, &key.request_hash).await? {
                Replay::Stored { status, body, task_id } => {
                    return Ok(Accepted::Replayed { status, body, task_id });
                }
                Replay::KeyReused => return Ok(Accepted::KeyReused),
                Replay::Unknown => {}
            }
        }
        if let Some(playbook) = &task.order.playbook {
            let known = self.playbook_names().await?;
            if !known.contains(playbook) {
                return Ok(Accepted::UnknownPlaybook { known });
            }
        }
        // Either the id is there already, for this very call was committed before and its answer was lost; or the
        // playbook became current a moment ago, and then it is there now.
        if self.insert(task).await? || self.status(task.id).await?.is_some() {
            return Ok(Accepted::Created);
        }
        Ok(Accepted::UnknownPlaybook { known: self.playbook_names().await? })
    }

    async fn insert(&self, task: &NewTask) -> Result<bool, Error> {
        let order = &task.order;
        text::check("title", &order.title)?;
        text::check("description", &order.description)?;
        text::check("playbook", order.playbook.as_deref().unwrap_or_default())?;
        text::check("created_by", &task.created_by)?;
        text::check("traceparent", task.traceparent.as_deref().unwrap_or_default())?;
        for agent in &order.agents {
            text::check("agents", agent)?;
        }
        let kind = if order.playbook.is_some() { Kind::Plan } else { Kind::Open };
        let deliver = text::json(TASK_ACCEPT.name, &order.deliver)?;
        let key = task.idempotency.as_ref();
        if let Some(key) = key {
            text::check("the idempotency key", &key.key)?;
        }
        let body = key.map(|key| text::json(TASK_ACCEPT.name, &key.body)).transpose()?;
        let row = self
            .row(
                &TASK_ACCEPT,
                &[
                    &task.id,
                    &kind.as_str(),
                    &order.title,
                    &order.description,
                    &order.priority.rank(),
                    &order.playbook,
                    &order.pace.as_str(),
                    &order.deadline,
                    &deliver,
                    &order.agents,
                    &task.created_by,
                    &task.traceparent,
                    &key.map(|key| key.key_id),
                    &key.map(|key| key.key.as_str()),
                    &key.map(|key| key.request_hash.as_slice()),
                    &key.map(|key| i32::from(key.status)),
                    &body,
                    &order.budget.map(|budget| budget.0),
                ],
            )
            .await?;
        Ok(row.is_some())
    }

    async fn playbook_names(&self) -> Result<Vec<String>, Error> {
        let rows = self.rows(&PLAYBOOK_NAMES, &[]).await?;
        rows.iter().map(|row| Columns::of(row, PLAYBOOK_NAMES.name).next()).collect()
    }
}
