//! One batch from its creation to its results. Refuses to change but by being cancelled, billed and cleaned up.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;

use super::blob::Blob;
use super::item::{Item, Lists, Verdict};
use super::plan::{Phase, Plan, View};
use super::start::Words;
use crate::ledger::Usage;
use crate::wire::{Provider, Wire};

/// Why a whole batch failed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Flaw {
    pub(crate) code: String,
    pub(crate) line: Option<u64>,
    pub(crate) message: String,
    pub(crate) param: Option<&'static str>,
}

/// How a batch's items are written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Form {
    /// Anthropic: under the newer version of the API.
    pub(crate) newer: bool,
    /// Gemini: the requests, or the responses, are in the batch itself.
    pub(crate) inline: bool,
    /// Gemini, inline: responses carry their metadata.
    pub(crate) keyed: bool,
}

/// Items by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) succeeded: usize,
    pub(crate) errored: usize,
    pub(crate) expired: usize,
    pub(crate) cancelled: usize,
}

/// Tokens of all of a batch's billed items.
pub(crate) type Bill = Usage;

/// One batch.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Its number among all batches of this emulator.
    pub(crate) number: u64,
    pub(crate) id: Arc<str>,
    pub(crate) wire: Wire,
    pub(crate) form: Form,
    /// The model of the batch, or of its first item.
    pub(crate) model: String,
    /// Display name, words of the metadata.
    pub(crate) label: String,
    pub(crate) metadata: Option<Box<RawValue>>,
    pub(crate) input_file: Option<String>,
    /// Its first item's texts.
    pub(crate) sample: String,
    pub(crate) created: OffsetDateTime,
    pub(crate) plan: Plan,
    pub(crate) blob: Arc<Blob>,
    pub(crate) items: Vec<Item>,
    /// The items in the order in which they get done, and in which results list them.
    pub(crate) order: Vec<u32>,
    /// Places in `order` of items that do not succeed.
    pub(crate) odd: Vec<(u32, Odd)>,
    pub(super) lists: Lists,
    pub(crate) flaws: Vec<Flaw>,
    pub(crate) quirks: Quirks,
    pub(crate) empty_error_id: bool,
    pub(crate) job_prefix: bool,
    /// When it was created, on the clock that never jumps.
    pub(super) born: Instant,
    pub(super) cancelled: OnceLock<Duration>,
    pub(super) bills: Mutex<Bills>,
    /// Whether its output and its error file were deleted.
    pub(crate) output_gone: AtomicBool,
    pub(crate) errors_gone: AtomicBool,
}

/// How an item does not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Odd {
    Errored,
    Expired,
    Cancelled,
}

/// Faults that last as long as the batch.
#[derive(Debug, Default)]
pub(crate) struct Quirks {
    /// Not found by its id until so long after create.
    pub(super) hidden: Duration,
    /// Not listed until so long after create.
    pub(super) unlisted: Duration,
    /// A status word while it runs.
    pub(super) word: Option<String>,
    /// Items that were not executed have no line.
    pub(super) silent: bool,
    /// Gemini: a cancelled batch carries what was done.
    pub(super) keeps: bool,
}

/// Which items were billed or refused, and what that came to.
#[derive(Debug, Default)]
pub(super) struct Bills {
    done: Vec<u64>,
    pub(super) count: usize,
    pub(super) total: Bill,
}

impl Bills {
    pub(super) fn new(items: usize) -> Self {
        Self { done: vec![0; items.div_ceil(64)], ..Self::default() }
    }

    /// Marks the item at a place of the order; true the first time.
    pub(super) fn mark(&mut self, rank: usize) -> bool {
        let Some(word) = self.done.get_mut(rank / 64) else { return false };
        let bit = 1 << (rank % 64);
        let first = *word & bit == 0;
        *word |= bit;
        self.count += usize::from(first);
        first
    }

    pub(super) fn is_marked(&self, rank: usize) -> bool {
        self.done.get(rank / 64).is_none_or(|word| word & (1 << (rank % 64)) != 0)
    }
}

impl Batch {
    /// The batch as it is now.
    pub(crate) fn view(&self) -> View {
        self.plan.look(self.born.elapsed(), self.cancelled.get().copied())
    }

    /// Cancels it; false when it is over already.
    pub(crate) fn cancel(&self) -> bool {
        let over = self.view().phase.is_over();
        if !over {
            self.cancelled.get_or_init(|| self.born.elapsed());
        }
        !over
    }

