//! Sums over the rows, for gauges and the status page.

use crate::{
    connect::Store,
    error::Error,
    row::Columns,
    statement::{CHARGE_DAYS, MONEY_ROLL, MONEY_TOTAL, TASK_COUNTS},
};
use domain::{
    money::{Nanos, Usage},
    task::{HeldFor, Kind, State},
};
use std::{collections::HashMap, time::Duration};
use time::Date;

/// What is alive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many tasks of live orders stand where; what has ended is not counted.
    pub live: Vec<Count>,
    /// The age of the oldest of them.
    pub oldest_live: Option<Duration>,
    /// Those of them that are held, by what they wait for.
    pub held: HashMap<HeldFor, HeldCount>,
}

/// How many tasks of one kind stand in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Who performs them.
    pub kind: Kind,
    /// Where they stand.
    pub state: State,
    /// How many.
    pub count: i64,
    /// The age of the oldest; of queued ones, for how long the oldest that may be begun has been queued.
    pub oldest: Duration,
}

/// How many tasks wait for one thing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeldCount {
    /// How many.
    pub count: i64,
    /// For how long the oldest has waited since it was ready.
    pub oldest: Duration,
}

/// What was ever spent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    /// How many charges that is.
    pub calls: i64,
    /// The money.
    pub nanos: Nanos,
    /// What the same would have cost at pace now.
    pub list_nanos: Nanos,
}

/// What one model cost on one day (UTC).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// The day.
    pub day: Date,
    /// Who answered.
    pub provider: String,
    /// With which model.
    pub model: String,
    /// Whether it was the emulator's.
    pub emulated: bool,
    /// How many charges that is.
    pub calls: i64,
    /// The tokens.
    pub usage: Usage,
    /// The money.
    pub nanos: Nanos,
    /// What the same would have cost at pace now.
    pub list_nanos: Nanos,
}

/// How many days are summed at most before one total: a busy year is caught up with in a few looks.
const ROLLED: u32 = 60;

impl Store {
    /// Counts what is alive by kind and state.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn counts(&self) -> Result<Counts, Error> {
        let mut counts = Counts::default();
        for row in &self.rows(&TASK_COUNTS, &[]).await? {
            let mut columns = Columns::of(row, TASK_COUNTS.name);
            let (kind, state): (Kind, State) = (columns.word()?, columns.word()?);
            let held_for: Option<HeldFor> = columns.optional_word()?;
            let count: i64 = columns.next()?;
            let age = milliseconds(columns.next()?);
            let waiting = columns.next::<Option<i64>>()?.map_or(Duration::ZERO, milliseconds);
            counts.oldest_live = counts.oldest_live.max(Some(age));
            if let Some(held_for) = held_for.filter(|_| state == State::Held) {
                let held = counts.held.entry(held_for).or_default();
                held.count += count;
                held.oldest = held.oldest.max(waiting);
            }
            let oldest = if state == State::Queued { waiting } else { age };
            match counts.live.last_mut().filter(|last| last.kind == kind && last.state == state) {
                Some(last) => {
                    last.count += count;
                    last.oldest = last.oldest.max(oldest);
                }
                None => counts.live.push(Count { kind, state, count, oldest }),
            }
        }
        Ok(counts)
    }

    /// Sums what was spent in the last days, today included, the newest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn money_days(&self, days: u16) -> Result<Vec<Day>, Error> {
        let rows = self.rows(&CHARGE_DAYS, &[&i32::from(days.max(1))]).await?;
        rows.iter()
            .map(|row| {
                let mut columns = Columns::of(row, CHARGE_DAYS.name);
                Ok(Day {
                    day: columns.next()?,
                    provider: columns.next()?,
                    model: columns.next()?,
                    emulated: columns.next()?,
                    calls: columns.next()?,
                    usage: columns.usage()?,
                    nanos: Nanos(columns.next()?),
                    list_nanos: Nanos(columns.next()?),
                })
            })
            .collect()
    }

    /// Sums what was ever spent. Days that are over are summed once and kept, so this reads a day of charges.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn money_total(&self) -> Result<Total, Error> {
        for _ in 0..ROLLED {
            if self.row(&MONEY_ROLL, &[]).await?.is_none() {
                break;
            }
        }
        let Some(row) = self.row(&MONEY_TOTAL, &[]).await? else { return Ok(Total::default()) };
        let mut columns = Columns::of(&row, MONEY_TOTAL.name);
        Ok(Total { calls: columns.next()?, nanos: Nanos(columns.next()?), list_nanos: Nanos(columns.next()?) })
    }
}

fn milliseconds(count: i64) -> Duration {
    Duration::from_millis(u64::try_from(count).unwrap_or(0))
}
