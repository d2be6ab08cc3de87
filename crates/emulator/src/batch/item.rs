//! One item of a batch: where its bytes lie and what was decided about it when it came. Refuses to hold its text or
//! its answer: those are read and made again when they are asked for.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::fault::{Effect, Fault, Point, Subject};
use crate::problem::Problem;
use crate::state::State;
use crate::wire::{Ask, Wire};

/// An item as its provider wrote it.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    /// `custom_id` or `key`; empty when there is none.
    pub(crate) id: Cow<'a, str>,
    /// The request.
    pub(crate) body: &'a RawValue,
    /// Gemini, inline: what goes back with the answer.
    pub(crate) metadata: Option<&'a RawValue>,
}

/// Where an item lies, and what becomes of it once it is its turn.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) at: u64,
    pub(crate) length: u32,
    pub(crate) verdict: Verdict,
}

/// What becomes of an item; numbers point into its batch's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Answer,
    /// An answer with a fault.
    Faulty(u32),
    /// An error instead of an answer.
    Refused(u32),
    /// Never executed.
    Expired,
    Cancelled,
    Timeout,
    /// Has no line.
    Missing,
    /// Has a line of a kind that nobody knows.
    Unknown,
}

/// What an item's line says.
#[derive(Debug)]
pub(crate) enum Outcome<'a> {
    /// The body that a chat endpoint would have answered.
    Answer(&'a str),
    Error(&'a Problem),
    Expired,
    Cancelled,
    Timeout,
    Unknown,
}

/// An error that items of a batch got, and the fault it comes from.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) problem: Problem,
    pub(crate) fault: Option<&'static str>,
}

/// Faults and errors of a batch's items.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    pub(crate) faults: Vec<Fault>,
    pub(crate) refusals: Vec<Refusal>,
}

impl Lists {
    /// Decides about an item: refused, faulty or answered.
    pub(crate) fn judge(&mut self, state: &State, wire: Wire, read: Result<Ask<'_>, Problem>) -> Verdict {
        let ask = match read {
            Ok(ask) => ask,
            Err(problem) => return self.refuse(problem, None),
        };
        let subject = Subject { provider: wire.provider().name(), model: &ask.model, texts: ask.texts() };
        match state.faults.choose(None, Point::Item, &subject) {
            Ok(None) => Verdict::Answer,
            Ok(Some(fault)) => self.play(wire, fault),
            Err(error) => self.refuse(Problem::new(400, format!("emulated fault: {error}")), None),
        }
    }

    /// Lists an error.
    pub(crate) fn refuse(&mut self, problem: Problem, fault: Option<&'static str>) -> Verdict {
        self.refusals.push(Refusal { problem, fault });
        Verdict::Refused(u32::try_from(self.refusals.len() - 1).unwrap_or(u32::MAX))
    }

    fn play(&mut self, wire: Wire, fault: Fault) -> Verdict {
        if let Some(problem) = fault.problem(wire.provider(), false) {
            return self.refuse(problem, Some(fault.effect.name()));
        }
        match fault.effect {
            Effect::ItemMissing => Verdict::Missing,
            Effect::ItemExpired => Verdict::Expired,
            Effect::ItemCancelled => Verdict::Cancelled,
            Effect::ItemTimeout => Verdict::Timeout,
            Effect::ItemUnknown => Verdict::Unknown,
            _ => {
                self.faults.push(fault);
                Verdict::Faulty(u32::try_from(self.faults.len() - 1).unwrap_or(u32::MAX))
            }
        }
    }
}
