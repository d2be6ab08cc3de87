//! From what a batch said of an item to the item's end: `domain` decides, this words it. Refuses to write anything.

use crate::{Parts, request::corrected, route::provider};
use domain::{
    advance::AskWork,
    batch::{After, CUSTOM_ID_BYTES, CancelThen, ItemState, Told as Word, Trial, after},
    pace::Pace,
    schema::Checks,
    task::{Cause, Failure},
};
use providers::{Answer, BatchOutcome, Batches, Class, Error};
use store::{Charge, ItemEnd, ItemRow, ItemThen};

/// What was told of an item that was not answered.
pub(crate) struct Told {
    /// The decision's word for it.
    pub(crate) told: Word,
    /// In plain words.
    pub(crate) reason: Option<String>,
}

/// The end of an item, as far as it is known without its task's work.
pub(crate) enum Verdict {
    /// It is final.
    End(ItemEnd),
    /// Its answer did not fit and is to be asked for again.
    Correct(Misfit),
}

/// An answer that did not fit.
pub(crate) struct Misfit {
    pub(crate) item: ItemRow,
    answer: Box<Answer>,
    misfit: String,
}

/// Judges the result of one item; `wish` is what its batch's master wants of cancelled ones.
pub(crate) fn judge(
    parts: &Parts,
    checks: &mut Checks,
    (item, outcome): (ItemRow, BatchOutcome),
    wish: Option<CancelThen>,
) -> Verdict {
    match outcome {
        BatchOutcome::Succeeded(answer) => answered(parts, checks, item, answer),
        BatchOutcome::Failed(error) => {
            let charge = error.billed.as_deref().map(|billed| charge(&item, billed));
            let told = Told { told: word(&error), reason: Some(error.reason) };
            Verdict::End(ItemEnd { charge, ..plain(parts, &item, told) })
        }
        BatchOutcome::Expired => Verdict::End(plain(parts, &item, Told { told: Word::Expired, reason: None })),
        BatchOutcome::Cancelled => Verdict::End(match wish {
            Some(wish) => wished(&item, wish),
            None => plain(parts, &item, Told { told: Word::Cancelled, reason: None }),
        }),
    }
}

fn answered(parts: &Parts, checks: &mut Checks, item: ItemRow, answer: Answer) -> Verdict {
    let charge = Some(charge(&item, &answer));
    // Without a schema, an answer that happens to be JSON is text like any other.
    let data = answer.data.clone().filter(|_| item.schema.is_some());
    match checks.fits(item.schema.as_ref(), data, &answer.text) {
        Ok(data) => {
            let result = serde_json::json!({ "text": answer.text, "data": data });
            let then = ItemThen::Complete { result, model: answer.model, emulated: answer.emulated };
            Verdict::End(ItemEnd { seq: item.seq, state: ItemState::Succeeded, reason: None, charge, then })
        }
        Err(misfit) => match after(Word::Misfit, &trial(parts, &item)) {
            After::Correct if item.waited_for => Verdict::Correct(Misfit { item, answer: Box::new(answer), misfit }),
            _ => {
                let asked = item.misfits.saturating_add(1);
                let reason = format!("{} was asked {asked} times: {misfit}", item.model);
                let then = ItemThen::Fail(Failure::new(Cause::Misfit, reason));
                let reason = Some(misfit);
                Verdict::End(ItemEnd { seq: item.seq, state: ItemState::Succeeded, reason, charge, then })
            }
        },
    }
}

impl Misfit {
    /// Ends the item, so that its ask goes into another batch with the answer and what was wrong with it.
    pub(crate) fn end(self, parts: &Parts, batches: &Batches, work: &AskWork) -> ItemEnd {
        let Self { item, answer, misfit } = self;
        let request = corrected(work, &item.model, &answer.text, &misfit);
        let body = batches.body(&request).ok();
        let bytes = body.as_ref().map(|body| batches.line_bytes(CUSTOM_ID_BYTES, body.len()));
        let then = match (body, bytes.and_then(|bytes| i32::try_from(bytes).ok())) {
            (Some(body), Some(bytes)) => {
                let estimate = parts.providers.estimate(&request, Pace::Batch);
                let reason = format!("its answer could not be used ({misfit}) and is asked for again");
                ItemThen::Correct { body, bytes, estimate, reason }
            }
            _ => ItemThen::Fail(Failure::new(Cause::Misfit, format!("{}: {misfit}", item.model))),
        };
        let charge = Some(charge(&item, &answer));
        ItemEnd { seq: item.seq, state: ItemState::Succeeded, reason: Some(misfit), charge, then }
    }

