//! What an advance writes, laid out column by column: one statement for each kind of write, whatever the slice.

use crate::{
    error::Error,
    statement::{ROOT_END, ROOT_START, Statement, TASK_CREATE, TASK_END, TASK_QUEUE, TASK_RESET, TASK_SETTLE},
    text,
};
use domain::{
    advance::{Child, Work},
    pace::Pace,
    task::{Failure, Priority, State},
};
use serde_json::json;
use std::{borrow::Cow, collections::HashSet};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// One thing to write. The order of a slice does not matter: resets come first, then starts, creations, queueing,
/// the ends of children and the ends of roots.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// The root: pending → in_progress.
    Start(Uuid),
    /// Children: failed or cancelled → pending, to be tried again.
    Reset(Vec<Uuid>),
    /// Inserts a child. A place (step and item) that is taken stays as it is.
    Create {
        /// Its root.
        root: Uuid,
        /// Its id, v7.
        id: Uuid,
        /// The child.
        child: Child,
        /// Among other tasks.
        priority: Priority,
        /// The trace it belongs to.
        traceparent: Option<String>,
    },
    /// A child: pending → queued.
    Queue {
        /// The child.
        id: Uuid,
        /// Who performs it; `None` leaves what was said before.
        agent: Option<String>,
        /// What people read.
        title: String,
        /// What is to be done.
        work: Work,
        /// How fast the answer must come.
        pace: Pace,
        /// Why, when that is not what was ordered.
        pace_reason: Option<String>,
    },
    /// A child: alive → cancelled.
    Cancel {
        /// The child.
        id: Uuid,
        /// Why.
        failure: Failure,
    },
    /// A child: pending → failed.
    FailTask {
        /// The child.
        id: Uuid,
        /// Why.
        failure: Failure,
    },
    /// The root: alive → completed. Files the report and cancels the children that are still alive.
    Complete {
        /// The root.
        root: Uuid,
        /// The report in Markdown.
        report: String,
    },
    /// The root: alive → failed. Cancels the children that are still alive.
    Fail {
        /// The root.
        root: Uuid,
        /// Why.
        failure: Failure,
    },
}

type Texts<'a> = Vec<Cow<'a, str>>;
type OptionalTexts<'a> = Vec<Option<Cow<'a, str>>>;

/// Writes, column by column.
#[derive(Default)]
pub(crate) struct Writes<'a> {
    starts: Vec<Uuid>,
    resets: Vec<Uuid>,
    created: Created<'a>,
    queued: Queued<'a>,
    ended: Ended<'a>,
    roots: Roots<'a>,
    settled: Vec<Uuid>,
}

#[derive(Default)]
struct Created<'a> {
    roots: Vec<Uuid>,
    ids: Vec<Uuid>,
    steps: Texts<'a>,
    items: Vec<Option<i32>>,
    kinds: Vec<&'static str>,
    states: Vec<&'static str>,
    titles: Texts<'a>,
    agents: OptionalTexts<'a>,
    paces: Vec<&'static str>,
    works: Vec<Option<String>>,
    causes: Vec<Option<&'static str>>,
    reasons: OptionalTexts<'a>,
    priorities: Vec<i16>,
    traceparents: OptionalTexts<'a>,
    pace_reasons: OptionalTexts<'a>,
    fingerprints: Vec<Option<i64>>,
}

#[derive(Default)]
struct Queued<'a> {
    ids: Vec<Uuid>,
    agents: OptionalTexts<'a>,
    titles: Texts<'a>,
    works: Vec<String>,
    paces: Vec<&'static str>,
    pace_reasons: OptionalTexts<'a>,
    fingerprints: Vec<Option<i64>>,
}

#[derive(Default)]
struct Ended<'a> {
    ids: Vec<Uuid>,
    states: Vec<&'static str>,
    causes: Vec<&'static str>,
    reasons: Texts<'a>,
}

#[derive(Default)]
struct Roots<'a> {
    ids: Vec<Uuid>,
    states: Vec<&'static str>,
    reports: OptionalTexts<'a>,
    results: Vec<Option<String>>,
    causes: Vec<Option<&'static str>>,
    reasons: OptionalTexts<'a>,
    emulated: Vec<bool>,
}

impl<'a> Writes<'a> {
    /// Lays writes out. `emulated`: the roots that an emulated answer went into; `settled`: the ended children to mark.
    pub(crate) fn of(writes: &'a [Write], emulated: &HashSet<Uuid>, settled: Vec<Uuid>) -> Result<Self, Error> {
        let mut columns = Self { settled, ..Self::default() };
        for write in writes {
            match write {
                Write::Start(root) => columns.starts.push(*root),
                Write::Reset(ids) => columns.resets.extend(ids),
                Write::Create { root, id, child, priority, traceparent } => {
                    columns.created.push(*root, *id, child)?;
                    columns.created.priorities.push(priority.rank());
                    columns.created.traceparents.push(traceparent.as_deref().map(text::clean));
                }
                Write::Queue { id, agent, title, work, pace, pace_reason } => {
                    columns.queued.ids.push(*id);
                    columns.queued.agents.push(agent.as_deref().map(text::clean));
                    columns.queued.titles.push(text::clean(title));
                    columns.queued.works.push(text::json(TASK_QUEUE.name, work)?);
                    columns.queued.paces.push(pace.as_str());
                    columns.queued.pace_reasons.push(pace_reason.as_deref().map(text::clean));
                    columns.queued.fingerprints.push(fingerprint(work));
                }
                Write::Cancel { id, failure } => columns.ended.push(*id, State::Cancelled, failure),
                Write::FailTask { id, failure } => columns.ended.push(*id, State::Failed, failure),
                Write::Complete { root, report } => {
                    columns.roots.complete(*root, report, emulated.contains(root))?;
                }
                Write::Fail { root, failure } => columns.roots.fail(*root, failure, emulated.contains(root)),
            }
        }
        Ok(columns)
    }

