//! Batches for people: pages of them, one with its orders, what waits, how long they take, and what their master
//! wants of them. Refuses to work on one: it notes the wish, the batch-poller carries it out.

use crate::{
    connect::Store,
    error::Error,
    row::{Columns, readable},
    statement::{
        BATCH_CANCEL_WISH, BATCH_FIND, BATCH_FLUSH, BATCH_LATENCY, BATCH_LIST, BATCH_LIST_LIVE, BATCH_ORDERS,
        BATCH_WAITING, TASK_BATCHES,
    },
    text,
};
use domain::{
    batch::{BatchState, CancelThen, ItemState},
    money::Nanos,
    task::State,
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};
use time::OffsetDateTime;
use tokio_postgres::Row;
use uuid::Uuid;

/// A batch as people see it.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the columns of the schema under their own names; DESIGN §2 has the words")]
pub struct BatchView {
    pub id: Uuid,
    pub provider: String,
    pub model: Option<String>,
    pub state: BatchState,
    /// How often it was submitted under a new name.
    pub submission: i32,
    pub items: i32,
    pub bytes: i64,
    pub remote_id: Option<String>,
    pub remote_state: Option<String>,
    /// How many items the provider says are done.
    pub done_items: Option<i32>,
    pub note: Option<String>,
    pub cancel_wanted_at: Option<OffsetDateTime>,
    pub cancel_then: Option<CancelThen>,
    pub created_at: OffsetDateTime,
    pub submitted_at: Option<OffsetDateTime>,
    pub expires_at: Option<OffsetDateTime>,
    pub ended_at: Option<OffsetDateTime>,
    pub settled_at: Option<OffsetDateTime>,
    pub tally: Tally,
}

/// How many items of a batch stand where, and what they cost so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Tally {
    /// By state; a state without items is not there.
    pub counts: BTreeMap<ItemState, i64>,
    /// The money.
    pub nanos: Nanos,
    /// What the same would have cost at pace now.
    pub list_nanos: Nanos,
    /// Of those that are at the provider, how many nobody waits for any more.
    #[serde(default)]
    pub abandoned: i64,
}

/// Which batches are listed; every field that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchFilter {
    /// At whom they are.
    pub provider: Option<String>,
    /// Where they stand.
    pub state: Option<BatchState>,
    /// Whether only those that are not over are wanted.
    pub live: bool,
}

/// A page of batches.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchPage {
    /// The batches, newest first.
    pub batches: Vec<BatchView>,
    /// The cursor of the next page; none on the last one.
    pub next: Option<Uuid>,
}

/// An order that a batch has items of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchOrder {
    /// The order.
    pub id: Uuid,
    /// What people read.
    pub title: String,
    /// Where it stands.
    pub state: State,
    /// How many of the batch's items are its.
    pub items: i64,
}

/// Asks that wait for others to share a batch with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingGroup {
    /// The provider, or `provider/model` where it takes one model for each batch.
    pub grp: String,
    /// Whom they are for.
    pub provider: String,
    /// How many.
    pub items: i64,
    /// Their size.
    pub bytes: i64,
    /// What they may cost.
    pub estimate: Nanos,
    /// Since when the oldest of them waits.
    pub since: OffsetDateTime,
    /// Whether they were told not to wait.
    pub flush: bool,
}

/// What the batches of a provider took lately, from submission to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// Half of them took no longer.
    pub median: Duration,
    /// Nine of ten took no longer.
    pub p90: Duration,
    /// How many batches that is.
    pub batches: i64,
}

/// A task that waits for a batch, or for its batch to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchWait {
    /// The task.
    pub task: Uuid,
    /// Its batch, once there is one.
    pub batch: Option<Uuid>,
    /// Whom it is for.
    pub provider: String,
    /// Where the batch stands: a word of [`BatchState`], or `queued` before there is one.
    pub state: String,
    /// Since when it waits.
    pub since: OffsetDateTime,
    /// When the batch was submitted.
    pub submitted_at: Option<OffsetDateTime>,
    /// When the provider gives the batch up.
    pub expires_at: Option<OffsetDateTime>,
}

/// What became of the wish to cancel a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelWish {
    /// It is noted; the batch-poller is to be told.
    Noted(BatchState),
    /// There is nothing to cancel any more.
    TooLate(BatchState),
    /// There is no such batch.
    Unknown,
}

impl Store {
    /// Lists at most `limit` batches that are older than the cursor; a row that cannot be read is left out.
    ///
    /// # Errors
    /// When the database cannot be asked, or a text holds NUL.
    pub async fn batch_list(&self, filter: &BatchFilter, after: Option<Uuid>, limit: u16) -> Result<BatchPage, Error> {
        text::check("provider", filter.provider.as_deref().unwrap_or_default())?;
        let limit = usize::from(limit.max(1));
        // One more than asked tells whether there is a next page.
        let most = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let state = filter.state.map(BatchState::as_str);
        let live = filter.live || filter.state.is_some_and(|state| !state.is_over());
        let statement = if live { &BATCH_LIST_LIVE } else { &BATCH_LIST };
        let rows = self.rows(statement, &[&after, &filter.provider, &state, &most]).await?;
        let (page, more) = rows.split_at(rows.len().min(limit));
        let last = page.last().filter(|_| !more.is_empty());
        let next = last.map(|row| Columns::of(row, statement.name).next()).transpose()?;
        Ok(BatchPage { batches: readable(page, |row| view(row, statement.name)), next })
    }