    /// What the conditions of faults look at.
    pub(crate) fn words(&self) -> Words<'_> {
        let file = self.input_file.as_deref().unwrap_or_default();
        Words { model: &self.model, texts: vec![&self.id, &self.label, file, &self.sample] }
    }

    /// Whether it can be found by its id.
    pub(crate) fn is_seen(&self) -> bool {
        self.born.elapsed() >= self.quirks.hidden
    }

    /// Whether lists have it.
    pub(crate) fn is_listed(&self) -> bool {
        self.born.elapsed() >= self.quirks.unlisted
    }

    /// The scripted status word while it runs.
    pub(crate) fn word(&self) -> Option<&str> {
        self.quirks.word.as_deref()
    }

    /// How many items of the order have a result: all that are done; with Gemini none unless the batch succeeded.
    pub(crate) fn fruits(&self, view: &View) -> usize {
        match view.phase {
            Phase::Failed => 0,
            Phase::Completed => view.finished,
            Phase::Cancelled if self.quirks.keeps => view.finished,
            _ if self.wire.provider() == Provider::Gemini => 0,
            _ => view.finished,
        }
    }

    /// What becomes of items that were not done, once the batch is over; `None` when nothing is said of them.
    pub(crate) fn rest(&self, view: &View) -> Option<Odd> {
        match view.phase {
            _ if self.quirks.silent || self.wire.provider() == Provider::Gemini => None,
            Phase::Expired => Some(Odd::Expired),
            Phase::Cancelled => Some(Odd::Cancelled),
            _ => None,
        }
    }

    /// Items by how they ended so far; OpenAI counts none that was not executed.
    pub(crate) fn counts(&self, view: &View) -> Counts {
        let done = self.fruits(view);
        let mut counts = Counts { succeeded: done, ..Counts::default() };
        for (_, odd) in self.odd.iter().take_while(|(rank, _)| is_below(*rank, done)) {
            counts.succeeded -= 1;
            *counts.of(*odd) += 1;
        }
        if let (Provider::Anthropic, Some(rest)) = (self.wire.provider(), self.ending(view)) {
            *counts.of(rest) += self.items.len() - done;
        }
        counts
    }

    /// As what undone items count, whether results list them or not.
    fn ending(&self, view: &View) -> Option<Odd> {
        match view.phase {
            Phase::Expired => Some(Odd::Expired),
            Phase::Cancelled => Some(Odd::Cancelled),
            _ => None,
        }
    }

    /// OpenAI: whether there is an output file.
    pub(crate) fn has_output(&self, view: &View) -> bool {
        let done = self.fruits(view);
        let odd = self.odd.iter().take_while(|(rank, _)| is_below(*rank, done)).count();
        view.phase.is_over() && odd < done
    }

    /// OpenAI: whether there is an error file.
    pub(crate) fn has_errors(&self, view: &View) -> bool {
        let done = self.fruits(view);
        let odd = self.odd.first().is_some_and(|(rank, _)| is_below(*rank, done));
        view.phase.is_over() && (odd || (self.rest(view).is_some() && done < self.items.len()))
    }

    /// The id of its output file.
    pub(crate) fn output_id(&self) -> String {
        format!("file-out{}", self.letters())
    }

    /// The id of its error file.
    pub(crate) fn errors_id(&self) -> String {
        format!("file-err{}", self.letters())
    }

    /// Gemini: the name of its results' file.
    pub(crate) fn responses_name(&self) -> String {
        format!("files/batch-{}", self.letters())
    }

    /// The letters of its id.
    pub(crate) fn letters(&self) -> &str {
        self.id.rsplit(['_', '/']).next().unwrap_or_default()
    }

    /// What its items came to, once it is over and each was billed.
    pub(crate) fn bill(&self, view: &View) -> Option<Bill> {
        let bills = self.bills.lock().unwrap_or_else(PoisonError::into_inner);
        (view.phase.is_over() && bills.count >= self.fruits(view) && bills.count > 0).then_some(bills.total)
    }

    pub(super) fn verdict(&self, rank: usize) -> Option<(&Item, usize)> {
        let index = usize::try_from(*self.order.get(rank)?).ok()?;
        Some((self.items.get(index)?, index))
    }
}

impl Counts {
    fn of(&mut self, odd: Odd) -> &mut usize {
        match odd {
            Odd::Errored => &mut self.errored,
            Odd::Expired => &mut self.expired,
            Odd::Cancelled => &mut self.cancelled,
        }
    }
}

impl Verdict {
    /// How an item with this verdict does not succeed.
    pub(super) fn odd(self) -> Option<Odd> {
        match self {
            Self::Refused(_) | Self::Timeout => Some(Odd::Errored),
            Self::Expired => Some(Odd::Expired),
            Self::Cancelled => Some(Odd::Cancelled),
            Self::Answer | Self::Faulty(_) | Self::Missing | Self::Unknown => None,
        }
    }
}

fn is_below(rank: u32, limit: usize) -> bool {
    usize::try_from(rank).is_ok_and(|rank| rank < limit)
}
