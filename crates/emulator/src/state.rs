//! What the worker threads of one emulator share. Refuses to know HTTP.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::fault::Book;
use crate::ledger::Keeper;
use crate::options::Options;
use crate::seed;

/// One emulator's options, faults, ledger and request counter.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) options: Options,
    pub(crate) faults: Book,
    pub(crate) ledger: Keeper,
    requests: AtomicU64,
}

impl State {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            faults: Book::new(options.seed),
            ledger: Keeper::new(options.ledger_cap),
            requests: AtomicU64::new(0),
            options,
        }
    }

    /// The number of the next request, from 0.
    pub(crate) fn number(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// How long the headers of request `number` are held back.
    pub(crate) fn delay(&self, number: u64) -> Duration {
        let jitter = u64::try_from(self.options.jitter.as_micros()).unwrap_or(u64::MAX);
        let drawn = match jitter {
            0 => 0,
            most => seed::mix(self.options.seed ^ number) % (most + 1),
        };
        self.options.delay + Duration::from_micros(drawn)
    }
}
