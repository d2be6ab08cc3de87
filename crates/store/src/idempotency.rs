//! Answers that are given again for the same key. Refuses to know what was asked: a hash stands for it.

use crate::{
    connect::Store,
    error::Error,
    row::Columns,
    statement::{IDEMPOTENCY_FIND, IDEMPOTENCY_PUT},
    text,
};
use serde_json::Value;
use uuid::Uuid;

/// A key that came with a request, and what is to be answered whenever it comes again.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// The API key it came with; two of them may use the same word.
    pub key_id: Uuid,
    /// The key's word.
    pub key: String,
    /// The hash of the request.
    pub request_hash: Vec<u8>,
    /// The HTTP status of the answer.
    pub status: u16,
    /// The body of the answer.
    pub body: Value,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Replay {
    /// Nothing.
    Unknown,
    /// The same request was answered.
    Stored {
        /// The status it was answered with.
        status: u16,
        /// The body it was answered with.
        body: Value,
        /// The task that was made, if one was.
        task_id: Option<Uuid>,
    },
    /// Another request was answered.
    KeyReused,
}

impl Store {
    /// Finds what was answered to a key.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn replay(&self, key_id: Uuid, key: &str, request_hash: &[u8]) -> Result<Replay, Error> {
        text::check("the idempotency key", key)?;
        let Some(row) = self.row(&IDEMPOTENCY_FIND, &[&key_id, &key]).await? else { return Ok(Replay::Unknown) };
        let mut columns = Columns::of(&row, IDEMPOTENCY_FIND.name);
        if columns.next::<&[u8]>()? != request_hash {
            return Ok(Replay::KeyReused);
        }
        Ok(Replay::Stored {
            status: u16::try_from(columns.next::<i32>()?).unwrap_or(500),
            body: columns.next()?,
            task_id: columns.next()?,
        })
    }

    /// Keeps an answer for a key and returns whether it was the first.
    ///
    /// # Errors
    /// When the database cannot be asked, or a text holds NUL.
    pub async fn remember(&self, answer: &Idempotency, task_id: Option<Uuid>) -> Result<bool, Error> {
        text::check("the idempotency key", &answer.key)?;
        let body = text::json(IDEMPOTENCY_PUT.name, &answer.body)?;
        let status = i32::from(answer.status);
        let row = self
            .row(&IDEMPOTENCY_PUT, &[&answer.key_id, &answer.key, &answer.request_hash, &task_id, &status, &body])
            .await?;
        Ok(row.is_some())
    }
}
