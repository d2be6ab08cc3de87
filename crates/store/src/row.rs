//! Reading rows, column by column in the order of the statement's list.

use crate::error::Error;
use domain::{
    money::Usage,
    task::{Failure, Priority, UnknownWord},
};
use std::str::FromStr;
use tokio_postgres::{
    Row,
    types::{FromSql, Json},
};

/// Reads rows for people. One that cannot be read is logged and left out: it does not take the others with it.
pub(crate) fn readable<T>(rows: &[Row], read: impl Fn(&Row) -> Result<T, Error>) -> Vec<T> {
    let seen = |row: &Row| read(row).inspect_err(|error| tracing::error!(%error, "a row is left out")).ok();
    rows.iter().filter_map(seen).collect()
}

/// Reads one row from its first column to its last.
pub(crate) struct Columns<'a> {
    row: &'a Row,
    statement: &'static str,
    next: usize,
}

impl<'a> Columns<'a> {
    pub(crate) fn of(row: &'a Row, statement: &'static str) -> Self {
        Self { row, statement, next: 0 }
    }

    /// Reads the last column alone.
    pub(crate) fn last_of(row: &'a Row, statement: &'static str) -> Self {
        Self::tail_of(row, statement, 1)
    }

    /// Reads the last columns alone, so many of them.
    pub(crate) fn tail_of(row: &'a Row, statement: &'static str, count: usize) -> Self {
        Self { row, statement, next: row.len().saturating_sub(count) }
    }

    /// Reads the next column.
    pub(crate) fn next<T: FromSql<'a>>(&mut self) -> Result<T, Error> {
        let column = self.next;
        self.next += 1;
        self.row.try_get(column).map_err(|error| Error::statement(self.statement, &error))
    }

    /// Reads the next column as a word of a closed list.
    pub(crate) fn word<T: FromStr<Err = UnknownWord>>(&mut self) -> Result<T, Error> {
        let word: &str = self.next()?;
        word.parse().map_err(|unknown| self.unreadable(&unknown))
    }

    /// Reads the next column as a word of a closed list, if there is one.
    pub(crate) fn optional_word<T: FromStr<Err = UnknownWord>>(&mut self) -> Result<Option<T>, Error> {
        let word: Option<&str> = self.next()?;
        word.map(str::parse).transpose().map_err(|unknown| self.unreadable(&unknown))
    }

    /// Reads the next column as a document, if there is one.
    pub(crate) fn document<T: serde::de::DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        Ok(self.next::<Option<Json<T>>>()?.map(|json| json.0))
    }

    /// Reads the next column as a priority.
    pub(crate) fn priority(&mut self) -> Result<Priority, Error> {
        self.next().map(Priority::from_rank)
    }

    /// Reads the next two columns, a cause and its reason.
    pub(crate) fn failure(&mut self) -> Result<Option<Failure>, Error> {
        let cause: Option<&str> = self.next()?;
        let reason: Option<String> = self.next()?;
        let Some(cause) = cause else { return Ok(None) };
        let cause = cause.parse().map_err(|unknown: UnknownWord| self.unreadable(&unknown))?;
        Ok(Some(Failure { cause, reason: reason.unwrap_or_default() }))
    }

    /// Reads the next five columns as tokens.
    pub(crate) fn usage(&mut self) -> Result<Usage, Error> {
        Ok(Usage {
            input: self.next()?,
            cache_read: self.next()?,
            cache_write: self.next()?,
            cache_write_hour: self.next()?,
            output: self.next()?,
        })
    }

    fn unreadable(&self, unknown: &UnknownWord) -> Error {
        Error::Unreadable { statement: self.statement, problem: unknown.to_string() }
    }
}
