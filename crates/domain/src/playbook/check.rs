//! The steps against each other: ids, needs, cycles, and an order in which needs come first.

use super::{PlaybookError, read::StepDraft};
use crate::document::Document;
use std::collections::HashMap;

/// Returns the steps with needs before dependents, otherwise as the file has them.
pub(super) fn order(document: Document<'_>, steps: Vec<StepDraft>) -> Result<Vec<StepDraft>, PlaybookError> {
    let mut places = HashMap::new();
    for (place, draft) in steps.iter().enumerate() {
        if places.insert(draft.step.id.as_str(), place).is_some() {
            return Err(document.refuse(draft.at.start, format!("the step `{}` is there twice", draft.step.id)));
        }
    }
    let mut needs: Vec<Vec<usize>> = Vec::with_capacity(steps.len());
    for draft in &steps {
        let mut own = Vec::new();
        for (need, at) in draft.step.needs.iter().zip(&draft.needs) {
            let Some(place) = places.get(need.as_str()) else {
                let reason = format!("step `{}` needs `{need}`, which is not a step", draft.step.id);
                return Err(document.refuse(at.start, reason));
            };
            if own.contains(place) {
                return Err(document.refuse(at.start, format!("step `{}` needs `{need}` twice", draft.step.id)));
            }
            own.push(*place);
        }
        needs.push(own);
    }
    let mut sorted: Vec<usize> = Vec::with_capacity(steps.len());
    while sorted.len() < steps.len() {
        let ready = |place: &usize| {
            !sorted.contains(place) && needs.get(*place).is_some_and(|own| own.iter().all(|need| sorted.contains(need)))
        };
        match (0..steps.len()).find(ready) {
            Some(place) => sorted.push(place),
            None => return Err(cycle(document, &steps, &needs, &sorted)),
        }
    }
    let mut steps: Vec<Option<StepDraft>> = steps.into_iter().map(Some).collect();
    Ok(sorted.into_iter().filter_map(|place| steps.get_mut(place).and_then(Option::take)).collect())
}

/// Names the path of a cycle among the steps that could not be sorted.
fn cycle(document: Document<'_>, steps: &[StepDraft], needs: &[Vec<usize>], sorted: &[usize]) -> PlaybookError {
    // Every step left over needs another one left over: following them must come back.
    let mut path: Vec<usize> = Vec::new();
    let mut place = (0..steps.len()).find(|place| !sorted.contains(place)).unwrap_or_default();
    while !path.contains(&place) {
        path.push(place);
        let next = needs.get(place).and_then(|own| own.iter().find(|need| !sorted.contains(need)));
        place = next.copied().unwrap_or(place);
    }
    let turn = path.iter().position(|known| *known == place).unwrap_or_default();
    let circle = path.iter().skip(turn).chain(std::iter::once(&place));
    let names: Vec<&str> = circle.filter_map(|place| steps.get(*place)).map(|draft| draft.step.id.as_str()).collect();
    let at = steps.get(place).map_or(0, |draft| draft.needs.first().unwrap_or(&draft.at).start);
    document.refuse(at, format!("the steps need each other in a circle: {} (each needs the next)", names.join(" → ")))
}
