//! Batches of asks at a provider: their states, their names there, and what is decided about them and their items.
//! Refuses to know the providers' wire formats, the time, and how a decision is carried out.

mod after;
mod close;
mod deadline;
mod delay;
mod token;
mod whole;

pub use after::{After, Told, Trial, after};
pub use close::{Limits, Waiting, is_due};
pub use deadline::give_up_at;
pub use delay::{poll_delay, retry_delay};
pub use token::{CUSTOM_ID_BYTES, CustomId, LAST_SUBMISSION, MOST_ITEMS, Token};
pub use whole::{Fault, Whole, whole};

use crate::task::{UnknownWord, words};
use serde::{Deserialize, Serialize};

words! {
    /// Where a batch stands.
    BatchState {
        /// It has its items and is not known to exist at the provider.
        Submitting = "submitting",
        /// The provider has it.
        Running = "running",
        /// The provider has ended it; its results are being taken in.
        Ended = "ended",
        /// Every item has ended.
        Settled = "settled",
        /// The provider took none of it; its items went other ways.
        Failed = "failed",
    }
}

impl BatchState {
    /// Tells whether none of its items waits for it any more.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Settled | Self::Failed)
    }
}

words! {
    /// Where one ask in a batch stands.
    ItemState {
        /// It waits for a batch.
        Queued = "queued",
        /// It is in a batch.
        Submitted = "submitted",
        /// It was answered.
        Succeeded = "succeeded",
        /// It was refused for good.
        FailedPermanent = "failed_permanent",
        /// It failed, and may succeed in another batch.
        FailedRetryable = "failed_retryable",
        /// The batch's time ran out before it.
        Expired = "expired",
        /// Its batch was cancelled before it, or nobody wants it any more.
        Cancelled = "cancelled",
        /// Its batch ended and said nothing of it.
        Missing = "missing",
    }
}

impl ItemState {
    /// Tells whether nothing is expected of it any more.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        !matches!(self, Self::Queued | Self::Submitted)
    }
}

words! {
    /// What becomes of the asks of a batch that its master cancels.
    CancelThen {
        /// They are asked at once.
        Now = "now",
        /// They go into another batch.
        Batch = "batch",
        /// They are cancelled, too.
        Cancel = "cancel",
    }
}
