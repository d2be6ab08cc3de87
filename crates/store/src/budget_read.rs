//! Budgets for people: pages of them, and making, changing and deleting one. Refuses to set money aside: whoever
//! spends does that.

use crate::{
    connect::Store,
    error::Error,
    row::{Columns, readable},
    statement::{BUDGET_BEFORE, BUDGET_CHANGE, BUDGET_DELETE, BUDGET_FIND, BUDGET_LIST, BUDGET_LIST_LIVE, BUDGET_PUT},
    text,
};
use domain::{
    money::Nanos,
    task::{State, UnknownWord},
};
use std::{fmt, str::FromStr};
use time::{Duration, OffsetDateTime};
use tokio_postgres::Row;

/// Keeps everybody from booking until the budget is made, so that no charge is counted twice or not at all: whoever
/// books shares this lock (the trigger `charges_spend`), and nothing that is held here is waited for by it.
const NO_BOOKING: &str = "begin; select pg_advisory_xact_lock(hashtext('chavion booking'), hashtext(current_schema()))";
/// No transaction that books lives as long: what was booked before is all there.
const LONG_AGO: Duration = Duration::minutes(10);

/// What a budget is for, and over which time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BudgetKey {
    /// Whose spending counts.
    pub scope: Scope,
    /// The order's id, the agent's or provider's name, or `all`.
    pub name: String,
    /// Over which time.
    pub period: Period,
}

macro_rules! closed {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vmeta])* $variant),+ }

        impl $name {
            /// Every word.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the one spelling.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;
            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(UnknownWord { what: stringify!($name), word: word.to_owned(), known: &[$($word),+] }),
                }
            }
        }
    };
}

closed! {
    /// Whose spending a budget limits, in the order of SQL.
    Scope {
        /// One agent's.
        Agent = "agent",
        /// Everybody's.
        All = "all",
        /// One order's.
        Order = "order",
        /// What one provider gets.
        Provider = "provider",
    }
}

closed! {
    /// The time that a budget counts.
    Period {
        /// One day (UTC), then from nothing again.
        Day = "day",
        /// All of it.
        Total = "total",
    }
}

/// A budget as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetView {
    /// What it is for.
    pub key: BudgetKey,
    /// The most that may be spent.
    pub limit: Nanos,
    /// What was spent.
    pub spent: Nanos,
    /// What is set aside for asks that run.
    pub reserved: Nanos,
    /// When it was made or changed.
    pub updated_at: OffsetDateTime,
    /// The order's title and where it stands, when it is an order's.
    pub order: Option<(String, State)>,
}

/// Which budgets are listed; every field that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BudgetFilter {
    /// Whose spending they limit.
    pub scope: Option<Scope>,
    /// Whether those of ended orders are left out.
    pub live: bool,
    /// Only those that are used up to so many percent, what is set aside included; those of ended orders never are.
    pub used: Option<u8>,
}

/// A page of budgets.
#[derive(Debug, Clone, PartialEq)]
pub struct BudgetPage {
    /// The budgets, in the order of their keys.
    pub budgets: Vec<BudgetView>,
    /// The cursor of the next page; none on the last one.
    pub next: Option<BudgetKey>,
}

