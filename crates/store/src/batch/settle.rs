//! Settling: items end, with what they cost and what becomes of their tasks, in one statement.

use crate::{connect::Store, error::Error, finish::Charge, row::Columns, statement::BATCH_SETTLE, sweep::Name, text};
use domain::{
    batch::ItemState,
    money::Nanos,
    pace::Pace,
    task::{Cause, Failure, Kind},
};
use serde_json::Value;
use std::{borrow::Cow, collections::HashSet};
use time::OffsetDateTime;
use tokio_postgres::Row;
use uuid::Uuid;

/// The end of one item.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemEnd {
    /// Its number in the batch.
    pub seq: i32,
    /// How it ended; none of queued and submitted.
    pub state: ItemState,
    /// Why, for people.
    pub reason: Option<String>,
    /// What it cost; booked once for each attempt, whatever became of the task.
    pub charge: Option<Charge>,
    /// What becomes of its task, if that still waits for it.
    pub then: ItemThen,
}

/// What becomes of an ask whose item has ended.
#[derive(Debug, Clone, PartialEq)]
pub enum ItemThen {
    /// It is answered.
    Complete {
        /// What it brought: an object with `text`, and `data` or the like.
        result: Value,
        /// The model that answered, `provider/model`.
        model: String,
        /// Whether the emulator answered.
        emulated: bool,
    },
    /// It has failed.
    Fail(Failure),
    /// It waits for another batch with the same words, as its next attempt.
    Again,
    /// Its answer misfitted: it waits for another batch with other words, as its next attempt.
    Correct {
        /// The request: one line of JSON.
        body: String,
        /// How many bytes that adds to its batch.
        bytes: i32,
        /// The most that it may cost.
        estimate: Nanos,
        /// What did not fit, for people.
        reason: String,
    },
    /// It is asked at pace now.
    Now {
        /// Why, for people.
        reason: String,
    },
    /// It is queued again at pace batch: another of its models may serve it, or it has to wait.
    Back {
        /// Why, for people.
        reason: String,
    },
    /// Its master cancelled it.
    Cancel(Failure),
}

/// What really became of the ask of an item that has ended just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Settled {
    /// It is answered: to be announced as settled.
    Completed,
    /// It has failed: to be announced as settled.
    Failed,
    /// It is cancelled: to be announced as settled.
    Cancelled,
    /// It waits for another batch.
    Again,
    /// It is queued at pace now: to be announced as an ask.
    Now,
    /// It is queued again at pace batch: to be announced as an ask.
    Back,
    /// It did not wait for the item any more, and has not moved.
    Late,
}

/// An item that has ended just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettledItem {
    /// Its number in the batch.
    pub seq: i32,
    /// What became of its task.
    pub then: Settled,
    /// The task.
    pub name: Name,
    /// Since when the item waited for a batch.
    pub collected_at: OffsetDateTime,
}

impl Store {
    /// Ends items of a batch and returns those that this call has ended. What is not returned had ended before, or the
    /// batch is someone else's. Of several ends of one item the first counts. May be undone by a crash of Postgres: the
    /// items are then found submitted again.
    ///
    /// # Errors
    /// When the database cannot be asked; then nothing was written, or (when the connection broke) all of it may have
    /// been, and the same call is safe.
    pub async fn batch_settle(&self, id: Uuid, hold: i32, ends: &[ItemEnd]) -> Result<Vec<SettledItem>, Error> {
        if ends.is_empty() {
            return Ok(Vec::new());
        }
        let e = Ends::of(ends)?;
        let c = &e.charges;
        let rows = self
            .rows(
                &BATCH_SETTLE,
                &[
                    &id,
                    &hold,
                    &e.seqs,
                    &e.states,
                    &e.item_reasons,
                    &e.fates,
                    &e.results,
                    &e.models,
                    &e.emulated,
                    &e.causes,
                    &e.reasons,
                    &e.bodies,
                    &e.bytes,
                    &e.estimates,
                    &c.agents,
                    &c.providers,
                    &c.models,
                    &c.paces,
                    &c.input,
                    &c.cache_read,
                    &c.cache_write,
                    &c.cache_write_hour,
                    &c.output,
                    &c.nanos,
                    &c.list_nanos,
                    &c.emulated,
                ],
            )
            .await?;
        rows.iter().map(settled).collect()
    }
}

fn settled(row: &Row) -> Result<SettledItem, Error> {
    let mut columns = Columns::of(row, BATCH_SETTLE.name);
    let (seq, id, root_id) = (columns.next()?, columns.next()?, columns.next()?);
    let then = match columns.next()? {
        COMPLETE => Settled::Completed,
        FAIL => Settled::Failed,
        CANCEL => Settled::Cancelled,
        AGAIN | CORRECT => Settled::Again,
        NOW => Settled::Now,
        BACK => Settled::Back,
        _ => Settled::Late,
    };
    let pace = if then == Settled::Now { Pace::Now } else { Pace::Batch };
    let (traceparent, priority) = (columns.next()?, columns.priority()?);
    let collected_at = columns.next()?;
    Ok(SettledItem {
        seq,
        then,
        collected_at,
        name: Name { id, root_id, kind: Kind::Ask, pace, traceparent, priority },
    })
}