    /// Ends the item when its task's work cannot be read any more.
    pub(crate) fn lost(self) -> ItemEnd {
        let charge = Some(charge(&self.item, &self.answer));
        let then = ItemThen::Fail(Failure::new(Cause::Misfit, self.misfit.clone()));
        ItemEnd { seq: self.item.seq, state: ItemState::Succeeded, reason: Some(self.misfit), charge, then }
    }
}

/// Ends an item that brought nothing.
pub(crate) fn plain(parts: &Parts, item: &ItemRow, Told { told, reason }: Told) -> ItemEnd {
    let reason = reason.unwrap_or_else(|| unsaid(told, &item.provider));
    let then = match after(told, &trial(parts, item)) {
        After::Again | After::Correct => ItemThen::Again,
        After::Now => ItemThen::Now { reason: format!("batch: {reason}; it is asked at now") },
        After::Fail(cause) => ItemThen::Fail(Failure::new(cause, reason.clone())),
        After::Complete => ItemThen::Fail(Failure::new(Cause::Internal, "an answer without its text")),
    };
    ItemEnd { seq: item.seq, state: told.state(), reason: Some(reason), charge: None, then }
}

/// Ends an item whose batch was refused, no one knows for whose fault.
pub(crate) fn apart(item: &ItemRow, reason: &str) -> ItemEnd {
    let then = if item.fallback {
        ItemThen::Now { reason: format!("batch: {reason}; it is asked at now") }
    } else {
        ItemThen::Fail(Failure::new(Cause::Refused, reason))
    };
    ItemEnd { seq: item.seq, state: ItemState::FailedRetryable, reason: Some(reason.to_owned()), charge: None, then }
}

/// Ends an item whose provider cannot serve: its ask is looked at anew.
pub(crate) fn back(item: &ItemRow, reason: &str) -> ItemEnd {
    let then = ItemThen::Back { reason: reason.to_owned() };
    ItemEnd { seq: item.seq, state: ItemState::FailedRetryable, reason: Some(reason.to_owned()), charge: None, then }
}

/// Ends an item as the master of its batch wishes.
pub(crate) fn wished(item: &ItemRow, wish: CancelThen) -> ItemEnd {
    let reason = "its batch was cancelled";
    let then = match wish {
        CancelThen::Now => ItemThen::Now { reason: format!("batch: {reason}; it is asked at now") },
        CancelThen::Batch => ItemThen::Again,
        CancelThen::Cancel => ItemThen::Cancel(Failure::new(Cause::Cancelled, reason)),
    };
    ItemEnd { seq: item.seq, state: ItemState::Cancelled, reason: Some(reason.to_owned()), charge: None, then }
}

fn trial(parts: &Parts, item: &ItemRow) -> Trial {
    Trial {
        tries: item.tries,
        misfits: item.misfits,
        retry: item.retry,
        fallback: item.fallback,
        most: parts.config.tries,
    }
}

const fn word(error: &Error) -> Word {
    match error.class {
        Class::Fail => Word::Refused,
        Class::FailOver => Word::Unfit,
        Class::Hold | Class::Retry { .. } => Word::Failed,
    }
}

fn unsaid(told: Word, provider: &str) -> String {
    match told {
        Word::Expired => format!("the batch's time at {provider} ran out before it"),
        Word::Cancelled => format!("its batch at {provider} was cancelled before it"),
        Word::Nothing => format!("the batch of {provider} ended without a word of it"),
        Word::Answer | Word::Misfit | Word::Refused | Word::Unfit | Word::Failed => format!("{provider} failed"),
    }
}

fn charge(item: &ItemRow, answer: &Answer) -> Charge {
    Charge {
        agent: item.agent.clone(),
        provider: provider(&answer.model).to_owned(),
        model: answer.model.clone(),
        pace: Pace::Batch,
        usage: answer.usage,
        nanos: answer.nanos,
        list_nanos: answer.list_nanos,
        emulated: answer.emulated,
    }
}
