//! What can go wrong between this process and Redis. Refuses to know what the caller does about it,
//! except whether asking again can help. No text here ever holds a URL.

use std::fmt::Write as _;

/// A failure of the bus; the text says what was attempted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL cannot be used; the text never quotes it, since it may hold a password.
    #[error("the Redis URL {0}")]
    Url(&'static str),
    /// There is no tokio runtime to hold the connections.
    #[error("the bus was made outside of a tokio runtime")]
    Homeless,
    /// Two buses share one registry, or a name is taken.
    #[error("the metrics of the bus cannot be registered")]
    Metrics(#[from] prometheus::Error),
    /// No connection, a lost one, or no answer in time.
    #[error("Redis cannot be reached: {doing}")]
    Unreachable {
        /// What was attempted.
        doing: &'static str,
        /// The client's own account.
        source: redis::RedisError,
    },
    /// Redis answered with an error.
    #[error("Redis refused: {doing}: {code} {detail}")]
    Refused {
        /// What was attempted.
        doing: &'static str,
        /// The first word of the answer, such as `NOPERM`.
        code: String,
        /// The rest of it.
        detail: String,
    },
    /// Redis answered with something of another shape than the protocol promises.
    #[error("Redis gave an answer of an unknown shape: {doing}")]
    Unreadable {
        /// What was attempted.
        doing: &'static str,
    },
}

impl Error {
    /// Tells whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { source, .. } => {
                !matches!(source.kind(), redis::ErrorKind::AuthenticationFailed | redis::ErrorKind::InvalidClientConfig)
            }
            Self::Refused { code, .. } => matches!(
                code.as_str(),
                "LOADING"
                    | "BUSY"
                    | "MISCONF"
                    | "MASTERDOWN"
                    | "READONLY"
                    | "TRYAGAIN"
                    | "OOM"
                    | "NOGROUP"
                    | "UNBLOCKED"
            ),
            Self::Url(_) | Self::Homeless | Self::Metrics(_) | Self::Unreadable { .. } => false,
        }
    }

    /// Tells whether a stream or its group is not there any more: Redis was emptied.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "NOGROUP" || code == "UNBLOCKED")
    }

    /// Tells whether the connection has to be replaced.
    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// Writes the error and its sources on one line, for a log.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            let _ = write!(text, ": {cause}");
            source = cause.source();
        }
        text
    }
}