    /// Returns the statements that have something to do, in the order in which they must run.
    pub(crate) fn parameters(&self) -> Vec<(&'static Statement, Vec<&(dyn ToSql + Sync)>)> {
        let Self { starts, resets, created: c, queued: q, ended: e, roots: r, settled } = self;
        let mut calls: Vec<(&'static Statement, Vec<&(dyn ToSql + Sync)>)> = Vec::with_capacity(7);
        if !resets.is_empty() {
            calls.push((&TASK_RESET, vec![resets]));
        }
        if !starts.is_empty() {
            calls.push((&ROOT_START, vec![starts]));
        }
        if !c.ids.is_empty() {
            calls.push((
                &TASK_CREATE,
                vec![
                    &c.roots,
                    &c.ids,
                    &c.steps,
                    &c.items,
                    &c.kinds,
                    &c.states,
                    &c.titles,
                    &c.agents,
                    &c.paces,
                    &c.works,
                    &c.causes,
                    &c.reasons,
                    &c.priorities,
                    &c.traceparents,
                    &c.pace_reasons,
                    &c.fingerprints,
                ],
            ));
        }
        if !q.ids.is_empty() {
            calls.push((
                &TASK_QUEUE,
                vec![&q.ids, &q.agents, &q.titles, &q.works, &q.paces, &q.pace_reasons, &q.fingerprints],
            ));
        }
        if !e.ids.is_empty() || !r.ids.is_empty() {
            calls.push((&TASK_END, vec![&e.ids, &e.states, &e.causes, &e.reasons, &r.ids]));
        }
        if !r.ids.is_empty() {
            calls
                .push((&ROOT_END, vec![&r.ids, &r.states, &r.reports, &r.results, &r.causes, &r.reasons, &r.emulated]));
        }
        if !settled.is_empty() {
            calls.push((&TASK_SETTLE, vec![settled]));
        }
        calls
    }
}

/// Returns what tells whether two asks are the same; nothing else is counted.
fn fingerprint(work: &Work) -> Option<i64> {
    match work {
        Work::Ask(ask) => Some(ask.fingerprint()),
        Work::Command(_) | Work::Deliver(_) => None,
    }
}

impl<'a> Created<'a> {
    fn push(&mut self, root: Uuid, id: Uuid, child: &'a Child) -> Result<(), Error> {
        self.roots.push(root);
        self.ids.push(id);
        self.steps.push(text::clean(&child.step));
        self.items.push(child.item);
        self.kinds.push(child.kind.as_str());
        self.states.push(child.state.as_str());
        self.titles.push(text::clean(&child.title));
        self.agents.push(child.agent.as_deref().map(text::clean));
        self.paces.push(child.pace.as_str());
        self.works.push(child.work.as_ref().map(|work| text::json(TASK_CREATE.name, work)).transpose()?);
        self.pace_reasons.push(child.pace_reason.as_deref().map(text::clean));
        self.fingerprints.push(child.work.as_ref().and_then(fingerprint));
        self.causes.push(child.failure.as_ref().map(|failure| failure.cause.as_str()));
        self.reasons.push(child.failure.as_ref().map(|failure| text::clean(&failure.reason)));
        Ok(())
    }
}

impl<'a> Ended<'a> {
    fn push(&mut self, id: Uuid, state: State, failure: &'a Failure) {
        self.ids.push(id);
        self.states.push(state.as_str());
        self.causes.push(failure.cause.as_str());
        self.reasons.push(text::clean(&failure.reason));
    }
}

impl<'a> Roots<'a> {
    fn complete(&mut self, id: Uuid, report: &'a str, emulated: bool) -> Result<(), Error> {
        let report = text::clean(report);
        self.results.push(Some(text::json(ROOT_END.name, &json!({ "text": report }))?));
        self.reports.push(Some(report));
        self.causes.push(None);
        self.reasons.push(None);
        self.close(id, State::Completed, emulated);
        Ok(())
    }

    fn fail(&mut self, id: Uuid, failure: &'a Failure, emulated: bool) {
        self.results.push(None);
        self.reports.push(None);
        self.causes.push(Some(failure.cause.as_str()));
        self.reasons.push(Some(text::clean(&failure.reason)));
        self.close(id, State::Failed, emulated);
    }

    fn close(&mut self, id: Uuid, state: State, emulated: bool) {
        self.ids.push(id);
        self.states.push(state.as_str());
        self.emulated.push(emulated);
    }
}
