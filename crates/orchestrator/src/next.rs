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
use std::sync::Arc;
use store::{Tree, Write};
use uuid::Uuid;

/// An order that is under way, with all that a decision over it needs.
pub(crate) struct Opened {
    pub(crate) tree: Tree,
    order: Order,
    book: Arc<Playbook>,
}

impl Opened {
    /// Borrows what a decision reads.
    pub(crate) fn plan<'a>(&'a self, parts: &'a Parts) -> Plan<'a> {
        Plan { order: &self.order, playbook: &self.book, roster: &parts.config.roster }
    }

    /// Returns the pace of a child that is being queued.
    fn pace(&self, id: Uuid) -> Pace {
        let step = self.tree.children.iter().find(|child| child.id == id).map(|child| child.step.as_str());
        let own = self.book.steps.iter().find(|known| Some(known.id.as_str()) == step).and_then(|found| found.pace);
        own.unwrap_or(self.order.pace)
    }
}

/// What a slice writes, and whom it tells afterwards.
#[derive(Default)]
pub(crate) struct Next {
    pub(crate) writes: Vec<Write>,
    pub(crate) events: Vec<Entry>,
    names: Vec<(Topic, Lane, Entry)>,
    ended: Vec<State>,
}

impl Next {
    /// Prepares an order for the decision: finds its playbook, starts it or starts it again.
    pub(crate) async fn open(&mut self, parts: &Parts, mut tree: Tree) -> Result<Option<Opened>, store::Error> {
        if tree.root.state.is_terminal() || tree.root.state == State::Held {
            return Ok(None);
        }
        let found = match &tree.root.playbook_hash {
            Some(hash) => parts.playbooks.find(&parts.store, hash).await?,
            None => None,
        };
        let Some(book) = found else {
            let failure = Failure::new(Cause::Internal, "the order's playbook is no longer in the database");
            let write = Write::Fail { root: tree.root.id, failure };
            self.end(&tree, write, State::Failed);
            return Ok(None);
        };
        let order = order(&tree);
        if tree.root.state == State::Pending {
            self.writes.push(Write::Start(tree.root.id));
            self.event(&tree, tree.root.id, State::InProgress);
            if !tree.children.is_empty() {
                let plan = Plan { order: &order, playbook: &book, roster: &parts.config.roster };
                let again = decision::restart(&plan, &tree.children);
                reset(&mut tree.children, &again);
                self.writes.push(Write::Reset(again));
            }
        }
        Ok(Some(Opened { tree, order, book }))
    }

    /// Turns a decision's actions into writes and announcements.
    pub(crate) fn take(&mut self, opened: &Opened, actions: Vec<Action>) {
        let tree = &opened.tree;
        let root = tree.root.id;
        for action in actions {
            match action {
                Action::Create(child) => {
                    let id = Uuid::now_v7();
                    if child.state == State::Queued {
                        self.name(tree, id, child.kind, child.pace);
                    }
                    self.event(tree, id, child.state);
                    let (priority, traceparent) = (tree.root.priority, tree.root.traceparent.clone());
                    self.writes.push(Write::Create { root, id, child, priority, traceparent });
                }
                Action::Queue { id, agent, title, work } => {
                    self.name(tree, id, kind(&work), opened.pace(id));
                    self.event(tree, id, State::Queued);
                    self.writes.push(Write::Queue { id, agent, title, work });
                }
                Action::Cancel { id, failure } => {
                    self.event(tree, id, State::Cancelled);
                    self.writes.push(Write::Cancel { id, failure });
                }
                Action::FailTask { id, failure } => {
                    self.event(tree, id, State::Failed);
                    self.writes.push(Write::FailTask { id, failure });
                }
                Action::Complete { report } => self.end(tree, Write::Complete { root, report }, State::Completed),
                Action::Fail { failure } => self.end(tree, Write::Fail { root, failure }, State::Failed),
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

    fn end(&mut self, tree: &Tree, write: Write, state: State) {
        self.writes.push(write);
        self.event(tree, tree.root.id, state);
        self.ended.push(state);
    }

    fn name(&mut self, tree: &Tree, id: Uuid, kind: Kind, pace: Pace) {
        if let Some(topic) = topics::topic(kind, pace) {
            let entry = topics::entry(id, kind, tree.root.traceparent.as_deref());
            self.names.push((topic, topics::lane(tree.root.priority), entry));
        }
    }

    fn event(&mut self, tree: &Tree, id: Uuid, state: State) {
        self.events.push(topics::event(id, state, tree.root.traceparent.as_deref()));
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

fn order(tree: &Tree) -> Order {
    let root = &tree.root;
    Order {
        title: root.title.clone(),
        description: root.description.clone(),
        priority: root.priority,
        playbook: None,
        pace: root.pace,
        deadline: root.deadline,
        deliver: root.deliver.clone(),
        agents: root.agents.clone(),
    }
}
