//! The sweep: what an announcement was lost for, or whose performer was, is found by looking at the rows.

use crate::{connect::Store, error::Error, row::Columns, statement::TASK_SWEEP, text};
use domain::{
    pace::Pace,
    task::{Kind, Priority, State},
};
use std::time::Duration;
use uuid::Uuid;

/// A task to be announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The task.
    pub id: Uuid,
    /// Its order.
    pub root_id: Uuid,
    /// Who performs it.
    pub kind: Kind,
    /// How fast the answer must come.
    pub pace: Pace,
    /// The trace it belongs to.
    pub traceparent: Option<String>,
    /// Which lane it takes.
    pub priority: Priority,
}

/// What a sweep found, by the topic it is announced on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Pending roots.
    pub plan: Vec<Name>,
    /// Queued asks of every pace but batch.
    pub ask: Vec<Name>,
    /// Queued commands.
    pub command: Vec<Name>,
    /// Queued deliveries.
    pub deliver: Vec<Name>,
    /// Queued asks of pace batch.
    pub batch: Vec<Name>,
    /// Ended children that no decision has taken in.
    pub settled: Vec<Name>,
    /// Commands whose executor stopped under them; they have failed just now and are to be settled too.
    pub lost: Vec<Name>,
    /// When the next postponed task falls due: sweep again then.
    pub next_not_before: Option<Duration>,
    /// How many tasks are held for money: [`Store::unhold`] says which of them fit by now.
    pub held_for_budget: i64,
}

impl Store {
    /// Finds at most `limit` tasks that were announced longer than `stale` ago and did not move, that fell due
    /// (the held ones are queued), or whose lease ran out; queues the latter again (a command that must not be repeated fails). One statement.
    ///
    /// Without `leases` no lease is judged: after an outage of Postgres their holders come first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn sweep(&self, stale: Duration, limit: i64, leases: bool) -> Result<Swept, Error> {
        let rows = self.rows(&TASK_SWEEP, &[&text::milliseconds(stale), &limit, &leases]).await?;
        let mut swept = Swept::default();
        for row in &rows {
            let mut columns = Columns::of(row, TASK_SWEEP.name);
            let Some(id) = columns.next::<Option<Uuid>>()? else {
                let mut last = Columns::tail_of(row, TASK_SWEEP.name, 2);
                swept.next_not_before =
                    last.next::<Option<i64>>()?.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
                swept.held_for_budget = last.next::<Option<i64>>()?.unwrap_or(0);
                continue;
            };
            let (root_id, kind, state): (Uuid, Kind, State) = (columns.next()?, columns.word()?, columns.word()?);
            let name = Name {
                id,
                root_id,
                kind,
                pace: columns.word()?,
                traceparent: columns.next()?,
                priority: columns.priority()?,
            };
            let lost: bool = columns.next()?;
            match (kind, state) {
                _ if lost => swept.lost.push(name),
                (_, State::Pending) => swept.plan.push(name),
                (Kind::Ask, State::Queued) if name.pace == Pace::Batch => swept.batch.push(name),
                (Kind::Ask, State::Queued) => swept.ask.push(name),
                (Kind::Command, State::Queued) => swept.command.push(name),
                (Kind::Deliver, State::Queued) => swept.deliver.push(name),
                _ => swept.settled.push(name),
            }
        }
        Ok(swept)
    }
}
