//! Which results a decision will read, told without reading any.

use super::{
    Plan, View,
    deliver::{Due, due},
    tree::{Standing, Tree, is_waiting, joined, standing},
};
use crate::{playbook::Tolerate, task::State};
use std::collections::BTreeSet;
use uuid::Uuid;

pub(super) fn wants(plan: &Plan<'_>, tasks: &[View]) -> Vec<Uuid> {
    let tree = Tree::new(plan, tasks);
    let compiled = plan.playbook.compiled();
    let mut places: BTreeSet<usize> = BTreeSet::new();
    let mut standings: Vec<Standing> = Vec::with_capacity(compiled.steps.len());
    for (place, (step, own)) in plan.playbook.steps.iter().zip(&compiled.steps).enumerate() {
        let children = tree.step(place);
        let of = |place: &usize| standings.get(*place).copied().unwrap_or(Standing::Open);
        let mut now = joined(standing(step, children), own.needs.iter().map(of));
        if is_waiting(children) {
            if own.needs.iter().any(|need| of(need) == Standing::Badly) {
                now = Standing::Badly;
            } else if own.needs.iter().all(|need| of(need) == Standing::Well) {
                places.extend(&own.uses.steps);
                // It may end in this very decision: skipped, over an empty list, or failed and tolerated.
                // Then the steps behind it start in this decision too, and their templates are rendered.
                if own.when.is_some() || own.for_each.is_some() || step.tolerate == Tolerate::All {
                    now = Standing::Well;
                }
            }
        }
        standings.push(now);
    }
    if standings.iter().all(|standing| *standing == Standing::Well) && due(plan, &tree) != Due::Nothing {
        places.extend(&compiled.report_uses.steps);
    }
    let children = places.iter().flat_map(|place| tree.step(*place));
    children.filter(|seen| seen.state == State::Completed).filter_map(|seen| seen.id).collect()
}
