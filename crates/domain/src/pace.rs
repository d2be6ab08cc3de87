//! How fast a model's answer must come.

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