impl Store {
    /// Lists at most `limit` budgets behind the cursor; a row that cannot be read is left out.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn budget_list(
        &self,
        filter: &BudgetFilter,
        after: Option<&BudgetKey>,
        limit: u16,
    ) -> Result<BudgetPage, Error> {
        let limit = usize::from(limit.max(1));
        let most = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let scope = after.map(|key| key.scope.as_str());
        let (name, period) = (after.map(|key| key.name.as_str()), after.map(|key| key.period.as_str()));
        let only = filter.scope.map(Scope::as_str);
        let (statement, rows) = if filter.live || filter.used.is_some() {
            let used = filter.used.map(i32::from);
            (&BUDGET_LIST_LIVE, self.rows(&BUDGET_LIST_LIVE, &[&scope, &name, &period, &only, &most, &used]).await?)
        } else {
            (&BUDGET_LIST, self.rows(&BUDGET_LIST, &[&scope, &name, &period, &only, &most]).await?)
        };
        let (page, more) = rows.split_at(rows.len().min(limit));
        let last = page.last().filter(|_| !more.is_empty());
        let next = last.map(|row| key(&mut Columns::of(row, statement.name))).transpose()?;
        Ok(BudgetPage { budgets: readable(page, |row| view(row, statement.name)), next })
    }

    /// Reads one budget.
    ///
    /// # Errors
    /// When the database cannot be asked, or the name holds NUL.
    pub async fn budget_find(&self, key: &BudgetKey) -> Result<Option<BudgetView>, Error> {
        text::check("name", &key.name)?;
        let BudgetKey { scope, name, period } = key;
        let row = self.row(&BUDGET_FIND, &[&scope.as_str(), name, &period.as_str()]).await?;
        row.map(|row| view(&row, BUDGET_FIND.name)).transpose()
    }

    /// Makes a budget, or changes its limit; returns the limit that it had. A new one starts with what its scope was
    /// charged before.
    ///
    /// # Errors
    /// When the database cannot be asked, or the name holds NUL.
    pub async fn budget_put(&self, key: &BudgetKey, limit: Nanos) -> Result<Option<Nanos>, Error> {
        text::check("name", &key.name)?;
        let (scope, period) = (key.scope.as_str(), key.period.as_str());
        if let Some(row) = self.row(&BUDGET_CHANGE, &[&scope, &key.name, &period, &limit.0]).await? {
            return Ok(Some(Nanos(Columns::of(&row, BUDGET_CHANGE.name).next()?)));
        }
        let cut = OffsetDateTime::now_utc() - LONG_AGO;
        // The archive is summed before anybody has to wait.
        let before: i64 = if period == Period::Total.as_str() && key.scope != Scope::Order {
            let row = self.row(&BUDGET_BEFORE, &[&scope, &key.name, &cut]).await?;
            row.map(|row| Columns::of(&row, BUDGET_BEFORE.name).next()).transpose()?.unwrap_or_default()
        } else {
            0
        };
        let call: crate::transaction::Call<'_> = (&BUDGET_PUT, &[&scope, &key.name, &period, &limit.0, &cut, &before]);
        self.together(BUDGET_PUT.name, NO_BOOKING, &[call]).await?;
        Ok(None)
    }

    /// Deletes a budget and returns its limit; none when there was no such budget.
    ///
    /// # Errors
    /// When the database cannot be asked, or the name holds NUL.
    pub async fn budget_delete(&self, key: &BudgetKey) -> Result<Option<Nanos>, Error> {
        text::check("name", &key.name)?;
        let BudgetKey { scope, name, period } = key;
        let row = self.row(&BUDGET_DELETE, &[&scope.as_str(), name, &period.as_str()]).await?;
        row.map(|row| Ok(Nanos(Columns::of(&row, BUDGET_DELETE.name).next()?))).transpose()
    }
}

fn key(columns: &mut Columns<'_>) -> Result<BudgetKey, Error> {
    Ok(BudgetKey { scope: columns.word()?, name: columns.next()?, period: columns.word()? })
}

fn view(row: &Row, statement: &'static str) -> Result<BudgetView, Error> {
    let mut columns = Columns::of(row, statement);
    let key = key(&mut columns)?;
    let (limit, spent, reserved) = (columns.next()?, columns.next()?, columns.next()?);
    let updated_at = columns.next()?;
    let (title, state): (Option<String>, Option<State>) = (columns.next()?, columns.optional_word()?);
    let order = title.zip(state);
    Ok(BudgetView { key, limit: Nanos(limit), spent: Nanos(spent), reserved: Nanos(reserved), updated_at, order })
}
