//! What a slice of orders writes, and whom it tells afterwards: decisions turned into rows and names.

use crate::{Parts, topics};
use bus::{Entry, Lane, Topic};
use domain::{
    advance::{self as decision, Action, Plan, View, Work},
    order::Order,
    pace::Pace,
    playbook::Playbook,
    task::{Cause, Failure, Kind, State},
};
use std::{borrow::Cow, sync::Arc};
use store::{RootRow, Tree, Write};
use uuid::Uuid;

/// An order that is under way, with all that a decision over it needs.
pub(crate) struct Opened<'a> {
    root: &'a RootRow,
    pub(crate) children: Cow<'a, [View]>,
    order: Order,
    book: Arc<Playbook>,
}

impl Opened<'_> {
    /// Borrows what a decision reads.
    pub(crate) fn plan<'p>(&'p self, parts: &'p Parts) -> Plan<'p> {
        Plan { order: &self.order, playbook: &self.book, roster: &parts.config.roster }
    }

    /// Returns the pace of a child that is being queued.
    fn pace(&self, id: Uuid) -> Pace {
        let step = self.children.iter().find(|child| child.id == id).map(|child| child.step.as_str());
        let own = self.book.steps.iter().find(|known| Some(known.id.as_str()) == step).and_then(|found| found.pace);
        own.unwrap_or(self.order.pace)
    }
}

/// What a slice writes, and whom it tells afterwards.
#[derive(Default)]
pub(crate) struct Next {
    pub(crate) writes: Vec<Write>,
    pub(crate) events: Vec<Entry>,
    /// The tasks of orders that end with this slice.
    pub(crate) let_go: Vec<Uuid>,
    names: Vec<(Topic, Lane, Entry)>,
    ended: Vec<State>,
}

impl Next {
    /// Prepares an order for the decision: finds its playbook, starts it or starts it again.
    pub(crate) async fn open<'a>(&mut self, parts: &Parts, tree: &'a Tree) -> Result<Option<Opened<'a>>, store::Error> {
        let root = &tree.root;
        if root.state.is_terminal() || root.state == State::Held {
            return Ok(None);
        }
        let found = match &root.playbook_hash {
            Some(hash) => parts.playbooks.find(&parts.store, hash).await?,
            None => None,
        };
        let Some(book) = found else {
            let failure = Failure::new(Cause::Internal, "the order's playbook is no longer in the database");
            self.end(root, Write::Fail { root: root.id, failure }, State::Failed);
            return Ok(None);
        };
        let order = root.order();
        let mut children = Cow::Borrowed(tree.children.as_slice());
        if root.state == State::Pending {
            self.writes.push(Write::Start(root.id));
            self.event(root, root.id, State::InProgress);
            if !children.is_empty() {
                let plan = Plan { order: &order, playbook: &book, roster: &parts.config.roster };
                let again = decision::restart(&plan, &children);
                reset(children.to_mut(), &again);
                self.writes.push(Write::Reset(again));
            }
        }
        Ok(Some(Opened { root, children, order, book }))
    }

    /// Turns a decision's actions into writes and announcements.
    pub(crate) fn take(&mut self, opened: &Opened<'_>, actions: Vec<Action>) {
        let order = opened.root;
        let root = order.id;
        if actions.iter().any(|action| matches!(action, Action::Complete { .. } | Action::Fail { .. })) {
            self.let_go.extend(opened.children.iter().map(|child| child.id));
        }
        for action in actions {
            match action {
                Action::Create(child) => {
                    let id = Uuid::now_v7();
                    if child.state == State::Queued {
                        self.name(order, id, child.kind, child.pace);
                    }
                    self.event(order, id, child.state);
                    let (priority, traceparent) = (order.priority, order.traceparent.clone());
                    self.writes.push(Write::Create { root, id, child, priority, traceparent });
                }
                Action::Queue { id, agent, title, work } => {
                    self.name(order, id, kind(&work), opened.pace(id));
                    self.event(order, id, State::Queued);
                    self.writes.push(Write::Queue { id, agent, title, work });
                }
                Action::Cancel { id, failure } => {
                    self.event(order, id, State::Cancelled);
                    self.writes.push(Write::Cancel { id, failure });
                }
                Action::FailTask { id, failure } => {
                    self.event(order, id, State::Failed);
                    self.writes.push(Write::FailTask { id, failure });
                }
                Action::Complete { report } => self.end(order, Write::Complete { root, report }, State::Completed),
                Action::Fail { failure } => self.end(order, Write::Fail { root, failure }, State::Failed),
            }
        }
    }

    /// Tells the streams, after the commit. What cannot be told is found again by the sweep.
    pub(crate) async fn announce(self, parts: &Parts) {
        for state in self.ended {
            parts.metrics.ended(state);
        }
        topics::tell(&parts.bus, &self.names, &self.events).await;
    }

    fn end(&mut self, root: &RootRow, write: Write, state: State) {
        self.writes.push(write);
        self.event(root, root.id, state);
        self.ended.push(state);
    }

    fn name(&mut self, root: &RootRow, id: Uuid, kind: Kind, pace: Pace) {
        if let Some(topic) = topics::topic(kind, pace) {
            let entry = topics::entry(id, kind, root.traceparent.as_deref());
            self.names.push((topic, topics::lane(root.priority), entry));
        }
    }

    fn event(&mut self, root: &RootRow, id: Uuid, state: State) {
        self.events.push(topics::event(id, state, root.traceparent.as_deref()));
    }
}

const fn kind(work: &Work) -> Kind {
    match work {
        Work::Ask(_) => Kind::Ask,
        Work::Command(_) => Kind::Command,
        Work::Deliver(_) => Kind::Deliver,
    }
}

fn reset(children: &mut [View], again: &[Uuid]) {
    for child in children.iter_mut().filter(|child| again.contains(&child.id)) {
        child.state = State::Pending;
        child.failure = None;
    }
}
