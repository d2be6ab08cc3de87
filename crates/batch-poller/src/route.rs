//! Which way an ask of pace batch goes: into a batch of the first of its models that has them, to another pace, or
//! into a wait. Refuses to carry it out.

use crate::{Parts, request::request};
use domain::{
    advance::{AskWork, Work, looped},
    batch::{CUSTOM_ID_BYTES, give_up_at},
    money::Nanos,
    pace::{NOW_ROUND, Pace},
    task::{Cause, Failure, HeldFor},
};
use std::{collections::HashMap, time::Duration};
use store::{Blackout, Claimed, Declined, End, Held, Hold, NewItem, Outcome};
use time::OffsetDateTime;

/// The way of one ask.
pub(crate) enum Way {
    /// It waits for a batch.
    Item(NewItem),
    /// It is asked at another pace, and why.
    Decline(Declined),
    /// It waits for its provider.
    Hold(Held),
    /// Its attempt has ended.
    End(Outcome),
}

/// What the way depends on besides the ask.
pub(crate) struct Facts<'a> {
    pub(crate) parts: &'a Parts,
    pub(crate) blackouts: &'a HashMap<String, Blackout>,
    pub(crate) now: OffsetDateTime,
}

impl Facts<'_> {
    /// Finds the way of a claimed ask.
    pub(crate) fn way(&self, task: &Claimed) -> Way {
        let Work::Ask(work) = &task.work else {
            return fail(task, Cause::Internal, "the row's work does not belong to an ask");
        };
        if task.pace != Pace::Batch {
            // An old announcement: it has been sent another way since.
            let reason = "it is not asked in a batch any more".to_owned();
            return end(task, End::Again { not_before_ms: 0, reason });
        }
        if let Some(failure) = looped(task.asked) {
            return end(task, End::Failed(failure));
        }
        let mut dark: Option<&Blackout> = None;
        for model in &work.models {
            let Some(offer) = self.parts.providers.offer(model).and_then(|offer| offer.batch) else { continue };
            let provider = provider(model);
            // One that may be tried again is: the batch is the try.
            match self.blackouts.get(provider).filter(|blackout| !blackout.may_be_probed(self.now)) {
                None => return self.item(task, (work, model), &offer),
                Some(blackout) => dark = dark.or(Some(blackout)),
            }
        }
        match dark {
            Some(blackout) => Way::Hold(Held { task: (task.id, task.attempt), hold: wait_for(blackout, self.now) }),
            None => self.without_batch(task, work),
        }
    }

    fn item(&self, task: &Claimed, (work, model): (&AskWork, &str), offer: &providers::BatchOffer) -> Way {
        let provider = provider(model);
        let Some(batches) = self.parts.providers.batches(provider) else { return self.without_batch(task, work) };
        let later = NOW_ROUND.saturating_mul(work.rounds.saturating_sub(1));
        let asking = Duration::from_millis(work.timeout_ms).min(NOW_ROUND);
        let give_up_at = give_up_at(task.deadline.map(|deadline| deadline - later), self.now, asking);
        if work.fallback && give_up_at.is_some_and(|moment| moment <= self.now) {
            return decline(task, Pace::Now, "batch: no time is left for one before the deadline".to_owned());
        }
        let request = request(work, model);
        let body = match batches.body(&request) {
            Ok(body) => body,
            Err(error) => return fail(task, Cause::Refused, &error.to_string()),
        };
        let bytes = batches.line_bytes(CUSTOM_ID_BYTES, body.len());
        let Some(bytes) = i32::try_from(bytes).ok().filter(|_| bytes <= offer.max_bytes) else {
            let reason = format!("batch: the question is too long for a batch of {provider}");
            return self.otherwise(task, work, Pace::Now, reason);
        };
        Way::Item(NewItem {
            task: (task.id, task.attempt),
            root_id: task.root_id,
            grp: offer.group.clone(),
            provider: provider.to_owned(),
            model: model.to_owned(),
            agent: task.agent.clone(),
            bytes,
            estimate: self.parts.providers.estimate(&request, Pace::Batch),
            body,
            // One that may not be asked otherwise has nothing to gain from being given up.
            give_up_at: give_up_at.filter(|_| work.fallback),
            tries: 1,
            misfits: 0,
        })
    }

    /// The way of an ask none of whose models can be asked in batches here.
    fn without_batch(&self, task: &Claimed, work: &AskWork) -> Way {
        let models = work.models.join(", ");
        let offers = || work.models.iter().filter_map(|model| self.parts.providers.offer(model));
        if offers().next().is_none() {
            let reason = format!("batch: none of the agent's models ({models}) belongs to a provider that is on here");
            return self.otherwise(task, work, Pace::Now, reason);
        }
        let pace = if offers().next().is_some_and(|offer| offer.flex) { Pace::Flex } else { Pace::Now };
        let reason = format!("batch: {models} cannot be asked in batches, so it is asked at {pace}");
        self.otherwise(task, work, pace, reason)
    }

    /// Sends an ask another way, if it may go there.
    fn otherwise(&self, task: &Claimed, work: &AskWork, pace: Pace, reason: String) -> Way {
        if pace == Pace::Now && !work.fallback {
            return fail(task, Cause::Unavailable, &format!("{reason}; it must not be asked at pace now"));
        }
        decline(task, pace, reason)
    }
}

/// Returns the provider's part of `provider/model`.
pub(crate) fn provider(model: &str) -> &str {
    model.split_once('/').map_or(model, |(provider, _)| provider)
}

fn wait_for(blackout: &Blackout, now: OffsetDateTime) -> Hold {
    Hold {
        held_for: HeldFor::Blackout,
        provider: Some(blackout.provider.clone()),
        nanos: Nanos(0),
        reason: format!("{} cannot serve at the moment: {}", blackout.provider, blackout.reason),
        until: Some(blackout.wait(now)),
    }
}

fn decline(task: &Claimed, pace: Pace, reason: String) -> Way {
    Way::Decline(Declined { id: task.id, attempt: task.attempt, pace, reason })
}

fn fail(task: &Claimed, cause: Cause, reason: &str) -> Way {
    end(task, End::Failed(Failure::new(cause, reason)))
}

fn end(task: &Claimed, end: End) -> Way {
    Way::End(Outcome::plain(task.id, task.root_id, Some(task.attempt), end))
}
