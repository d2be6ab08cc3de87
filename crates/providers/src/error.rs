//! What can go wrong, classified once, in words fit for people.
//! Refuses to carry a key, a URL's query or the body of a request.

use crate::{catalogue::CatalogueError, chat::Answer};
use std::time::Duration;

/// Why an ask brought no answer that may be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{reason}")]
pub struct Error {
    /// What to do about it.
    pub class: Class,
    /// The provider's name in the catalogue.
    pub provider: String,
    /// The HTTP status, when the failure is one.
    pub status: Option<u16>,
    /// One plain sentence, with the provider's own message where it gave one.
    pub reason: String,
    /// What was billed all the same: a refusal, a filtered or an empty answer, and the tries before it.
    pub billed: Option<Box<Answer>>,
}

/// What to do about a failure (DESIGN §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It may pass by itself. [`crate::Providers::ask`] has already tried again as often as it may.
    Retry {
        /// How long the provider asked to be left alone, if it said so and could not be waited for.
        after: Option<Duration>,
    },
    /// This model cannot serve the request; another one may.
    FailOver,
    /// Nothing will work at this provider until a person acts: key, money, quota, address.
    Hold,
    /// The request itself is at fault; no other model would take it.
    Fail,
}

impl Class {
    /// Returns the class's word, fit for a metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry { .. } => "retry",
            Self::FailOver => "fail_over",
            Self::Hold => "hold",
            Self::Fail => "fail",
        }
    }
}

impl Error {
    /// Tells whether the same request may succeed later, with nothing changed.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self.class, Class::Retry { .. })
    }

    pub(crate) fn new(class: Class, provider: &str, reason: String) -> Self {
        Self { class, provider: provider.to_owned(), status: None, reason, billed: None }
    }
}

/// Why the providers could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The catalogue is not right.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// A base URL is not right.
    #[error("{variable}: {problem}; a right one is {expected}")]
    BaseUrl {
        /// The variable that holds it.
        variable: String,
        /// What is wrong with it.
        problem: String,
        /// What would be right.
        expected: String,
    },
    /// A key cannot be sent in a header.
    #[error("{variable}: the key has characters that no HTTP header may have")]
    Key {
        /// The variable that holds it.
        variable: String,
    },
    /// The HTTP client could not be built.
    #[error("building the HTTP client: {0}")]
    Client(String),
    /// The metrics could not be registered.
    #[error("registering the metrics of providers: {0}")]
    Metrics(#[from] prometheus::Error),
}

impl SetupError {
    /// Tells whether trying again may help: never, each needs a person.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        false
    }
}
