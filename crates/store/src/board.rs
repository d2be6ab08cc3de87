//! The board: open tasks that any agent may claim, and that the agent which has one alone may end.

use crate::{
    connect::Store,
    error::Error,
    run::Parameters,
    statement::{OPEN_CLAIM, OPEN_COMPLETE, OPEN_FAIL, OPEN_REPORT, Statement, TASK_FIND},
    task::{self, Task},
    text,
};
use domain::task::{Kind, State};
use futures_util::future::{join, try_join};
use serde_json::Value;
use std::time::Instant;
use uuid::Uuid;

/// What became of a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum ClaimedOpen {
    /// It is the caller's.
    Won(Box<Task>),
    /// Another one, or the caller before, has it.
    Taken {
        /// Who.
        by: String,
    },
    /// It is nothing that can be claimed.
    NotOpen {
        /// Where it stands.
        state: State,
        /// Who performs it.
        kind: Kind,
    },
    /// There is no such task.
    Unknown,
}

/// What became of a word from the agent that claimed.
#[derive(Debug, Clone, PartialEq)]
pub enum MovedOpen {
    /// It was taken in; this is the task now.
    Done(Box<Task>),
    /// Another agent has it.
    Taken {
        /// Who.
        by: String,
    },
    /// It is not in progress, or not of the board.
    NotOpen {
        /// Where it stands.
        state: State,
        /// Who performs it.
        kind: Kind,
    },
    /// There is no such task.
    Unknown,
}

impl Store {
    /// Claims an open task for an agent. One wins.
    ///
    /// # Errors
    /// When the database cannot be asked, or the name holds NUL.
    pub async fn claim_open(&self, id: Uuid, agent: &str) -> Result<ClaimedOpen, Error> {
        text::check("agent", agent)?;
        let (won, task) = self.move_open(&OPEN_CLAIM, &[&id, &agent], id).await?;
        Ok(match task {
            None => ClaimedOpen::Unknown,
            Some(task) if won => ClaimedOpen::Won(Box::new(task)),
            Some(Task { kind: Kind::Open, state: State::InProgress, agent: Some(by), .. }) => ClaimedOpen::Taken { by },
            Some(Task { kind, state, .. }) => ClaimedOpen::NotOpen { state, kind },
        })
    }

    /// Ends a claimed task well; the result's `text` is filed as the report.
    ///
    /// # Errors
    /// When the database cannot be asked, or the name holds NUL.
    pub async fn complete_open(&self, id: Uuid, agent: &str, result: &Value) -> Result<MovedOpen, Error> {
        text::check("agent", agent)?;
        let report = result.get("text").and_then(Value::as_str).map(text::clean);
        let result = text::json(OPEN_COMPLETE.name, result)?;
        self.speak_open(&OPEN_COMPLETE, &[&id, &agent, &result, &report], id, agent).await
    }

    /// Ends a claimed task badly.
    ///
    /// # Errors
    /// When the database cannot be asked, or the name holds NUL.
    pub async fn fail_open(&self, id: Uuid, agent: &str, reason: &str) -> Result<MovedOpen, Error> {
        text::check("agent", agent)?;
        self.speak_open(&OPEN_FAIL, &[&id, &agent, &text::clean(reason)], id, agent).await
    }

    /// Keeps what the agent says about its progress.
    ///
    /// # Errors
    /// When the database cannot be asked, or the name holds NUL.
    pub async fn report_open(&self, id: Uuid, agent: &str, progress: &str) -> Result<MovedOpen, Error> {
        text::check("agent", agent)?;
        self.speak_open(&OPEN_REPORT, &[&id, &agent, &text::clean(progress)], id, agent).await
    }

    async fn speak_open(
        &self,
        statement: &'static Statement,
        parameters: Parameters<'_>,
        id: Uuid,
        speaker: &str,
    ) -> Result<MovedOpen, Error> {
        let (moved, task) = self.move_open(statement, parameters, id).await?;
        Ok(match task {
            None => MovedOpen::Unknown,
            Some(task) if moved => MovedOpen::Done(Box::new(task)),
            Some(Task { kind: Kind::Open, state: State::InProgress, agent: Some(by), .. }) if by != speaker => {
                MovedOpen::Taken { by }
            }
            Some(Task { kind, state, .. }) => MovedOpen::NotOpen { state, kind },
        })
    }

    /// Runs a conditional move and reads the task after it, in one round trip.
    async fn move_open(
        &self,
        statement: &'static Statement,
        parameters: Parameters<'_>,
        id: Uuid,
    ) -> Result<(bool, Option<Task>), Error> {
        let client = self.client().await?;
        let started = Instant::now();
        let answers = async {
            let (mover, reader) =
                try_join(client.prepare_cached(statement.sql), client.prepare_cached(TASK_FIND.sql)).await?;
            let (moved, task) = join(client.query(&mover, parameters), client.query(&reader, &[&id])).await;
            Ok((moved?, task?))
        }
        .await
        .map_err(|error| Error::statement(statement.name, &error));
        let (moved, task) = self.metrics().observe(statement.name, started, answers)?;
        let task = task.first().map(|row| task::read(row, TASK_FIND.name)).transpose()?;
        Ok((!moved.is_empty(), task))
    }
}