// The words that the statement knows.
const COMPLETE: &str = "complete";
const FAIL: &str = "fail";
const AGAIN: &str = "again";
const CORRECT: &str = "correct";
const NOW: &str = "now";
const BACK: &str = "back";
const CANCEL: &str = "cancel";

type Texts<'a> = Vec<Option<Cow<'a, str>>>;

/// Ends, column by column.
#[derive(Default)]
struct Ends<'a> {
    seqs: Vec<i32>,
    states: Vec<&'static str>,
    item_reasons: Texts<'a>,
    fates: Vec<&'static str>,
    results: Vec<Option<String>>,
    models: Texts<'a>,
    emulated: Vec<bool>,
    causes: Vec<Option<&'static str>>,
    reasons: Texts<'a>,
    bodies: Texts<'a>,
    bytes: Vec<Option<i32>>,
    estimates: Vec<Option<i64>>,
    charges: Charges<'a>,
}

/// Charges, column by column; all null: none.
#[derive(Default)]
struct Charges<'a> {
    agents: Texts<'a>,
    providers: Texts<'a>,
    models: Texts<'a>,
    paces: Vec<Option<&'static str>>,
    input: Vec<Option<i64>>,
    cache_read: Vec<Option<i64>>,
    cache_write: Vec<Option<i64>>,
    cache_write_hour: Vec<Option<i64>>,
    output: Vec<Option<i64>>,
    nanos: Vec<Option<i64>>,
    list_nanos: Vec<Option<i64>>,
    emulated: Vec<Option<bool>>,
}

/// What the statement is told of a task.
#[derive(Default)]
struct Fate<'a> {
    result: Option<String>,
    model: Option<&'a str>,
    emulated: bool,
    cause: Option<Cause>,
    reason: Option<&'a str>,
    next: Option<(&'a str, i32, Nanos)>,
}

impl<'a> Ends<'a> {
    fn of(ends: &'a [ItemEnd]) -> Result<Self, Error> {
        let mut columns = Self::default();
        let mut seen = HashSet::with_capacity(ends.len());
        for end in ends.iter().filter(|end| seen.insert(end.seq)) {
            columns.push(end)?;
        }
        Ok(columns)
    }

    fn push(&mut self, end: &'a ItemEnd) -> Result<(), Error> {
        let (word, fate) = fate(&end.then)?;
        self.seqs.push(end.seq);
        self.states.push(end.state.as_str());
        self.item_reasons.push(end.reason.as_deref().map(text::clean));
        self.fates.push(word);
        self.results.push(fate.result);
        self.models.push(fate.model.map(text::clean));
        self.emulated.push(fate.emulated);
        self.causes.push(fate.cause.map(Cause::as_str));
        self.reasons.push(fate.reason.map(text::clean));
        self.bodies.push(fate.next.map(|(body, _, _)| text::clean(body)));
        self.bytes.push(fate.next.map(|(_, bytes, _)| bytes));
        self.estimates.push(fate.next.map(|(_, _, estimate)| estimate.0));
        self.charges.push(end.charge.as_ref());
        Ok(())
    }
}

fn fate(then: &ItemThen) -> Result<(&'static str, Fate<'_>), Error> {
    let none = Fate::default();
    Ok(match then {
        ItemThen::Complete { result, model, emulated } => {
            let result = Some(text::json(BATCH_SETTLE.name, result)?);
            (COMPLETE, Fate { result, model: Some(model), emulated: *emulated, ..none })
        }
        ItemThen::Fail(Failure { cause, reason }) => (FAIL, Fate { cause: Some(*cause), reason: Some(reason), ..none }),
        ItemThen::Cancel(Failure { cause, reason }) => {
            (CANCEL, Fate { cause: Some(*cause), reason: Some(reason), ..none })
        }
        ItemThen::Again => (AGAIN, none),
        ItemThen::Correct { body, bytes, estimate, reason } => {
            (CORRECT, Fate { reason: Some(reason), next: Some((body, *bytes, *estimate)), ..none })
        }
        ItemThen::Now { reason } => (NOW, Fate { reason: Some(reason), ..none }),
        ItemThen::Back { reason } => (BACK, Fate { reason: Some(reason), ..none }),
    })
}

impl<'a> Charges<'a> {
    fn push(&mut self, charge: Option<&'a Charge>) {
        let usage = charge.map(|charge| charge.usage);
        self.agents.push(charge.and_then(|charge| charge.agent.as_deref()).map(text::clean));
        self.providers.push(charge.map(|charge| text::clean(&charge.provider)));
        self.models.push(charge.map(|charge| text::clean(&charge.model)));
        self.paces.push(charge.map(|charge| charge.pace.as_str()));
        self.input.push(usage.map(|usage| usage.input));
        self.cache_read.push(usage.map(|usage| usage.cache_read));
        self.cache_write.push(usage.map(|usage| usage.cache_write));
        self.cache_write_hour.push(usage.map(|usage| usage.cache_write_hour));
        self.output.push(usage.map(|usage| usage.output));
        self.nanos.push(charge.map(|charge| charge.nanos.0));
        self.list_nanos.push(charge.map(|charge| charge.list_nanos.0));
        self.emulated.push(charge.map(|charge| charge.emulated));
    }
}
