//! What to do with a batch that the provider failed as a whole.

use std::collections::BTreeMap;

/// One thing that a provider found wrong with a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The provider has too many tokens in its queue: later it may take the same batch.
    pub token_limit: bool,
    /// The line at fault, from 1.
    pub line: Option<u32>,
    /// What the provider said, fit for people.
    pub message: String,
}

/// What to do with a failed batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whole {
    /// Create it again when others have ended.
    Later,
    /// These items (their places, from 0) are at fault; the others may go into another batch.
    Items(BTreeMap<i32, String>),
    /// Nobody can say which item is at fault: each is to be asked on its own, where it gets its own error.
    Apart,
    /// The provider named no fault: its items may go into another batch.
    Again,
}

/// Decides what to do with a batch of so many items that failed with these faults.
#[must_use]
pub fn whole(faults: &[Fault], items: i32) -> Whole {
    if faults.iter().any(|fault| fault.token_limit) {
        return Whole::Later;
    }
    let mut guilty = BTreeMap::new();
    for fault in faults {
        let place = fault.line.and_then(|line| i32::try_from(line.checked_sub(1)?).ok());
        match place.filter(|place| *place < items) {
            Some(place) => {
                guilty.entry(place).or_insert_with(|| fault.message.clone());
            }
            // Something that no line is to blame for would meet the others again.
            None => return Whole::Apart,
        }
    }
    if guilty.is_empty() { Whole::Again } else { Whole::Items(guilty) }
}
