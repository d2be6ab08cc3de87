//! The guard against run loops: an order that keeps making the very same ask is stopped.

use super::{AskWork, View};
use crate::task::{Cause, Failure, State};
use std::collections::HashMap;
use uuid::Uuid;

/// How often one order may make the same ask, attempts and retries included.
pub const MOST_SAME_ASKS: i64 = 20;

/// Returns why an ask is not made when its order has made it so often, this time included.
#[must_use]
pub fn looped(asked: i64) -> Option<Failure> {
    let reason = || format!("the order has made this very ask {asked} times; more than {MOST_SAME_ASKS} is a loop");
    (asked > MOST_SAME_ASKS).then(|| Failure::new(Cause::Looped, reason()))
}

/// The asks that an order has made, counted by their words.
#[derive(Debug)]
pub(super) struct Asks {
    made: HashMap<i64, i64>,
}

impl Asks {
    pub(super) fn of(tasks: &[View]) -> Self {
        let mut made = HashMap::new();
        for view in tasks {
            if let Some(fingerprint) = view.fingerprint {
                *made.entry(fingerprint).or_default() += times(view);
            }
        }
        Self { made }
    }

    /// Counts an ask that is about to be queued, and notes in it how often it was made before by other tasks; the
    /// error says that this was often enough.
    pub(super) fn add(&mut self, ask: &mut AskWork, own: Option<&View>) -> Result<(), Failure> {
        let fingerprint = ask.fingerprint();
        let own = own.filter(|view| view.fingerprint == Some(fingerprint)).map_or(0, times);
        let all = self.made.entry(fingerprint).or_default();
        let others = *all - own;
        if let Some(failure) = looped(others + 1) {
            return Err(failure);
        }
        *all = others + own.max(1);
        ask.twins = u32::try_from(others).unwrap_or(0);
        Ok(())
    }
}

/// How often a task has made its ask; one that waits for its turn will make it.
fn times(view: &View) -> i64 {
    let made = i64::from(view.attempts.max(0));
    if view.state == State::Pending { made } else { made.max(1) }
}

/// Returns a task's view.
pub(super) fn own(tasks: &[View], id: Option<Uuid>) -> Option<&View> {
    id.and_then(|id| tasks.iter().find(|view| view.id == id))
}

impl AskWork {
    /// Returns the same number for the same words to the same models, today and in later versions: it is kept in
    /// rows. (FNV-1a, 64 bits; each part is led by its length, so that no two lists of parts read alike.)
    #[must_use]
    pub fn fingerprint(&self) -> i64 {
        const START: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let mut hash = START;
        let mut part = |text: &str| {
            let length = u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes();
            for byte in length.iter().chain(text.as_bytes()) {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
            }
        };
        part(&self.system);
        part(&self.prompt);
        part(&self.schema.as_ref().map(ToString::to_string).unwrap_or_default());
        self.models.iter().for_each(|model| part(model));
        i64::from_ne_bytes(hash.to_ne_bytes())
    }
}
