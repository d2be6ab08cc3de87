//! One walk over the steps, needs first: what becomes ready is rendered, what cannot run is cancelled.

use super::{
    Action, Child, Plan, View, Work,
    context::{self, Names},
    deliver,
    looped::{self, Asks},
    render,
    tree::{Seen, Standing, Tree, is_waiting, joined, standing},
};
use crate::{
    pace::{self, Choice, Pace},
    playbook::{Step, StepPlan},
    task::{Cause, Failure, Kind, State},
    template::Text,
};
use minijinja::Value;
use std::{borrow::Cow, collections::HashMap};
use uuid::Uuid;

pub(super) fn advance(plan: &Plan<'_>, tasks: &[View], results: &HashMap<Uuid, serde_json::Value>) -> Vec<Action> {
    let tree = Tree::new(plan, tasks);
    let mut pass = Pass { plan, results, tasks, tree, asks: None, standings: Vec::new(), actions: Vec::new() };
    for (place, (step, compiled)) in plan.playbook.steps.iter().zip(&plan.playbook.compiled().steps).enumerate() {
        pass.step(At { place, step, compiled });
    }
    deliver::end(&mut pass);
    pass.actions
}

/// A decision on its way.
pub(super) struct Pass<'a> {
    pub(super) plan: &'a Plan<'a>,
    pub(super) results: &'a HashMap<Uuid, serde_json::Value>,
    tasks: &'a [View],
    pub(super) tree: Tree<'a>,
    /// Counted when the first ask is queued.
    asks: Option<Asks>,
    /// Of the steps walked so far.
    pub(super) standings: Vec<Standing>,
    pub(super) actions: Vec<Action>,
}

/// The step at hand.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    place: usize,
    pub(super) step: &'a Step,
    pub(super) compiled: &'a StepPlan,
}

/// What becomes of one task that was waiting.
enum Fate {
    Wait,
    Queue { agent: Option<String>, title: String, work: Work },
    Skip(String),
    Cancel(Failure),
    Fail { agent: Option<String>, failure: Failure },
}

impl Fate {
    fn bad_template(reason: String) -> Self {
        Self::Fail { agent: None, failure: Failure::new(Cause::BadTemplate, reason) }
    }
}

impl<'a> Pass<'a> {
    fn step(&mut self, at: At<'a>) {
        let standings = std::mem::take(&mut self.standings);
        let of = |place: &usize| standings.get(*place).copied().unwrap_or(Standing::Open);
        if is_waiting(self.tree.step(at.place)) {
            let lost = at.compiled.needs.iter().find(|place| of(place) == Standing::Badly);
            if let Some(need) = lost.and_then(|place| self.plan.playbook.steps.get(*place)) {
                let reason = format!("the step `{}`, which it needs, did not end well", need.id);
                self.whole(at, |_| Fate::Cancel(Failure::new(Cause::NeedFailed, reason.clone())));
            } else if at.compiled.needs.iter().all(|place| of(place) == Standing::Well) {
                self.start(at);
            } else if at.step.for_each.is_none() && self.tree.step(at.place).is_empty() {
                self.settle(at, None, Fate::Wait);
            }
        }
        let now = joined(standing(at.step, self.tree.step(at.place)), at.compiled.needs.iter().map(of));
        self.standings = standings;
        self.standings.push(now);
    }

    /// Starts a step whose needs have ended well.
    fn start(&mut self, at: At<'a>) {
        let engine = &self.plan.playbook.compiled().engine;
        let names = match context::names(self.plan, &self.tree, self.results, &at.compiled.uses) {
            Ok(names) => names,
            Err(failure) => return self.whole(at, |_| Fate::Fail { agent: None, failure: failure.clone() }),
        };
        if let Some(when) = at.compiled.when.as_ref().filter(|_| !at.compiled.when_each) {
            match render::truth(engine, when, &names) {
                Ok(true) => {}
                Ok(false) => return self.whole(at, |_| Fate::Skip("`when` is false".to_owned())),
                Err(reason) => return self.whole(at, |_| Fate::bad_template(reason.clone())),
            }
        }
        let Some(list) = &at.compiled.for_each else {
            let fate = self.render(at, &names);
            return self.settle(at, None, fate);
        };
        let elements = match render::elements(engine, list, &names) {
            Ok(elements) => elements,
            Err(reason) => return self.whole(at, |_| Fate::bad_template(reason.clone())),
        };
        if elements.is_empty() {
            return self.whole(at, |_| Fate::Skip("`for_each` gave an empty list".to_owned()));
        }
        let count = elements.len();
        for (item, element) in (0_i32..).zip(elements) {
            // A task that has ended or runs keeps what it has: only the waiting and the missing are rendered.
            let known = self.tree.step(at.place).iter().find(|seen| seen.item == Some(item));
            if known.is_none_or(|seen| seen.state == State::Pending) {
                let mut names = names.clone();
                names.insert("item", element);
                names.insert("index", Value::from(item));
                let fate = self.each(at, &names);
                self.settle(at, Some(item), fate);
            }
        }
        // After a retry the list may have become shorter than it was.
        self.whole(at, |_| Fate::Skip(format!("`for_each` now gives {count} elements only")));
    }

    fn each(&self, at: At<'_>, names: &Names) -> Fate {
        if let Some(when) = at.compiled.when.as_ref().filter(|_| at.compiled.when_each) {
            match render::truth(&self.plan.playbook.compiled().engine, when, names) {
                Ok(true) => {}
                Ok(false) => return Fate::Skip("`when` is false".to_owned()),
                Err(reason) => return Fate::bad_template(reason),
            }
        }
        self.render(at, names)
    }

