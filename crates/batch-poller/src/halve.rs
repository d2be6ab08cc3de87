//! Halve: a batch that was refused for what is in it becomes two, until the items at fault are alone. Only those go other
//! ways then, and the others are still asked at half price. Refuses to go on when too many pieces are refused: then it
//! is not a few items that are at fault.

use crate::{
    Parts,
    disband::{self, Fate},
    topics::News,
    work::Step,
};
use domain::batch::BatchState;
use store::BatchRow;
use uuid::Uuid;

/// So many pieces of one batch may be refused: one item at fault among a million takes twenty of them.
const MOST: i64 = 64;

/// Halves a batch, or has each of its items asked alone when it cannot be halved any more.
pub(crate) async fn step(parts: &Parts, row: &mut BatchRow, note: &str) -> Result<Step, store::Error> {
    let halves = [Uuid::now_v7(), Uuid::now_v7()];
    let made = match row.items {
        ..2 => Vec::new(),
        _ => parts.store.batch_halve(row.id, row.hold, halves, note, MOST).await?,
    };
    if made.is_empty() {
        return disband::step(parts, row, &Fate::Apart(note.to_owned()), note).await;
    }
    tracing::warn!(note, items = row.items, "the batch was refused and is halved");
    row.state = BatchState::Failed;
    parts.metrics.failed(&row.provider);
    parts.metrics.halved.inc();
    let mut news = News::default();
    news.batch(row.id, BatchState::Failed);
    made.iter().for_each(|half| news.batch(*half, BatchState::Submitting));
    news.tell(&parts.bus).await;
    parts.wake(true);
    Ok(Step::Next)
}
