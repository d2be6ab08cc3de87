//! Keeps what was answered, and so billed, by the emulator. Refuses to know prices.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

/// Tokens that one answer is billed for; the parts of `input` that came from or went to a cache are counted apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Usage {
    pub(crate) input: u64,
    pub(crate) cache_read: u64,
    pub(crate) cache_write: u64,
    pub(crate) output: u64,
    pub(crate) reasoning: u64,
}

impl Usage {
    /// Adds the tokens of another answer.
    pub(crate) fn add(&mut self, other: Self) {
        self.input += other.input;
        self.cache_read += other.cache_read;
        self.cache_write += other.cache_write;
        self.output += other.output;
        self.reasoning += other.reasoning;
    }
}

/// Totals of one provider's model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// `anthropic`, `openai` or `gemini`.
    pub provider: &'static str,
    /// The model as it was asked for.
    pub model: Arc<str>,
    /// Asks whose answer was sent whole.
    pub answered: u64,
    /// Asks that were billed, and whose answer a fault then damaged.
    pub damaged: u64,
    /// Input tokens that came from no cache, of all billed asks.
    pub input: u64,
    /// Input tokens read from a cache.
    pub cache_read: u64,
    /// Input tokens written to a cache.
    pub cache_write: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
}

/// One billed ask.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// Its number among all requests of this emulator, from 0.
    pub number: u64,
    /// `anthropic`, `openai` or `gemini`.
    pub provider: &'static str,
    /// `messages`, `chat`, `responses` or `generate`.
    pub endpoint: &'static str,
    /// The model as it was asked for.
    pub model: Arc<str>,
    /// Whether the answer was a stream.
    pub stream: bool,
    /// Whether it was asked at the flex tier.
    pub flex: bool,
    /// `now`, `flex` or `batch`.
    pub pace: &'static str,
    /// The batch that it was an item of.
    pub batch_id: Option<Arc<str>>,
    /// The item's `custom_id`, or `key`.
    pub custom_id: Option<Box<str>>,
    /// Input tokens that came from no cache.
    pub input: u64,
    /// Input tokens read from a cache.
    pub cache_read: u64,
    /// Input tokens written to a cache.
    pub cache_write: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// Output tokens that went into reasoning.
    pub reasoning: u64,
    /// The id that the emulator gave the request.
    pub request_id: String,
    /// The first of `x-client-request-id`, `idempotency-key`, `x-request-id` that the client sent.
    pub client_request_id: Option<String>,
    /// The fault that was played with this answer.
    pub fault: Option<&'static str>,
    /// Whether the fault damaged the answer, so that the client cannot have read it whole.
    pub damaged: bool,
}

/// What an emulator has billed so far.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Ledger {
    /// Asks whose answer was sent whole.
    pub answered: u64,
    /// Asks that were billed, and whose answer a fault then damaged.
    pub damaged: u64,
    /// Asks that got an error instead of an answer, scripted or deserved; not billed.
    pub refused: u64,
    /// Totals by provider and model, in the order of first use.
    pub models: Vec<Tally>,
    /// How often each scripted fault was played.
    pub faults: BTreeMap<&'static str, u64>,
    /// The billed asks one by one, oldest first, up to the cap.
    pub requests: Vec<Entry>,
    /// Billed asks that the cap kept out of `requests`.
    pub unlisted: u64,
}

#[derive(Debug, Default)]
struct Pages {
    ledger: Ledger,
    places: HashMap<Arc<str>, Vec<usize>>,
}

/// The ledger of a running emulator.
#[derive(Debug)]
pub(crate) struct Keeper {
    cap: usize,
    pages: Mutex<Pages>,
}

impl Keeper {
    pub(crate) fn new(cap: usize) -> Self {
        Self { cap, pages: Mutex::default() }
    }

    /// Books one billed ask; `model` replaces the entry's own so that each name is kept once.
    pub(crate) fn book(&self, mut entry: Entry) {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let Pages { ledger, places } = &mut *pages;
        let known = places.get(&entry.model).and_then(|at| {
            at.iter().copied().find(|at| ledger.models.get(*at).is_some_and(|tally| tally.provider == entry.provider))
        });
        let at = known.unwrap_or_else(|| {
            let at = ledger.models.len();
            ledger.models.push(Tally { provider: entry.provider, model: Arc::clone(&entry.model), ..Tally::default() });
            places.entry(Arc::clone(&entry.model)).or_default().push(at);
            at
        });
        let whole = u64::from(!entry.damaged);
        ledger.answered += whole;
        ledger.damaged += 1 - whole;
        if let Some(name) = entry.fault {
            *ledger.faults.entry(name).or_default() += 1;
        }
        if let Some(tally) = ledger.models.get_mut(at) {
            tally.answered += whole;
            tally.damaged += 1 - whole;
            tally.input += entry.input;
            tally.cache_read += entry.cache_read;
            tally.cache_write += entry.cache_write;
            tally.output += entry.output;
            entry.model = Arc::clone(&tally.model);
        }
        if ledger.requests.len() < self.cap {
            ledger.requests.push(entry);
        } else {
            ledger.unlisted += 1;
        }
    }

    /// Counts an ask that got an error, with the fault when one was scripted.
    pub(crate) fn refuse(&self, fault: Option<&'static str>) {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.ledger.refused += 1;
        if let Some(name) = fault {
            *pages.ledger.faults.entry(name).or_default() += 1;
        }
    }

    /// Counts a fault that was played where nothing is billed or refused.
    pub(crate) fn played(&self, fault: &'static str) {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        *pages.ledger.faults.entry(fault).or_default() += 1;
    }

    /// At most `limit` of the listed asks, from the one at place `from` on.
    pub(crate) fn slice(&self, from: usize, limit: usize) -> Vec<Entry> {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.ledger.requests.iter().skip(from).take(limit).cloned().collect()
    }

    /// A copy with at most `limit` of the newest listed asks.
    pub(crate) fn copy(&self, limit: usize) -> Ledger {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let ledger = &pages.ledger;
        let skipped = ledger.requests.len().saturating_sub(limit);
        Ledger {
            answered: ledger.answered,
            damaged: ledger.damaged,
            refused: ledger.refused,
            models: ledger.models.clone(),
            faults: ledger.faults.clone(),
            requests: ledger.requests.iter().skip(skipped).cloned().collect(),
            unlisted: ledger.unlisted + u64::try_from(skipped).unwrap_or(u64::MAX),
        }
    }

    /// Starts an empty ledger.
    pub(crate) fn clear(&self) {
        *self.pages.lock().unwrap_or_else(PoisonError::into_inner) = Pages::default();
    }
}