    /// Makes the work of one task.
    fn render(&self, at: At<'_>, names: &Names) -> Fate {
        let mut agent = None;
        match render::work(self.plan, at, names, &mut agent) {
            Ok((title, work)) => Fate::Queue { agent, title, work },
            Err(failure) => Fate::Fail { agent, failure },
        }
    }

    /// Settles all tasks of a step that wait; when the step has no task yet, makes one to say so.
    fn whole(&mut self, at: At<'_>, fate: impl Fn(Option<i32>) -> Fate) {
        let children = self.tree.step(at.place);
        let mut items: Vec<Option<i32>> =
            children.iter().filter(|seen| seen.state == State::Pending).map(|seen| seen.item).collect();
        if children.is_empty() {
            items.push(at.step.for_each.as_ref().map(|_| 0));
        }
        for item in items {
            self.settle(at, item, fate(item));
        }
    }

    /// Stops an ask that the order has made too often.
    fn guarded(&mut self, at: At<'_>, item: Option<i32>, fate: Fate) -> Fate {
        let Fate::Queue { agent, title, work: Work::Ask(mut ask) } = fate else { return fate };
        let waiting = |seen: &&Seen<'_>| seen.item == item && seen.state == State::Pending;
        let id = self.tree.step(at.place).iter().find(waiting).and_then(|seen| seen.id);
        let tasks = self.tasks;
        match self.asks.get_or_insert_with(|| Asks::of(tasks)).add(&mut ask, looped::own(tasks, id)) {
            Ok(()) => Fate::Queue { agent, title, work: Work::Ask(ask) },
            Err(failure) => Fate::Fail { agent, failure },
        }
    }

    /// Turns a fate into an action, and into what the rest of this decision sees.
    fn settle(&mut self, at: At<'_>, item: Option<i32>, fate: Fate) {
        let fate = self.guarded(at, item, fate);
        let (state, agent, title, work, failure) = match fate {
            Fate::Wait => (State::Pending, named(at.compiled), None, None, None),
            Fate::Queue { agent, title, work } => (State::Queued, agent, Some(title), Some(work), None),
            Fate::Skip(reason) => {
                (State::Cancelled, named(at.compiled), None, None, Some(Failure::new(Cause::Skipped, reason)))
            }
            Fate::Cancel(failure) => (State::Cancelled, named(at.compiled), None, None, Some(failure)),
            Fate::Fail { agent, failure } => {
                (State::Failed, agent.or_else(|| named(at.compiled)), None, None, Some(failure))
            }
        };
        let Some(children) = self.tree.steps.get_mut(at.place) else { return };
        let known = children.iter_mut().find(|seen| seen.item == item && seen.state == State::Pending);
        let title = title.unwrap_or_else(|| waiting_title(at));
        let Some(seen) = known else {
            children.push(Seen {
                id: None,
                item,
                state,
                agent: agent.clone().map(Cow::Owned),
                failure: failure.clone().map(Cow::Owned),
            });
            children.sort_by_key(|seen| seen.item);
            let Choice { pace, reason: pace_reason } = chosen(at, self.plan, work.as_ref());
            self.actions.push(Action::Create(Child {
                step: at.step.id.clone(),
                item,
                kind: at.step.kind,
                title,
                agent,
                pace,
                pace_reason,
                state,
                work,
                failure,
            }));
            return;
        };
        let Some(id) = seen.id else { return };
        seen.state = state;
        if let Some(agent) = &agent {
            seen.agent = Some(Cow::Owned(agent.clone()));
        }
        seen.failure = failure.clone().map(Cow::Owned);
        match (state, work, failure) {
            (State::Queued, Some(work), _) => {
                let Choice { pace, reason: pace_reason } = chosen(at, self.plan, Some(&work));
                self.actions.push(Action::Queue { id, agent, title, work, pace, pace_reason });
            }
            (State::Cancelled, _, Some(failure)) => self.actions.push(Action::Cancel { id, failure }),
            (State::Failed, _, Some(failure)) => self.actions.push(Action::FailTask { id, failure }),
            _ => {}
        }
    }
}

/// Returns the agent that a step names literally.
fn named(compiled: &StepPlan) -> Option<String> {
    match &compiled.agent {
        Some(Text::Constant(name)) => Some(name.clone()),
        _ => None,
    }
}

/// Returns what people read of a task before its title can be rendered.
fn waiting_title(at: At<'_>) -> String {
    match &at.compiled.title {
        Text::Constant(title) => render::one_line(title, &at.step.id),
        Text::Template(_) => at.step.id.clone(),
    }
}

/// Decides the pace of a task that is queued; what is not queued yet keeps what was ordered.
fn chosen(at: At<'_>, plan: &Plan<'_>, work: Option<&Work>) -> Choice {
    let wanted = ordered(at.step, plan);
    match work {
        Some(Work::Ask(ask)) => pace::choose(wanted, plan.order.deadline, ask.rounds, &ask.models, plan.facts),
        _ => Choice { pace: wanted, reason: None },
    }
}

fn ordered(step: &Step, plan: &Plan<'_>) -> Pace {
    match step.kind {
        Kind::Ask => step.pace.unwrap_or(plan.order.pace),
        // A pace says how a model is asked; nothing else has one.
        _ => Pace::Now,
    }
}
