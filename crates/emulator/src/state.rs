//! What the worker threads of one emulator share. Refuses to know HTTP.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::batch::Shelf;
use crate::fault::Book;
use crate::ledger::Keeper;
use crate::options::Options;
use crate::seed;

/// One emulator's options, faults, ledger, batches and request counter.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) options: Options,
    pub(crate) faults: Book,
    pub(crate) ledger: Keeper,
    pub(crate) batches: Shelf,
    pub(crate) clock: Clock,
    requests: AtomicU64,
}

/// How long batches created from now on take.
#[derive(Debug)]
pub(crate) struct Clock {
    batch: AtomicU64,
    day: AtomicU64,
}

impl Clock {
    /// From its creation to its end.
    pub(crate) fn batch(&self) -> Duration {
        Duration::from_micros(self.batch.load(Ordering::Relaxed))
    }

    /// The 24 hours after which a batch expires.
    pub(crate) fn day(&self) -> Duration {
        Duration::from_micros(self.day.load(Ordering::Relaxed))
    }

    pub(crate) fn set_batch(&self, time: Duration) {
        self.batch.store(micros(time), Ordering::Relaxed);
    }

    pub(crate) fn set_day(&self, time: Duration) {
        self.day.store(micros(time), Ordering::Relaxed);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl State {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            faults: Book::new(options.seed),
            ledger: Keeper::new(options.ledger_cap),
            batches: Shelf::default(),
            clock: Clock {
                batch: AtomicU64::new(micros(options.batch_time)),
                day: AtomicU64::new(micros(options.batch_day)),
            },
            requests: AtomicU64::new(0),
            options,
        }
    }

    /// The number of the next request, from 0.
    pub(crate) fn number(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Bills all items of batches that are done by now.
    pub(crate) fn settle(&self) {
        for batch in self.batches.all() {
            // A batch whose bytes cannot be read cannot be answered either.
            let _ = batch.settle(self, usize::MAX);
        }
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
