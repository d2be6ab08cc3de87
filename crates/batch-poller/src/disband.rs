//! Disband: the items of a batch that the provider did not take, or lost, go other ways, and the batch has failed.

use crate::{
    Parts,
    commit::commit,
    topics::News,
    verdict::{self, Told as Line},
    work::{Step, age},
};
use domain::batch::{BatchState, CancelThen, Told};
use std::collections::BTreeMap;
use store::{BatchRow, ItemEnd, ItemRow};

/// How many items are moved at a time.
pub(crate) const SLICE: i64 = 500;

/// What becomes of the items.
pub(crate) enum Fate {
    /// As is decided after this, with this reason.
    After(Told, String),
    /// Each is asked alone, where it gets its own error.
    Apart(String),
    /// Each is looked at anew: another of its models may serve it, or it is held.
    Back(String),
    /// These (their places) are at fault; the others may go into another batch.
    Blame(BTreeMap<i32, String>),
    /// As the master wishes.
    Wish(CancelThen),
}

/// Moves all items that have not ended, and then the batch.
pub(crate) async fn step(parts: &Parts, row: &mut BatchRow, fate: &Fate, note: &str) -> Result<Step, store::Error> {
    tracing::warn!(note, items = row.items, "the batch is given up");
    if !items(parts, row, fate).await? || !parts.store.batch_failed(row.id, row.hold, note).await? {
        return Ok(Step::Lost);
    }
    row.state = BatchState::Failed;
    parts.metrics.failed(&row.provider);
    let mut news = News::default();
    news.batch(row.id, BatchState::Failed);
    news.tell(&parts.bus).await;
    Ok(Step::Next)
}

/// What happens to a batch whose provider is switched off here: it waits, but not for ever.
pub(crate) async fn off(parts: &Parts, row: &mut BatchRow) -> Result<Step, store::Error> {
    let note = format!("{} is switched off here, or its batches are not served.", row.provider);
    if age(row.created_at) > parts.config.patience.saturating_mul(2) {
        // In another batch of the same provider they would wait again.
        return step(parts, row, &Fate::After(Told::Unfit, note.clone()), &note).await;
    }
    Ok(Step::rest(parts.config.poll, note))
}

/// Moves all items that have not ended; false when another replica has the batch.
pub(crate) async fn items(parts: &Parts, row: &BatchRow, fate: &Fate) -> Result<bool, store::Error> {
    let mut after = -1;
    loop {
        let items = parts.store.batch_rest(row.id, after, SLICE).await?;
        let Some(last) = items.last() else { return Ok(true) };
        after = last.seq;
        let ends: Vec<ItemEnd> = items.iter().map(|item| end(parts, fate, item)).collect();
        if !commit(parts, row, &ends).await? {
            return Ok(false);
        }
    }
}

fn end(parts: &Parts, fate: &Fate, item: &ItemRow) -> ItemEnd {
    let told = |told, reason: &str| verdict::plain(parts, item, Line { told, reason: Some(reason.to_owned()) });
    match fate {
        Fate::After(after, reason) => told(*after, reason),
        Fate::Apart(reason) => verdict::apart(item, reason),
        Fate::Back(reason) => verdict::back(item, reason),
        Fate::Blame(guilty) => match guilty.get(&item.seq) {
            Some(reason) => told(Told::Refused, reason),
            None => told(Told::Failed, "the batch failed for another item's fault"),
        },
        Fate::Wish(then) => verdict::wished(item, *then),
    }
}
