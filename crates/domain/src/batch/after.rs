//! What becomes of one ask when its batch has said what it has to say of it.

use super::ItemState;
use crate::task::Cause;

/// What a batch told of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// An answer that can be used.
    Answer,
    /// An answer that cannot be used: empty, or against the schema.
    Misfit,
    /// The provider refused the request for good.
    Refused,
    /// This model cannot serve the request; another may.
    Unfit,
    /// It failed in a way that may pass.
    Failed,
    /// The batch's time ran out before it.
    Expired,
    /// The batch was cancelled before it.
    Cancelled,
    /// Nothing, although the batch has ended.
    Nothing,
}

/// What an ask has been through, and what it allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial {
    /// How many batches it has been in, this one included.
    pub tries: i32,
    /// How many of its answers could not be used, before this one.
    pub misfits: i32,
    /// How often a misfit is asked again.
    pub retry: u32,
    /// It may be asked at pace now when batches fail it.
    pub fallback: bool,
    /// In how many batches it may fail before it is asked otherwise.
    pub most: u32,
}

/// What to do with the ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// Its task is completed with the answer.
    Complete,
    /// It waits for another batch, as it is.
    Again,
    /// It waits for another batch, with its answer and what was wrong with it.
    Correct,
    /// It is asked at pace now.
    Now,
    /// Its task has failed.
    Fail(Cause),
}

impl Told {
    /// Returns where the item stands after this.
    #[must_use]
    pub const fn state(self) -> ItemState {
        match self {
            Self::Answer | Self::Misfit => ItemState::Succeeded,
            Self::Refused => ItemState::FailedPermanent,
            Self::Unfit | Self::Failed => ItemState::FailedRetryable,
            Self::Expired => ItemState::Expired,
            Self::Cancelled => ItemState::Cancelled,
            Self::Nothing => ItemState::Missing,
        }
    }
}

/// Decides what to do with an ask whose task still waits for it. Whatever comes, it ends within `most + retry`
/// batches.
#[must_use]
pub fn after(told: Told, trial: &Trial) -> After {
    let otherwise = |cause| if trial.fallback { After::Now } else { After::Fail(cause) };
    match told {
        Told::Answer => After::Complete,
        Told::Misfit if i64::from(trial.misfits) < i64::from(trial.retry) => After::Correct,
        Told::Misfit => After::Fail(Cause::Misfit),
        Told::Refused => After::Fail(Cause::Refused),
        Told::Unfit => otherwise(Cause::Unavailable),
        Told::Failed | Told::Expired | Told::Cancelled | Told::Nothing => {
            // A misfit is an answer: it does not count against the batches.
            let failed = i64::from(trial.tries).saturating_sub(i64::from(trial.misfits));
            if failed < i64::from(trial.most) { After::Again } else { otherwise(Cause::Exhausted) }
        }
    }
}
