//! What a retry runs again, and what it keeps because it is paid for.

use super::{
    Plan, View,
    tree::{Seen, Standing, Tree, joined, standing},
};
use crate::task::{Cause, State};
use uuid::Uuid;

pub(super) fn restart(plan: &Plan<'_>, tasks: &[View]) -> Vec<Uuid> {
    let tree = Tree::new(plan, tasks);
    let mut again = Vec::new();
    let mut keep = |children: &[Seen<'_>], standing: Standing, relied_on: bool| {
        let mut kept = false;
        for seen in children {
            if runs_again(seen, standing, relied_on) {
                again.extend(seen.id);
            } else {
                kept = true;
            }
        }
        kept
    };
    // The report is made of all steps: when it went out, all of them are relied on.
    let delivered = keep(&tree.deliveries, Standing::Well, false);
    let needs = &plan.playbook.compiled().steps;
    let mut standings: Vec<Standing> = Vec::with_capacity(needs.len());
    for (place, (step, own)) in plan.playbook.steps.iter().zip(needs).enumerate() {
        let of = |need: &usize| standings.get(*need).copied().unwrap_or(Standing::Open);
        standings.push(joined(standing(step, tree.step(place)), own.needs.iter().map(of)));
    }
    let mut relied_on = vec![delivered; needs.len()];
    // Dependents first: what they keep was made of what this step gave.
    for (place, standing) in standings.iter().enumerate().rev() {
        let relied = relied_on.get(place).copied().unwrap_or(false);
        let kept = keep(tree.step(place), *standing, relied);
        for need in needs.get(place).into_iter().flat_map(|own| &own.needs) {
            if let Some(flag) = relied_on.get_mut(*need) {
                *flag |= kept || relied;
            }
        }
    }
    again
}

/// Decides over one ended task. A tolerated failure stays; so does what was skipped. What was cancelled by
/// hand runs again, unless something that is kept was already made without it.
fn runs_again(seen: &Seen<'_>, standing: Standing, relied_on: bool) -> bool {
    match (seen.state, seen.cause()) {
        (State::Failed, _) => standing != Standing::Well,
        (State::Cancelled, Some(Cause::Skipped)) => false,
        (State::Cancelled, Some(Cause::NeedFailed)) => true,
        (State::Cancelled, _) => standing != Standing::Well || !relied_on,
        _ => false,
    }
}
