//! What a slice of orders writes, and whom it tells afterwards: decisions turned into rows and names.

use crate::{Parts, topics};
use bus::{Entry, Lane, Topic};
use domain::{
    advance::{self as decision, Action, Plan, View, Work},
    order::Order,
    pace::{Facts, Pace},
    playbook::Playbook,
    task::{Cause, Failure, Kind, State},
};
use std::{borrow::Cow, sync::Arc, time::Duration};
use store::{RootRow, Tree, Write};
use time::OffsetDateTime;
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
    pub(crate) fn plan<'p>(&'p self, parts: &'p Parts, facts: &'p Facts) -> Plan<'p> {
        Plan { order: &self.order, playbook: &self.book, roster: &parts.config.roster, facts }
    }

    /// Tells whether a pace may have to be chosen: what is ordered at now is asked at now.
    pub(crate) fn has_choice(&self) -> bool {
        self.order.pace != Pace::Now
            || self.book.steps.iter().any(|step| step.pace.is_some_and(|pace| pace != Pace::Now))
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
    /// The orders that end: how, why when they failed, and how long after they were accepted.
    ended: Vec<(State, Option<Cause>, Duration)>,
    /// The paces of the asks that are queued, and whether they are what was ordered.
    paced: Vec<(Pace, bool)>,
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
                let facts = Facts::none(OffsetDateTime::now_utc());
                let plan = Plan { order: &order, playbook: &book, roster: &parts.config.roster, facts: &facts };
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
                        self.paced(child.kind, child.pace, child.pace_reason.is_none());
                        self.name(order, id, child.kind, child.pace);
                    }
                    self.event(order, id, child.state);
                    let (priority, traceparent) = (order.priority, order.traceparent.clone());
                    self.writes.push(Write::Create { root, id, child, priority, traceparent });
                }
                Action::Queue { id, agent, title, work, pace, pace_reason } => {
                    self.paced(kind(&work), pace, pace_reason.is_none());
                    self.name(order, id, kind(&work), pace);
                    self.event(order, id, State::Queued);
                    self.writes.push(Write::Queue { id, agent, title, work, pace, pace_reason });
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
        for (state, cause, took) in self.ended {
            parts.metrics.ended(state, cause, took);
        }
        for (pace, ordered) in self.paced {
            parts.metrics.paced(pace, ordered);
        }
        topics::tell(&parts.bus, &self.names, &self.events).await;
    }

    fn end(&mut self, root: &RootRow, write: Write, state: State) {
        let cause = if let Write::Fail { failure, .. } = &write { Some(failure.cause) } else { None };
        self.writes.push(write);
        self.event(root, root.id, state);
        self.ended.push((state, cause, age(root.id)));
    }

    fn paced(&mut self, kind: Kind, pace: Pace, ordered: bool) {
        if kind == Kind::Ask {
            self.paced.push((pace, ordered));
        }
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

/// Returns how long ago an id was made: it is of version 7 and tells.
pub(crate) fn age(id: Uuid) -> Duration {
    let made = id.get_timestamp().map_or((0, 0), |at| at.to_unix());
    let now = OffsetDateTime::now_utc() - OffsetDateTime::UNIX_EPOCH;
    Duration::try_from(now).unwrap_or_default().saturating_sub(Duration::new(made.0, made.1))
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
