//! What a master orders, and what is refused.

mod check;

pub use check::{FieldError, NewOrder, check};

use crate::{money::Nanos, pace::Pace, task::Priority};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The longest title, in characters (not bytes: a Korean title has as many as an English one).
pub const MAX_TITLE_CHARS: usize = 300;
/// The longest description, in characters.
pub const MAX_DESCRIPTION_CHARS: usize = 100_000;

/// The most destinations of one report.
pub const MAX_DELIVER: usize = 8;
/// The most agents that one order may name.
pub const MAX_AGENTS: usize = 64;

/// An order, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// What people read in lists.
    pub title: String,
    /// The whole text; may be empty when the title says it all.
    pub description: String,
    /// Among other orders.
    pub priority: Priority,
    /// The recipe; `None`: an open task on the board.
    pub playbook: Option<String>,
    /// For steps that name none.
    pub pace: Pace,
    /// When the report must be there.
    pub deadline: Option<OffsetDateTime>,
    /// Where the report goes besides the archive.
    pub deliver: Vec<Deliver>,
    /// Agents named for playbooks that take them, such as `answer`.
    pub agents: Vec<String>,
    /// The most that it may cost; asks beyond it are held.
    pub budget: Option<Nanos>,
}

impl Order {
    /// Returns all that was ordered: the title and, when it says more, the description.
    #[must_use]
    pub fn text(&self) -> String {
        let (title, description) = (self.title.trim(), self.description.trim());
        if description.is_empty() || description == title {
            title.to_owned()
        } else if description.starts_with(title) || title.is_empty() {
            // People paste the whole text and its first line as the title.
            description.to_owned()
        } else {
            format!("{title}\n\n{description}")
        }
    }
}

/// A destination of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Deliver {
    /// An HTTP POST, signed with HMAC-SHA256 after the Standard Webhooks specification.
    Webhook {
        /// `http` or `https`, without user info.
        url: String,
    },
}
