//! Makes the lines of a batch's results, one after another, and bills each item the first time it is looked at.
//! Refuses to hold more than one line.

use std::io;
use std::sync::{Arc, PoisonError};

use super::blob::count;
use super::item::{Line, Outcome, Verdict};
use super::life::{Batch, Odd};
use super::plan::View;
use crate::draft::{self, Draft};
use crate::fault::Effect;
use crate::ledger::Entry;
use crate::seed;
use crate::state::State;
use crate::wire::{Ask, Meta, Provider, unix};

/// Which lines are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    All,
    /// OpenAI's output file.
    Answers,
    /// OpenAI's error file.
    Errors,
}

impl Which {
    fn takes(self, outcome: &Outcome<'_>) -> bool {
        match (self, outcome) {
            (Self::All, _) => true,
            (Self::Answers, outcome) => matches!(outcome, Outcome::Answer(_) | Outcome::Unknown),
            (Self::Errors, outcome) => !matches!(outcome, Outcome::Answer(_) | Outcome::Unknown),
        }
    }
}

/// Walks over a batch's results in their order.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) batch: Arc<Batch>,
    view: View,
    which: Which,
    rank: usize,
    bytes: Vec<u8>,
    again: Option<String>,
}

impl Results {
    pub(crate) fn new(batch: Arc<Batch>, which: Which) -> Self {
        let view = batch.view();
        Self { batch, view, which, rank: 0, bytes: Vec::new(), again: None }
    }

