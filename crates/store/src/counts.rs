//! Sums over the rows, for gauges and the status page.

use crate::{
    connect::Store,
    error::Error,
    row::Columns,
    statement::{CHARGE_DAYS, TASK_COUNTS},
};
use domain::{
    money::{Nanos, Usage},
    task::{Kind, State},
};
use std::time::Duration;
use time::Date;

/// What is alive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many tasks of live orders stand where; what has ended is not counted.
    pub live: Vec<Count>,
    /// The age of the oldest of them.
    pub oldest_live: Option<Duration>,
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
}

impl Store {
    /// Counts what is alive by kind and state.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn counts(&self) -> Result<Counts, Error> {
        let mut counts = Counts::default();
        for row in &self.rows(&TASK_COUNTS, &[]).await? {
            let mut columns = Columns::of(row, TASK_COUNTS.name);
            counts.live.push(Count { kind: columns.word()?, state: columns.word()?, count: columns.next()? });
            let age = Duration::from_millis(u64::try_from(columns.next::<i64>()?).unwrap_or(0));
            counts.oldest_live = counts.oldest_live.max(Some(age));
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
                })
            })
            .collect()
    }
}
