//! What a task is: its kind, its state and the moves that a state allows.

use serde::{Deserialize, Serialize};

/// Declares an enum whose variants have one fixed spelling, in JSON, SQL and metrics alike.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$vmeta])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every variant, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the one spelling used in JSON, SQL and metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
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
pub(crate) use words;

/// A spelling that is none of an enum's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is not one of {}", known.join(", "))]
pub struct UnknownWord {
    /// The enum's name.
    pub what: &'static str,
    /// What was given.
    pub word: String,
    /// What would have been right.
    pub known: &'static [&'static str],
}

words! {
    /// Who performs a task.
    Kind {
        /// The orchestrator divides it by a playbook.
        Plan = "plan",
        /// A model answers it.
        Ask = "ask",
        /// The executor runs it.
        Command = "command",
        /// Any agent or person may claim it on the board.
        Open = "open",
        /// A person decides it.
        Approval = "approval",
        /// A courier sends the report.
        Deliver = "deliver",
    }
}

words! {
    /// Where a task stands.
    State {
        /// Accepted, not yet ready: a root before its plan, a step before its needs.
        Pending = "pending",
        /// Ready, and announced to whoever performs its kind.
        Queued = "queued",
        /// Claimed; its lease is renewed while it runs.
        InProgress = "in_progress",
        /// Waits for an approval or for budget.
        Held = "held",
        /// Ended well.
        Completed = "completed",
        /// Ended badly, with a cause.
        Failed = "failed",
        /// Ended by its master, by its parent, or because its step was not wanted.
        Cancelled = "cancelled",
    }
}

impl State {
    /// Tells whether the task has ended.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// The table of allowed moves. `retry` alone leads out of `failed` and `cancelled`.
    #[must_use]
    pub const fn may_move_to(self, to: Self) -> bool {
        use State::{Cancelled, Completed, Failed, Held, InProgress, Pending, Queued};
        match self {
            Pending => matches!(to, Queued | InProgress | Held | Failed | Cancelled),
            // `queued → failed`: the batch-poller refuses what it cannot serve without claiming it.
            // `queued → completed`: the lease ran out before the answer was written, and nobody has begun again.
            Queued => matches!(to, InProgress | Held | Completed | Failed | Cancelled),
            // `in_progress → queued`: the lease ran out and the task may be repeated.
            InProgress => matches!(to, Queued | Held | Completed | Failed | Cancelled),
            Held => matches!(to, Queued | InProgress | Failed | Cancelled),
            Failed | Cancelled => matches!(to, Pending | InProgress),
            Completed => false,
        }
    }
}

words! {
    /// How urgent a task is among others of its kind.
    Priority {
        /// After everything else.
        Low = "low",
        /// The default.
        Normal = "normal",
        /// Before normal work.
        High = "high",
        /// Before all other work.
        Urgent = "urgent",
    }
}

impl Priority {
    /// Returns the rank kept in SQL: 0 (low) to 3 (urgent).
    #[must_use]
    pub const fn rank(self) -> i16 {
        match self {
            Self::Low => 0,
            Self::Normal => 1,
            Self::High => 2,
            Self::Urgent => 3,
        }
    }

    /// Returns the priority of a rank read from SQL; ranks out of range are clamped.
    #[must_use]
    pub const fn from_rank(rank: i16) -> Self {
        match rank {
            i16::MIN..=0 => Self::Low,
            1 => Self::Normal,
            2 => Self::High,
            3..=i16::MAX => Self::Urgent,
        }
    }
}

words! {
    /// Why a task ended badly or was cancelled: a closed list, fit for a metric's label.
    Cause {
        /// The performer died under it and it must not be repeated (DESIGN §4.5).
        Lost = "lost",
        /// Its time limit passed.
        TimedOut = "timed_out",
        /// The answer did not satisfy the step's schema, however often it was asked again.
        Misfit = "misfit",
        /// The provider refused the request for good (400, 401, 403, 413, 422, a refusal).
        Refused = "refused",
        /// Retries and fail-overs are used up.
        Exhausted = "exhausted",
        /// No provider that is switched on serves any of the agent's models.
        Unavailable = "unavailable",
        /// What was asked is not served here.
        Unsupported = "unsupported",
        /// A template, `when` or `for_each` could not be evaluated.
        BadTemplate = "bad_template",
        /// The step's `when` was false.
        Skipped = "skipped",
        /// A step that this one needs ended badly.
        NeedFailed = "need_failed",
        /// Cancelled by its master or with its parent.
        Cancelled = "cancelled",
        /// The command ended with a code other than 0.
        CommandFailed = "command_failed",
        /// The agent that had claimed it reported failure.
        AgentFailed = "agent_failed",
        /// The report could not be delivered.
        Undelivered = "undelivered",
        /// The kernel refused a layer of the sandbox, so nothing was run.
        Unconfined = "unconfined",
        /// The order made the very same ask again and again.
        Looped = "looped",
        /// A defect of ours; the log has the rest.
        Internal = "internal",
    }
}

words! {
    /// What a held task waits for.
    HeldFor {
        /// A person decides.
        Approval = "approval",
        /// There is not money enough for it.
        Budget = "budget",
        /// No provider that could serve it can at the moment.
        Blackout = "blackout",
    }
}

/// Why a task ended badly, for people and for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The stable code.
    pub cause: Cause,
    /// One plain sentence, without secrets.
    pub reason: String,
}

impl Failure {
    /// Builds a failure from its code and its sentence.
    pub fn new(cause: Cause, reason: impl Into<String>) -> Self {
        Self { cause, reason: reason.into() }
    }
}