    /// The next line without its end; `None` after the last.
    pub(crate) fn next(&mut self, state: &State) -> io::Result<Option<String>> {
        if let Some(line) = self.again.take() {
            return Ok(Some(line));
        }
        let batch = Arc::clone(&self.batch);
        let done = batch.fruits(&self.view);
        let end = if batch.rest(&self.view).is_some() { batch.items.len() } else { done };
        while self.rank < end {
            let rank = self.rank;
            self.rank += 1;
            let Some((item, index)) = batch.verdict(rank) else { continue };
            let verdict = if rank < done { Some(item.verdict) } else { None };
            if !self.wants(verdict) {
                continue;
            }
            batch.blob.fill(item.at, item.length, &mut self.bytes)?;
            let line = match verdict {
                Some(_) => batch.executed(state, rank, &self.bytes, self.which),
                None => batch.undone(&self.view, index, &self.bytes, self.which),
            };
            if let Some(line) = line {
                if verdict.is_some_and(|verdict| batch.plays(verdict, Effect::ItemDuplicate)) {
                    self.again = Some(line.clone());
                }
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    /// Spares reading an item whose line belongs to the other file.
    fn wants(&self, verdict: Option<Verdict>) -> bool {
        let succeeds = verdict.is_some_and(|verdict| verdict.odd().is_none());
        match self.which {
            Which::All => true,
            Which::Answers => succeeds,
            Which::Errors => !succeeds,
        }
    }
}

impl Batch {
    /// Bills what is done and was not billed yet, at most so many items; returns whether anything is left to bill now.
    pub(crate) fn settle(&self, state: &State, most: usize) -> io::Result<bool> {
        let view = self.view();
        let done = match self.wire.provider() {
            // Whether anything comes of it is known at the end alone.
            Provider::Gemini if !view.phase.is_over() => 0,
            _ => self.fruits(&view),
        };
        let open: Vec<usize> = {
            let bills = self.bills.lock().unwrap_or_else(PoisonError::into_inner);
            if bills.count >= done {
                return Ok(false);
            }
            (0..done).filter(|rank| !bills.is_marked(*rank)).take(most).collect()
        };
        let mut bytes = Vec::new();
        for rank in &open {
            let Some((item, _)) = self.verdict(*rank) else { continue };
            self.blob.fill(item.at, item.length, &mut bytes)?;
            self.book(state, *rank, &bytes);
        }
        Ok(open.len() == most)
    }

    /// Bills an item without writing its line.
    fn book(&self, state: &State, rank: usize, bytes: &[u8]) {
        let Some((item, _)) = self.verdict(rank) else { return };
        match item.verdict {
            Verdict::Answer | Verdict::Faulty(_) => {
                let Some(line) = self.wire.line(bytes) else { return };
                let Ok(ask) = self.wire.read(line.body.get().as_bytes(), &self.model, self.form) else { return };
                let fault = item.verdict.fault(&self.lists);
                let draft = draft::compose(&ask, &state.options, fault);
                self.charge(state, rank, &line, &ask, &draft);
            }
            verdict => self.pass(state, rank, verdict),
        }
    }

    /// The line of an item that was executed, if the file that is asked for has it.
    fn executed(&self, state: &State, rank: usize, bytes: &[u8], which: Which) -> Option<String> {
        let (item, index) = self.verdict(rank)?;
        let verdict = item.verdict;
        let line = self.wire.line(bytes)?;
        let id = self.item_id(index);
        let write =
            |outcome: &Outcome<'_>| which.takes(outcome).then(|| self.wire.result(&line, outcome, &id, self.form));
        let outcome = match verdict {
            Verdict::Answer | Verdict::Faulty(_) => {
                let ask = self.wire.read(line.body.get().as_bytes(), &self.model, self.form).ok()?;
                let fault = verdict.fault(&self.lists);
                let draft = draft::compose(&ask, &state.options, fault);
                self.charge(state, rank, &line, &ask, &draft);
                if fault.is_some_and(|fault| fault.effect == Effect::Malformed) {
                    // Inline it is one of many in a body that must be JSON: there it only says nothing.
                    let end = if self.form.inline { "\"}" } else { "" };
                    return Some(format!(r#"{{"emulated": "malformed{end}"#));
                }
                let created = unix(self.created, self.plan.takes / 2);
                let body = self.wire.plain(&ask, &draft, &Meta { id: id.clone(), created });
                return write(&Outcome::Answer(&body));
            }
            Verdict::Refused(at) => {
                let refusal = self.lists.refusals.get(usize::try_from(at).ok()?)?;
                Outcome::Error(&refusal.problem)
            }
            Verdict::Expired => Outcome::Expired,
            Verdict::Cancelled => Outcome::Cancelled,
            Verdict::Timeout => Outcome::Timeout,
            Verdict::Unknown => Outcome::Unknown,
            Verdict::Missing => {
                self.pass(state, rank, verdict);
                return None;
            }
        };
        self.pass(state, rank, verdict);
        write(&outcome)
    }

    /// The line of an item that was not executed.
    fn undone(&self, view: &View, index: usize, bytes: &[u8], which: Which) -> Option<String> {
        let line = self.wire.line(bytes)?;
        let outcome = match self.rest(view)? {
            Odd::Cancelled => Outcome::Cancelled,
            _ => Outcome::Expired,
        };
        which.takes(&outcome).then(|| self.wire.result(&line, &outcome, &self.item_id(index), self.form))
    }

    /// Bills an answered item once.
    fn charge(&self, state: &State, rank: usize, line: &Line<'_>, ask: &Ask<'_>, draft: &Draft) {
        let Some((item, index)) = self.verdict(rank) else { return };
        let (usage, fault) = (draft.usage, item.verdict.fault(&self.lists));
        let mut bills = self.bills.lock().unwrap_or_else(PoisonError::into_inner);
        if !bills.mark(rank) {
            return;
        }
        bills.total.add(usage);
        drop(bills);
        let id = self.item_id(index);
        state.ledger.book(Entry {
            number: state.number(),
            provider: self.wire.provider().name(),
            endpoint: self.wire.name(),
            model: ask.model.as_ref().into(),
            stream: false,
            flex: false,
            pace: "batch",
            batch_id: Some(Arc::clone(&self.id)),
            custom_id: Some(line.id.as_ref().into()),
            input: usage.input,
            cache_read: usage.cache_read,
            cache_write: usage.cache_write,
            output: usage.output,
            reasoning: usage.reasoning,
            request_id: if self.wire.provider() == Provider::Gemini { id } else { format!("req_{id}") },
            client_request_id: None,
            fault: fault.map(|fault| fault.effect.name()),
            damaged: fault.is_some_and(|fault| fault.damages(false)),
        });
    }

    /// Counts an item that is not billed, once.
    fn pass(&self, state: &State, rank: usize, verdict: Verdict) {
        let mut bills = self.bills.lock().unwrap_or_else(PoisonError::into_inner);
        if !bills.mark(rank) {
            return;
        }
        drop(bills);
        let fault = match verdict {
            Verdict::Refused(at) => {
                usize::try_from(at).ok().and_then(|at| self.lists.refusals.get(at)).and_then(|refusal| refusal.fault)
            }
            Verdict::Expired => Some(Effect::ItemExpired.name()),
            Verdict::Cancelled => Some(Effect::ItemCancelled.name()),
            Verdict::Timeout => Some(Effect::ItemTimeout.name()),
            Verdict::Missing => Some(Effect::ItemMissing.name()),
            Verdict::Unknown => Some(Effect::ItemUnknown.name()),
            Verdict::Answer | Verdict::Faulty(_) => None,
        };
        state.ledger.refuse(fault);
    }

    fn plays(&self, verdict: Verdict, effect: Effect) -> bool {
        verdict.fault(&self.lists).is_some_and(|fault| fault.effect == effect)
    }

    /// Letters and digits that no other item of this emulator has, the same each time.
    fn item_id(&self, index: usize) -> String {
        let start = seed::key(3, [self.letters()]);
        seed::letters(seed::mix(start ^ u64::try_from(index).unwrap_or(u64::MAX)), 24)
    }
}

/// How many bytes the lines of results have, their ends included.
pub(crate) fn size(mut results: Results, state: &State) -> io::Result<u64> {
    let mut bytes = 0;
    while let Some(line) = results.next(state)? {
        bytes += count(line.as_bytes()) + 1;
    }
    Ok(bytes)
}