    /// Reads batches, in id order; one that cannot be read is left out.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_views(&self, ids: &[Uuid]) -> Result<Vec<BatchView>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        Ok(readable(&self.rows(&BATCH_FIND, &[&ids]).await?, |row| view(row, BATCH_FIND.name)))
    }

    /// Reads the first orders that a batch has items of, and how many there are in all.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_orders(&self, id: Uuid, limit: u16) -> Result<(Vec<BatchOrder>, i64), Error> {
        let rows = self.rows(&BATCH_ORDERS, &[&id, &i64::from(limit)]).await?;
        let all = rows.first().map(|row| Columns::last_of(row, BATCH_ORDERS.name).next()).transpose()?;
        let orders = readable(&rows, |row| {
            let mut columns = Columns::of(row, BATCH_ORDERS.name);
            let (id, title) = (columns.next()?, columns.next()?);
            Ok(BatchOrder { id, title, state: columns.word()?, items: columns.next()? })
        });
        Ok((orders, all.unwrap_or_default()))
    }

    /// Reads the groups of asks that wait for their batch, of one provider or of all.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_waiting(&self, provider: Option<&str>) -> Result<Vec<WaitingGroup>, Error> {
        let rows = self.rows(&BATCH_WAITING, &[&provider]).await?;
        let group = |row: &Row| {
            let mut columns = Columns::of(row, BATCH_WAITING.name);
            Ok(WaitingGroup {
                grp: columns.next()?,
                provider: columns.next()?,
                items: columns.next()?,
                bytes: columns.next()?,
                estimate: Nanos(columns.next()?),
                since: columns.next()?,
                flush: columns.next()?,
            })
        };
        rows.iter().map(group).collect()
    }

    /// Has the groups that wait close at once; returns how many asks of each that are.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_flush(&self, provider: Option<&str>) -> Result<Vec<(String, i64)>, Error> {
        let rows = self.rows(&BATCH_FLUSH, &[&provider]).await?;
        let group = |row: &Row| {
            let mut columns = Columns::of(row, BATCH_FLUSH.name);
            Ok((columns.next()?, columns.next()?))
        };
        rows.iter().map(group).collect()
    }

    /// Notes that its master wants a batch cancelled, and what is to become of its asks.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_cancel_wish(&self, id: Uuid, then: CancelThen) -> Result<CancelWish, Error> {
        let Some(row) = self.row(&BATCH_CANCEL_WISH, &[&id, &then.as_str()]).await? else {
            return Ok(CancelWish::Unknown);
        };
        let mut columns = Columns::of(&row, BATCH_CANCEL_WISH.name);
        let (state, noted) = (columns.word()?, columns.next()?);
        Ok(if noted { CancelWish::Noted(state) } else { CancelWish::TooLate(state) })
    }

    /// Reads what the batches of these providers took lately; one that has none is not there.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_latency(&self, providers: &[String]) -> Result<HashMap<String, Latency>, Error> {
        if providers.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = self.rows(&BATCH_LATENCY, &[&providers]).await?;
        let latency = |row: &Row| {
            let mut columns = Columns::of(row, BATCH_LATENCY.name);
            let provider = columns.next()?;
            let (median, p90) = (span(columns.next()?), span(columns.next()?));
            Ok((provider, Latency { median, p90, batches: columns.next()? }))
        };
        rows.iter().map(latency).collect()
    }

    /// Reads the batches that a task waits for, or, without one, every part of an order.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_waits(&self, root: Uuid, task: Option<Uuid>) -> Result<Vec<BatchWait>, Error> {
        let rows = self.rows(&TASK_BATCHES, &[&root, &task]).await?;
        let wait = |row: &Row| {
            let mut columns = Columns::of(row, TASK_BATCHES.name);
            Ok(BatchWait {
                task: columns.next()?,
                batch: columns.next()?,
                provider: columns.next()?,
                state: columns.next()?,
                since: columns.next()?,
                submitted_at: columns.next()?,
                expires_at: columns.next()?,
            })
        };
        rows.iter().map(wait).collect()
    }
}

fn view(row: &Row, statement: &'static str) -> Result<BatchView, Error> {
    let mut columns = Columns::of(row, statement);
    Ok(BatchView {
        id: columns.next()?,
        provider: columns.next()?,
        model: columns.next()?,
        state: columns.word()?,
        submission: columns.next()?,
        items: columns.next()?,
        bytes: columns.next()?,
        remote_id: columns.next()?,
        remote_state: columns.next()?,
        done_items: columns.next()?,
        note: columns.next()?,
        cancel_wanted_at: columns.next()?,
        cancel_then: columns.optional_word()?,
        created_at: columns.next()?,
        submitted_at: columns.next()?,
        expires_at: columns.next()?,
        ended_at: columns.next()?,
        settled_at: columns.next()?,
        tally: columns.document()?.unwrap_or_default(),
    })
}

fn span(milliseconds: i64) -> Duration {
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
}
