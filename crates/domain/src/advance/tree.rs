//! The children of an order by step, and where each step stands.

use super::{Plan, View};
use crate::{
    playbook::{DELIVER_STEP, Step, Tolerate},
    task::{Cause, Failure, State},
};
use std::borrow::Cow;
use uuid::Uuid;

/// A child as it stands during a decision: as it was read, or as the decision has just left it.
#[derive(Debug, Clone)]
pub(super) struct Seen<'a> {
    /// `None`: it is created by this very decision.
    pub(super) id: Option<Uuid>,
    pub(super) item: Option<i32>,
    pub(super) state: State,
    pub(super) agent: Option<Cow<'a, str>>,
    pub(super) failure: Option<Cow<'a, Failure>>,
}

impl Seen<'_> {
    pub(super) fn cause(&self) -> Option<Cause> {
        self.failure.as_ref().map(|failure| failure.cause)
    }

    /// Tells whether it was left out, which is no failure.
    pub(super) fn is_skipped(&self) -> bool {
        self.state == State::Cancelled && self.cause() == Some(Cause::Skipped)
    }
}

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not started, or not ended.
    Open,
    /// Ended, and its failures are tolerated.
    Well,
    /// Ended, and the order fails for it.
    Badly,
}

/// The children of an order by step.
pub(super) struct Tree<'a> {
    /// For each step of the playbook, its children by item.
    pub(super) steps: Vec<Vec<Seen<'a>>>,
    /// The deliveries of the report.
    pub(super) deliveries: Vec<Seen<'a>>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(plan: &Plan<'_>, tasks: &'a [View]) -> Self {
        let mut tree = Self { steps: vec![Vec::new(); plan.playbook.steps.len()], deliveries: Vec::new() };
        for view in tasks {
            let seen = Seen {
                id: Some(view.id),
                item: view.item,
                state: view.state,
                agent: view.agent.as_deref().map(Cow::Borrowed),
                failure: view.failure.as_ref().map(Cow::Borrowed),
            };
            if view.step == DELIVER_STEP {
                tree.deliveries.push(seen);
            } else if let Some(own) = plan.playbook.position(&view.step).and_then(|place| tree.steps.get_mut(place)) {
                own.push(seen);
            }
        }
        // The caller's order of rows must not show in prompts.
        tree.steps.iter_mut().for_each(|own| own.sort_by_key(|seen| seen.item));
        tree.deliveries.sort_by_key(|seen| seen.item);
        tree
    }

    /// Returns the children of the step at a place.
    pub(super) fn step(&self, place: usize) -> &[Seen<'a>] {
        self.steps.get(place).map_or(&[], Vec::as_slice)
    }
}

/// Judges a step by its children alone; [`joined`] adds what it needs.
pub(super) fn standing(step: &Step, children: &[Seen<'_>]) -> Standing {
    if children.is_empty() || children.iter().any(|seen| !seen.state.is_terminal()) {
        return Standing::Open;
    }
    let completed = |seen: &Seen<'_>| seen.state == State::Completed;
    let all = children.iter().all(|seen| completed(seen) || seen.is_skipped());
    let well = match step.tolerate {
        Tolerate::None => all,
        Tolerate::Some => all || children.iter().any(completed),
        Tolerate::All => true,
    };
    if well { Standing::Well } else { Standing::Badly }
}

/// Joins a step's own standing with those of the steps that it needs: a task may end before it could start
/// (its master cancels it), but its step has not ended before its needs have; and a step that never ran
/// because of another one has not ended well, whatever it tolerates of its own.
pub(super) fn joined(own: Standing, needs: impl Iterator<Item = Standing>) -> Standing {
    needs.fold(own, |sum, need| match (sum, need) {
        (Standing::Open, _) | (_, Standing::Open) => Standing::Open,
        (Standing::Badly, _) | (_, Standing::Badly) => Standing::Badly,
        (Standing::Well, Standing::Well) => Standing::Well,
    })
}

/// Tells whether a step has children that have yet to be created or rendered.
pub(super) fn is_waiting(children: &[Seen<'_>]) -> bool {
    children.is_empty() || children.iter().any(|seen| seen.state == State::Pending)
}
