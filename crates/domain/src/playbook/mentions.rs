//! What a template mentions, held against what there is: a misspelt name is found when the playbook is
//! loaded, not when an order has already paid for the steps before it.

use super::{PlaybookError, compile::Compiler};
use crate::template::{Mentions, Misfit};
use std::ops::Range;

const ORDER: [&str; 4] = ["title", "description", "text", "agents"];
const SINGLE: [&str; 6] = ["text", "data", "state", "agent", "title", "reason"];
const MANY: [&str; 3] = ["answers", "failed", "state"];
const AGENT: [&str; 3] = ["name", "title", "department"];

/// What rendering has to be given.
#[derive(Debug, Clone, Default)]
pub(crate) struct Uses {
    /// The places of the steps mentioned.
    pub(crate) steps: Vec<usize>,
    pub(crate) order: bool,
    pub(crate) departments: bool,
    pub(super) item: bool,
}

/// Where a template stands decides what it may mention.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) what: &'a str,
    pub(super) item: bool,
    pub(super) agent: bool,
}

impl Compiler<'_> {
    /// Checks that all that a template mentions is there, and notes what rendering has to be given.
    pub(super) fn mentions(
        &self,
        source: &str,
        at: &Range<usize>,
        (place, known): (Place<'_>, &[usize]),
        mentions: Mentions,
        uses: &mut Uses,
    ) -> Result<(), PlaybookError> {
        for mention in mentions {
            let mut parts = mention.splitn(4, '.');
            let (root, second, third) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
            let checked = match root {
                "order" => {
                    uses.order = true;
                    among("order", second, &ORDER)
                }
                "departments" | "specialists" => {
                    uses.departments = true;
                    Ok(())
                }
                "department" => {
                    uses.departments = true;
                    Ok(())
                }
                "item" | "index" if place.item => {
                    uses.item = true;
                    Ok(())
                }
                "item" | "index" => Err(format!("`{root}` is only there in a step with `for_each`")),
                "agent" if place.agent => among("agent", second, &AGENT),
                "agent" => Err("`agent` is only there in the prompt and the title of an ask".to_owned()),
                "steps" => self.step_mention(known, (second, third), uses),
                other if self.engine.provides(other) => Ok(()),
                other => Err(format!("`{other}` is not defined")),
            };
            if let Err(reason) = checked {
                let line = source.find(&mention).and_then(|end| source.get(..end)).unwrap_or_default();
                let line = line.matches('\n').count() + 1;
                return Err(self.misfit(at, place, &Misfit { line, reason }));
            }
        }
        Ok(())
    }

    fn step_mention(
        &self,
        known: &[usize],
        (id, part): (Option<&str>, Option<&str>),
        uses: &mut Uses,
    ) -> Result<(), String> {
        let Some(id) = id else {
            // `steps[item]` and the like: all that may be mentioned has to be at hand.
            uses.add(known);
            return Ok(());
        };
        let Some(place) = self.steps.iter().position(|draft| draft.step.id == id) else {
            return Err(format!("`steps.{id}`: there is no step `{id}`"));
        };
        if !known.contains(&place) {
            return Err(format!("`steps.{id}`: the step `{id}` is not among the steps needed; add it to `needs`"));
        }
        uses.add(&[place]);
        let many = self.steps.get(place).is_some_and(|draft| draft.step.for_each.is_some());
        among(&format!("steps.{id}"), part, if many { &MANY } else { &SINGLE })
    }
}

fn among(whole: &str, part: Option<&str>, known: &[&str]) -> Result<(), String> {
    match part {
        Some(part) if !known.contains(&part) => Err(format!("`{whole}` has no `{part}`; it has {}", known.join(", "))),
        _ => Ok(()),
    }
}

impl Uses {
    fn add(&mut self, steps: &[usize]) {
        self.steps.extend_from_slice(steps);
        self.steps.sort_unstable();
        self.steps.dedup();
    }

    pub(super) fn join(&mut self, other: &Self) {
        self.add(&other.steps);
        self.order |= other.order;
        self.departments |= other.departments;
        self.item |= other.item;
    }
}
