//! Makes a batch of what a client sent: its items judged, its fate drawn, its order shuffled. Refuses to answer.

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use time::OffsetDateTime;

use super::blob::Blob;
use super::item::{Item, Lists, Verdict};
use super::life::{Batch, Bills, Flaw, Form, Quirks};
use super::plan::{Ending, Plan};
use crate::fault::{Effect, Fault};
use crate::problem::Problem;
use crate::seed::{self, Draw};
use crate::state::State;
use crate::wire::{Ask, Provider, Wire};

/// How many flaws of a batch are told.
const MOST_FLAWS: usize = 100;

/// What the conditions of a call's faults look at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Words<'a> {
    pub(crate) model: &'a str,
    pub(crate) texts: Vec<&'a str>,
}

/// A batch that is being made.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    state: &'a State,
    pub(crate) wire: Wire,
    pub(crate) form: Form,
    pub(crate) model: String,
    pub(crate) label: String,
    pub(crate) metadata: Option<Box<RawValue>>,
    pub(crate) input_file: Option<String>,
    items: Vec<Item>,
    lists: Lists,
    ids: HashSet<Box<str>>,
    flaws: Vec<Flaw>,
    sample: String,
}

impl<'a> Start<'a> {
    pub(crate) fn new(state: &'a State, wire: Wire) -> Self {
        Self {
            state,
            wire,
            form: Form { keyed: true, ..Form::default() },
            model: String::new(),
            label: String::new(),
            metadata: None,
            input_file: None,
            items: Vec::new(),
            lists: Lists::default(),
            ids: HashSet::new(),
            flaws: Vec::new(),
            sample: String::new(),
        }
    }

    /// Whether the id was not there before.
    pub(crate) fn is_new(&mut self, id: &str) -> bool {
        self.ids.insert(id.into())
    }

    /// Looks at the first item, before it is decided whether the batch is made.
    pub(crate) fn peek(&mut self, read: &Result<Ask<'_>, Problem>) {
        let Ok(ask) = read else { return };
        self.sample = ask.texts().join("\n");
        if self.model.is_empty() {
            ask.model.as_ref().clone_into(&mut self.model);
        }
    }

    /// Adds an item that was read from a place of the blob.
    pub(crate) fn add(&mut self, at: u64, length: usize, read: Result<Ask<'_>, Problem>) {
        let verdict = self.lists.judge(self.state, self.wire, read);
        self.items.push(Item { at, length: u32::try_from(length).unwrap_or(u32::MAX), verdict });
    }

    /// Notes why the whole batch will fail.
    pub(crate) fn blame(&mut self, code: &str, line: Option<u64>, param: Option<&'static str>, message: String) {
        if self.flaws.len() < MOST_FLAWS {
            self.flaws.push(Flaw { code: code.to_owned(), line, message, param });
        }
    }

    /// Whether it is known already that the batch will fail.
    pub(crate) fn is_blamed(&self) -> bool {
        !self.flaws.is_empty()
    }

