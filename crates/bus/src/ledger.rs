//! What this consumer holds, by place in its streams. Refuses to speak to Redis: it is what this
//! process believes, and the scripts check it against the group.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::entry::EventId;
use crate::topic::Lane;

/// The place of an entry: its lane, and its id there.
pub(crate) type Place = (Lane, EventId);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// A handler has it: its lease is renewed.
    Working,
    /// The handler is done with it; Redis does not know yet.
    Settling,
    /// The handler failed; it may be delivered again from that moment on.
    Failed(Instant),
}

/// The entries that are in this consumer's name.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    holds: Mutex<HashMap<Place, Hold>>,
    settling: AtomicUsize,
    filled: Notify,
}

impl Ledger {
    /// Enters a delivery; false when a handler of this process already has it, as after a lease that
    /// ran out while Redis was away: then it must not be delivered a second time.
    pub(crate) fn take(&self, place: Place) -> bool {
        let mut holds = self.locked();
        if matches!(holds.get(&place), Some(Hold::Working | Hold::Settling)) {
            return false;
        }
        if holds.is_empty() {
            self.filled.notify_one();
        }
        holds.insert(place, Hold::Working);
        true
    }

    pub(crate) fn knows(&self, place: Place) -> bool {
        self.locked().contains_key(&place)
    }

    pub(crate) fn settling(&self, place: Place) {
        self.locked().insert(place, Hold::Settling);
        self.settling.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self, place: Place, until: Instant) {
        self.locked().insert(place, Hold::Failed(until));
    }

    /// Redis knows what became of these.
    pub(crate) fn settled(&self, places: impl ExactSizeIterator<Item = Place>) {
        self.settling.fetch_sub(places.len(), Ordering::Relaxed);
        let mut holds = self.locked();
        for place in places {
            holds.remove(&place);
        }
    }

    /// How many entries are done with, and Redis does not know yet.
    pub(crate) fn backlog(&self) -> usize {
        self.settling.load(Ordering::Relaxed)
    }

    /// Forgets failed entries whose lease has run out: whoever is first may claim them.
    pub(crate) fn forget_failed(&self, now: Instant) {
        self.locked().retain(|_, hold| !matches!(hold, Hold::Failed(until) if *until <= now));
    }

    /// When the first failed entry may be delivered again.
    pub(crate) fn next_failed(&self) -> Option<Instant> {
        let due = |hold: &Hold| match hold {
            Hold::Failed(until) => Some(*until),
            Hold::Working | Hold::Settling => None,
        };
        self.locked().values().filter_map(due).min()
    }

    pub(crate) fn len(&self) -> usize {
        self.locked().len()
    }

    /// The ids of one lane whose leases are to be renewed.
    pub(crate) fn working(&self, lane: Lane) -> Vec<EventId> {
        let working = |(place, hold): (&Place, &Hold)| (place.0 == lane && *hold == Hold::Working).then_some(place.1);
        self.locked().iter().filter_map(working).collect()
    }

    /// Waits until there is something in the ledger.
    pub(crate) async fn filled(&self) {
        while self.len() == 0 {
            self.filled.notified().await;
        }
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Place, Hold>> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_handler_has_is_not_delivered_again_and_what_it_failed_is() {
        let ledger = Ledger::default();
        let place = (Lane::Normal, "5-0".parse().unwrap());
        assert!(ledger.take(place));
        assert!(!ledger.take(place));
        assert_eq!(ledger.working(Lane::Normal), [place.1]);
        assert!(ledger.working(Lane::Express).is_empty());
        ledger.settling(place);
        assert!(!ledger.take(place), "its acknowledgement is on the way");
        assert!(ledger.working(Lane::Normal).is_empty());
        assert_eq!(ledger.backlog(), 1);
        ledger.settled([place].into_iter());
        assert_eq!((ledger.backlog(), ledger.len()), (0, 0));
        assert!(ledger.take(place));
        let until = Instant::now();
        ledger.failed(place, until);
        assert_eq!(ledger.next_failed(), Some(until));
        assert!(ledger.take(place));
        ledger.failed(place, until);
        ledger.forget_failed(until);
        assert_eq!(ledger.len(), 0);
    }
}
