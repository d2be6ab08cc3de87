//! Money before it is spent: for a slice of claimed asks it is set aside in one statement; those for which there is not
//! enough are held, and say what they asked for. Without any budget nothing is asked.

use crate::{AGAIN, Parts, answer, routes, topics};
use domain::{
    advance::{AskWork, Work, looped},
    money::Nanos,
    pace::Pace,
    task::{HeldFor, State},
};
use std::{collections::HashMap, time::Duration};
use store::{Claimed, Held, Hold, Refusal, Wanted};
use time::OffsetDateTime;
use uuid::Uuid;

/// Takes out of a slice the asks for which there is not money enough, and holds them.
pub(crate) async fn admit(parts: &Parts, claimed: &mut HashMap<Uuid, Claimed>) {
    if !claimed.values().any(|task| task.budgeted) {
        return;
    }
    let mut wanted: Vec<Wanted> = claimed.values().filter_map(|task| wanted(parts, task)).collect();
    // Whoever came first is served first.
    wanted.sort_unstable_by_key(|one| one.task.0);
    let refusals = reserve(parts, &wanted).await;
    if refusals.is_empty() {
        return;
    }
    let held: Vec<Held> = refusals
        .iter()
        .map(|refusal| {
            let provider = wanted.iter().find(|one| one.task == refusal.task).map(|one| one.provider.clone());
            Held { task: refusal.task, hold: hold(refusal, provider) }
        })
        .collect();
    loop {
        match parts.store.hold(&held).await {
            Ok(moved) => {
                let events: Vec<_> = moved
                    .iter()
                    .map(|one| {
                        let trace = claimed.get(&one.id).and_then(|task| task.traceparent.as_deref());
                        topics::event(one.id, State::Held, trace)
                    })
                    .collect();
                topics::tell(&parts.bus, &[], &events).await;
                break;
            }
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "Postgres could not hold asks; it is tried again");
                tokio::time::sleep(AGAIN).await;
            }
            Err(error) => {
                // Not performed: their leases run out, and they come again.
                tracing::error!(%error, "asks without money could not be held");
                break;
            }
        }
    }
    for refusal in &refusals {
        parts.metrics.held(HeldFor::Budget);
        claimed.remove(&refusal.task.0);
    }
}

/// Sets money aside anew for an ask that goes to another provider than was reckoned with; the error says why not.
pub(crate) async fn again(parts: &Parts, task: &Claimed, work: &AskWork, model: &str) -> Result<(), Hold> {
    if !task.budgeted {
        return Ok(());
    }
    if let Err(error) = parts.store.budget_release(&[(task.id, task.attempt)]).await {
        tracing::warn!(%error, task = %task.id, "money set aside could not be freed");
    }
    let wanted = want(parts, task, work, model);
    let provider = Some(wanted.provider.clone());
    match reserve(parts, &[wanted]).await.first() {
        Some(refusal) => Err(hold(refusal, provider)),
        None => Ok(()),
    }
}

/// Reckons what an ask may cost; `None` when it will not be made.
fn wanted(parts: &Parts, task: &Claimed) -> Option<Wanted> {
    let Work::Ask(work) = &task.work else { return None };
    if looped(task.asked).is_some() {
        return None;
    }
    let model = work.models.iter().find(|model| parts.providers.serves(model))?;
    Some(want(parts, task, work, model))
}

fn want(parts: &Parts, task: &Claimed, work: &AskWork, model: &str) -> Wanted {
    let pace = if task.pace == Pace::Flex { Pace::Flex } else { Pace::Now };
    Wanted {
        task: (task.id, task.attempt),
        root_id: task.root_id,
        agent: task.agent.clone(),
        provider: routes::provider(model).to_owned(),
        nanos: parts.providers.estimate(&answer::request(task, work, model), pace),
    }
}

async fn reserve(parts: &Parts, wanted: &[Wanted]) -> Vec<Refusal> {
    loop {
        match parts.store.budget_reserve(wanted).await {
            Ok(refusals) => return refusals,
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "Postgres could not set money aside; it is tried again");
                tokio::time::sleep(AGAIN).await;
            }
            Err(error) => {
                // A defect, not a lack of money; to spend unasked would be worse than to wait.
                tracing::error!(%error, "money could not be set aside");
                let refuse = |one: &Wanted| Refusal {
                    task: one.task,
                    scope: "all".to_owned(),
                    name: "all".to_owned(),
                    period: "total".to_owned(),
                    limit: Nanos(0),
                    left: Nanos(0),
                    asked: one.nanos,
                };
                return wanted.iter().map(refuse).collect();
            }
        }
    }
}

fn hold(refusal: &Refusal, provider: Option<String>) -> Hold {
    Hold {
        held_for: HeldFor::Budget,
        provider,
        nanos: refusal.asked,
        reason: refusal.reason(),
        until: refusal.ends_with_the_day().then(|| until_tomorrow(OffsetDateTime::now_utc())),
    }
}

/// Returns the time to the next midnight, UTC.
fn until_tomorrow(now: OffsetDateTime) -> Duration {
    let tomorrow = now.date().next_day().map_or(now, |day| day.midnight().assume_utc());
    Duration::try_from(tomorrow - now).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::until_tomorrow;
    use std::time::Duration;
    use time::macros::datetime;

    #[test]
    fn a_day_ends_at_midnight_utc() {
        assert_eq!(until_tomorrow(datetime!(2026-11-21 23:59:30 UTC)), Duration::from_secs(30));
        assert_eq!(until_tomorrow(datetime!(2026-12-31 00:00 UTC)), Duration::from_hours(24));
    }
}
