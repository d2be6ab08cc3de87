//! How fast a model's answer must come, and the choice among the ways to ask: the cheapest that meets the deadline.

mod choose;

pub use choose::{BATCH_UNKNOWN, Choice, FLEX_ROUND, Facts, HURRY, NOW_ROUND, Route, choose};

use crate::task::{UnknownWord, words};
use serde::{Deserialize, Serialize};

words! {
    /// How fast a model's answer must come.
    Pace {
        /// At once, at full price.
        Now = "now",
        /// Synchronous, slower, at the batch price, where the provider has such a tier.
        Flex = "flex",
        /// Through the provider's batch API, within a day, at half price.
        Batch = "batch",
        /// The cheapest of the three that meets the deadline.
        Auto = "auto",
    }
}
