//! What can go wrong between a caller and a row. Says what was attempted; holds no URL, no parameter and no
//! server-side detail line, for those may quote what people wrote.

use tokio_postgres::error::SqlState;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL is none that Postgres understands. It is not repeated here: it may hold a password.
    #[error("the database URL cannot be used: it must look like postgres://user@host:5432/database")]
    Url,
    /// No connection could be made.
    #[error("cannot connect to Postgres: {problem}")]
    Connect {
        /// What the network or the server said.
        problem: String,
        /// Whether trying later can help.
        transient: bool,
    },
    /// All connections of the pool stayed in use.
    #[error("no connection to Postgres was free within {seconds} s")]
    Busy {
        /// How long was waited.
        seconds: u64,
    },
    /// A statement failed.
    #[error("{statement} failed: {problem}{}", code.as_ref().map(|code| format!(" ({})", code.code())).unwrap_or_default())]
    Statement {
        /// The statement's name.
        statement: &'static str,
        /// The server's code; none when the connection broke.
        code: Option<SqlState>,
        /// The server's first line.
        problem: String,
    },
    /// A row holds something that this program cannot read.
    #[error("{statement} gave something unreadable: {problem}")]
    Unreadable {
        /// The statement's name.
        statement: &'static str,
        /// What was not understood.
        problem: String,
    },
    /// The schema is not the one this program was built for.
    #[error("the database has schema version {found}, this program needs {known}: {}", if found > known {
        "run a newer program, or restore the backup from before it was updated"
    } else {
        "migrate it first, with `orchestrator migrate`"
    })]
    Version {
        /// The database's version; 0 when it has none.
        found: i32,
        /// The version this program knows.
        known: i32,
    },
    /// A migration that was applied differs from the one of the same number in this program.
    #[error(
        "migration {version} of the database is not the one that this program holds: they come from different lines of the project"
    )]
    Changed {
        /// The migration's number.
        version: i32,
    },
    /// A text that Postgres cannot keep.
    #[error("{field} contains the character NUL, which cannot be kept")]
    Nul {
        /// Which field of what was handed in.
        field: &'static str,
    },
    /// The registry refused the metrics.
    #[error("the metrics of the store cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
}

impl Error {
    /// Tells whether something else has the name already.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Statement { code: Some(code), .. } if *code == SqlState::UNIQUE_VIOLATION)
    }

    /// Tells whether the same call may succeed later: the connection broke, the server restarts, is overloaded,
    /// or chose this transaction to resolve a conflict.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { transient, .. } => *transient,
            Self::Busy { .. } => true,
            Self::Statement { code: None, .. } => true,
            Self::Statement { code: Some(code), .. } => is_transient(code),
            Self::Url
            | Self::Unreadable { .. }
            | Self::Version { .. }
            | Self::Changed { .. }
            | Self::Nul { .. }
            | Self::Metrics(_) => false,
        }
    }

    /// Returns the word that metrics and logs file this error under.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Connect { .. } | Self::Statement { code: None, .. } => "connection",
            Self::Busy { .. } => "busy",
            Self::Statement { code: Some(code), .. } if is_conflict(code) => "conflict",
            Self::Statement { code: Some(code), .. } if *code == SqlState::QUERY_CANCELED => "timeout",
            Self::Statement { code: Some(code), .. } if is_transient(code) => "server",
            Self::Statement { .. } => "statement",
            Self::Version { .. } | Self::Changed { .. } => "schema",
            Self::Url | Self::Unreadable { .. } | Self::Nul { .. } | Self::Metrics(_) => "refused",
        }
    }

    /// Every word that [`Error::class`] returns.
    pub(crate) const CLASSES: &'static [&'static str] =
        &["connection", "busy", "conflict", "timeout", "server", "statement", "schema", "refused"];

    /// Files a failed statement under its name.
    pub(crate) fn statement(statement: &'static str, error: &tokio_postgres::Error) -> Self {
        let code = error.code().cloned();
        if code.is_none() && !error.is_closed() && !is_io(error) {
            return Self::Unreadable { statement, problem: first_line(error) };
        }
        Self::Statement { statement, code, problem: first_line(error) }
    }

    /// Files a failed attempt to connect.
    pub(crate) fn connect(error: &tokio_postgres::Error) -> Self {
        let transient = error.code().map_or_else(|| error.is_closed() || is_io(error), is_transient);
        let problem = first_line(error);
        let problem = match cure(error.code()) {
            Some(cure) => format!("{problem}; {cure}"),
            None => problem,
        };
        Self::Connect { problem, transient }
    }
}

/// What an operator does about a connection that is refused for good.
fn cure(code: Option<&SqlState>) -> Option<&'static str> {
    match code? {
        code if [SqlState::INVALID_PASSWORD, SqlState::INVALID_AUTHORIZATION_SPECIFICATION].contains(code) => {
            Some("the user and the password in DATABASE_URL must be those of Postgres")
        }
        code if *code == SqlState::INVALID_CATALOG_NAME => Some("create it, or correct DATABASE_URL"),
        _ => None,
    }
}

fn is_conflict(code: &SqlState) -> bool {
    [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE, SqlState::LOCK_NOT_AVAILABLE].contains(code)
}

fn is_transient(code: &SqlState) -> bool {
    // 08 connection, 53 resources (too many clients, disk full), 57 shutdown, restart and time-outs,
    // 25006 a standby that was promoted or demoted, 25P03 a transaction that was idle too long
    let class = code.code().get(..2);
    is_conflict(code)
        || matches!(class, Some("08" | "53" | "57"))
        || [SqlState::READ_ONLY_SQL_TRANSACTION, SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT].contains(code)
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
}

fn first_line(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        return db.message().to_owned();
    }
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(code: Option<&str>) -> Error {
        let code = code.map(SqlState::from_code);
        Error::Statement { statement: "task_claim", code, problem: "말썽".to_owned() }
    }

    #[test]
    fn what_may_pass_is_transient_and_each_class_is_known() {
        let table = [
            (None, true, "connection"),
            (Some("40P01"), true, "conflict"),
            (Some("40001"), true, "conflict"),
            (Some("57014"), true, "timeout"),
            (Some("57P01"), true, "server"),
            (Some("57P03"), true, "server"),
            (Some("08006"), true, "server"),
            (Some("53300"), true, "server"),
            (Some("25006"), true, "server"),
            (Some("23505"), false, "statement"),
            (Some("42P01"), false, "statement"),
            (Some("22P05"), false, "statement"),
        ];
        for (code, transient, class) in table {
            let error = failed(code);
            assert_eq!((error.is_transient(), error.class()), (transient, class), "{code:?}");
            assert!(Error::CLASSES.contains(&class));
        }
        assert_eq!(failed(Some("40P01")).to_string(), "task_claim failed: 말썽 (40P01)");
        assert_eq!(failed(None).to_string(), "task_claim failed: 말썽");
    }
}
