//! Pages of tasks, newest first. The cursor is an id: what arrives meanwhile is newer and moves nothing.

use crate::{
    connect::Store,
    error::Error,
    row::{Columns, readable},
    run::Parameters,
    statement::{TASK_LIST, TASK_LIST_ALL, TASK_LIST_LIVE},
    task::{self, Task},
    text,
};
use domain::task::{Kind, State};
use uuid::Uuid;

/// Which tasks are listed; every field that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Where they stand.
    pub state: Option<State>,
    /// Who performs them.
    pub kind: Option<Kind>,
    /// The agent that performs them.
    pub agent: Option<String>,
    /// Whether children are left out.
    pub roots_only: bool,
    /// A text that their title or description holds, in any case.
    pub search: Option<String>,
}

/// A page.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The tasks, newest first.
    pub tasks: Vec<Task>,
    /// The cursor of the next page; none on the last one.
    pub next: Option<Uuid>,
}

impl Store {
    /// Lists at most `limit` tasks that are older than the cursor.
    ///
    /// # Errors
    /// When the database cannot be asked, or a text holds NUL.
    pub async fn list(&self, filter: &Filter, after: Option<Uuid>, limit: u16) -> Result<Page, Error> {
        text::check("agent", filter.agent.as_deref().unwrap_or_default())?;
        text::check("search", filter.search.as_deref().unwrap_or_default())?;
        let limit = usize::from(limit.max(1));
        // One more than asked tells whether there is a next page.
        let rows = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let (state, kind) = (filter.state.map(State::as_str), filter.kind.map(Kind::as_str));
        let (agent, search) = (&filter.agent, &filter.search);
        let live = filter.state.is_some_and(|state| !state.is_terminal());
        let (statement, rows) = if live {
            let parameters: Parameters<'_> = &[&after, &state, &kind, agent, search, &rows, &filter.roots_only];
            (&TASK_LIST_LIVE, self.rows(&TASK_LIST_LIVE, parameters).await?)
        } else {
            let statement = if filter.roots_only { &TASK_LIST } else { &TASK_LIST_ALL };
            (statement, self.rows(statement, &[&after, &state, &kind, agent, search, &rows]).await?)
        };
        let (page, more) = rows.split_at(rows.len().min(limit));
        // The next page starts behind the last row, be it readable or not.
        let last = page.last().filter(|_| !more.is_empty());
        let next = last.map(|row| Columns::of(row, statement.name).next()).transpose()?;
        Ok(Page { tasks: readable(page, |row| task::read(row, statement.name)), next })
    }
}