    /// How many items were added.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// What the conditions of faults look at.
    pub(crate) fn words(&self) -> Words<'_> {
        Words {
            model: &self.model,
            texts: vec![&self.label, self.input_file.as_deref().unwrap_or_default(), &self.sample],
        }
    }

    /// The batch, which lives from now on.
    pub(crate) fn finish(mut self, blob: Arc<Blob>, fates: &[Fault]) -> Batch {
        let number = self.state.batches.number();
        let mut plan = Plan {
            items: self.items.len(),
            most: self.items.len(),
            takes: self.state.clock.batch(),
            expires: self.state.clock.day() * if self.wire == Wire::Generate { 2 } else { 1 },
            ending: if self.flaws.is_empty() { Ending::Completed } else { Ending::Failed },
        };
        let mut quirks = Quirks::default();
        let (mut empty_error_id, mut job_prefix) = (false, false);
        for fate in fates {
            self.state.ledger.played(fate.effect.name());
            match fate.effect {
                Effect::BatchSlow => plan.takes = fate.wait,
                Effect::BatchHidden => quirks.hidden = or(fate.wait, 300),
                Effect::BatchUnlisted => quirks.unlisted = or(fate.wait, 300),
                Effect::BatchUnknownState => {
                    quirks.word = Some(fate.kind.clone().unwrap_or_else(|| "emulated_state".to_owned()));
                }
                Effect::BatchEmptyErrorId => empty_error_id = true,
                Effect::BatchUnkeyed => self.form.keyed = false,
                Effect::BatchInline => self.form.inline = true,
                Effect::BatchJobPrefix => job_prefix = true,
                Effect::BatchOnlyErrors => self.refuse_all(fate),
                _ => self.end(fate, &mut plan, &mut quirks),
            }
        }
        let order = shuffled(self.items.len(), self.state.options.seed ^ seed::mix(number));
        let odd = order
            .iter()
            .enumerate()
            .filter_map(|(rank, index)| {
                let item = self.items.get(usize::try_from(*index).ok()?)?;
                Some((u32::try_from(rank).ok()?, item.verdict.odd()?))
            })
            .collect();
        let bills = Mutex::new(Bills::new(self.items.len()));
        Batch {
            number,
            id: self.state.batches.id(self.wire, number).into(),
            wire: self.wire,
            form: self.form,
            model: self.model,
            label: self.label,
            metadata: self.metadata,
            input_file: self.input_file,
            sample: self.sample,
            created: OffsetDateTime::now_utc(),
            plan,
            blob,
            items: self.items,
            order,
            odd,
            lists: self.lists,
            flaws: self.flaws,
            quirks,
            empty_error_id,
            job_prefix,
            born: Instant::now(),
            cancelled: OnceLock::new(),
            bills,
            output_gone: AtomicBool::new(false),
            errors_gone: AtomicBool::new(false),
        }
    }

    /// Plays a fault that says how the batch ends.
    fn end(&mut self, fate: &Fault, plan: &mut Plan, quirks: &mut Quirks) {
        let part = |default: u64| {
            let share = usize::try_from(fate.done.unwrap_or(default)).unwrap_or(100);
            plan.items.saturating_mul(share) / 100
        };
        match fate.effect {
            Effect::BatchExpired => (plan.most, plan.ending) = (part(50), Ending::Expired),
            Effect::BatchCancelled => (plan.most, plan.ending) = (part(50), Ending::Cancelled),
            Effect::BatchStuck => (plan.most, plan.ending) = (part(0), Ending::Never),
            Effect::BatchFailed if self.wire.provider() == Provider::Anthropic => {
                // No batch of theirs fails as a whole.
                self.refuse_all(fate);
            }
            Effect::BatchFailed => {
                let code = fate.kind.clone().unwrap_or_else(|| "token_limit_exceeded".to_owned());
                let message = match code.as_str() {
                    "token_limit_exceeded" => {
                        format!("Enqueued token limit reached for {} in this organization.", self.model)
                    }
                    other => format!("Emulated: {other}."),
                };
                self.blame(&code, fate.line, None, message);
                plan.ending = Ending::Failed;
            }
            _ => {}
        }
        quirks.silent |= fate.silent;
        quirks.keeps |= fate.effect == Effect::BatchCancelled && fate.done.is_some();
    }

    /// Makes every item an error.
    fn refuse_all(&mut self, fate: &Fault) {
        let status = fate.kind.as_deref().and_then(|kind| kind.parse().ok()).unwrap_or(500);
        let problem = Problem::new(status, "Emulated: every request of this batch fails.");
        let verdict = self.lists.refuse(problem, Some(fate.effect.name()));
        for item in &mut self.items {
            item.verdict = verdict;
        }
    }
}

fn or(wait: Duration, default_ms: u64) -> Duration {
    if wait.is_zero() { Duration::from_millis(default_ms) } else { wait }
}

/// The numbers below `count` in an order that follows from the start alone.
fn shuffled(count: usize, start: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..u32::try_from(count).unwrap_or(u32::MAX)).collect();
    let mut draw = Draw::new(start);
    for last in (1..order.len()).rev() {
        order.swap(last, draw.below(last + 1));
    }
    order
}

impl Verdict {
    /// The fault of an answer.
    pub(super) fn fault(self, lists: &Lists) -> Option<&Fault> {
        match self {
            Self::Faulty(at) => lists.faults.get(usize::try_from(at).ok()?),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_is_whole_and_repeats_with_its_start() {
        let order = shuffled(100, 7);
        assert_eq!(order, shuffled(100, 7));
        assert_ne!(order, shuffled(100, 8));
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        let mut sorted = order;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_eq!(shuffled(0, 1), Vec::<u32>::new());
    }
}
