//! How an order ends: its report is delivered, then it is completed; or it fails and says for whom.

use super::{
    Action, Child, DeliverWork, Plan, Work, context,
    pass::Pass,
    tree::{Seen, Standing, Tree, standing},
};
use crate::{
    order::Deliver,
    pace::Pace,
    playbook::DELIVER_STEP,
    task::{Cause, Failure, Kind, State},
};
use minijinja::Value;

/// Decides what follows when the steps have been walked.
pub(super) fn end(pass: &mut Pass<'_>) {
    if pass.standings.contains(&Standing::Badly) {
        let failure = Failure::new(Cause::NeedFailed, "the order did not end well: there is no report to deliver");
        give_up(pass, &failure);
        if !pass.standings.contains(&Standing::Open) {
            let failure = blame(pass.plan, &pass.tree);
            pass.actions.push(Action::Fail { failure });
        }
        return;
    }
    if pass.standings.contains(&Standing::Open) {
        return;
    }
    match due(pass.plan, &pass.tree) {
        Due::Nothing => {}
        due => match report(pass) {
            Ok(report) if due == Due::Deliver => deliver(pass, &report),
            Ok(report) => pass.actions.push(Action::Complete { report }),
            Err(failure) => {
                give_up(pass, &failure);
                pass.actions.push(Action::Fail { failure });
            }
        },
    }
}

/// What is due when all steps have ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Deliveries are on their way.
    Nothing,
    /// Deliveries have to be made.
    Deliver,
    /// All is delivered, or nothing was to be.
    Complete,
}

/// Returns what is due when all steps have ended well; all but `Nothing` needs the report.
pub(super) fn due(plan: &Plan<'_>, tree: &Tree<'_>) -> Due {
    let waits = targets(plan).any(|(item, _)| find(tree, item).is_none_or(|seen| seen.state == State::Pending));
    if waits {
        Due::Deliver
    } else if tree.deliveries.iter().all(|seen| seen.state.is_terminal()) {
        Due::Complete
    } else {
        Due::Nothing
    }
}

fn targets<'p>(plan: &Plan<'p>) -> impl Iterator<Item = (i32, &'p Deliver)> {
    (0_i32..).zip(&plan.order.deliver)
}

fn find<'t, 'a>(tree: &'t Tree<'a>, item: i32) -> Option<&'t Seen<'a>> {
    tree.deliveries.iter().find(|seen| seen.item == Some(item))
}

fn report(pass: &Pass<'_>) -> Result<String, Failure> {
    let compiled = pass.plan.playbook.compiled();
    let names = context::names(pass.plan, &pass.tree, pass.results, &compiled.report_uses)?;
    let rendered = compiled.engine.render(&compiled.report, &Value::from(names));
    rendered.map_err(|reason| Failure::new(Cause::BadTemplate, format!("`report`: {reason}")))
}

fn deliver(pass: &mut Pass<'_>, report: &str) {
    for (item, target) in targets(pass.plan) {
        let work = Work::Deliver(DeliverWork { target: target.clone(), report: report.to_owned() });
        let title = title(target);
        match find(&pass.tree, item) {
            None => pass.actions.push(Action::Create(Child {
                step: DELIVER_STEP.to_owned(),
                item: Some(item),
                kind: Kind::Deliver,
                title,
                agent: None,
                pace: Pace::Now,
                pace_reason: None,
                state: State::Queued,
                work: Some(work),
                failure: None,
            })),
            Some(Seen { id: Some(id), state: State::Pending, .. }) => {
                let (pace, pace_reason) = (Pace::Now, None);
                pass.actions.push(Action::Queue { id: *id, agent: None, title, work, pace, pace_reason });
            }
            Some(_) => {}
        }
    }
}

/// Names the host alone: the rest of a webhook's address is often its secret.
fn title(target: &Deliver) -> String {
    let Deliver::Webhook { url } = target;
    let parsed = url::Url::parse(url).ok();
    let host = parsed.as_ref().and_then(url::Url::host_str).unwrap_or("a webhook");
    format!("Deliver to {host}")
}

/// Cancels the deliveries that wait: there will be no report.
fn give_up(pass: &mut Pass<'_>, failure: &Failure) {
    for seen in pass.tree.deliveries.iter().filter(|seen| seen.state == State::Pending) {
        if let Some(id) = seen.id {
            pass.actions.push(Action::Cancel { id, failure: failure.clone() });
        }
    }
}

/// Says which step, whose task and what reason the order fails for.
fn blame(plan: &Plan<'_>, tree: &Tree<'_>) -> Failure {
    let guilty = |seen: &&Seen<'_>| {
        matches!(seen.state, State::Failed | State::Cancelled)
            && !seen.is_skipped()
            && seen.cause() != Some(Cause::NeedFailed)
    };
    for (place, step) in plan.playbook.steps.iter().enumerate() {
        let children = tree.step(place);
        if standing(step, children) != Standing::Badly {
            continue;
        }
        let mut all = children.iter().filter(guilty);
        let Some(first) = all.next() else { continue };
        let who = first.agent.as_deref().map(|agent| format!(" (agent `{agent}`)")).unwrap_or_default();
        let what = if first.state == State::Cancelled { "was cancelled" } else { "failed" };
        let why = first.failure.as_ref().map_or("no reason was given", |failure| failure.reason.as_str());
        let others = match all.count() {
            0 => String::new(),
            1 => "; so did 1 other task of it".to_owned(),
            more => format!("; so did {more} other tasks of it"),
        };
        let cause = first.cause().unwrap_or(Cause::Internal);
        return Failure::new(cause, format!("step `{}`{who} {what}: {why}{others}", step.id));
    }
    Failure::new(Cause::Internal, "a step did not end well and none of its tasks says why")
}
