//! Close: makes batches of the groups whose time has come. One statement does it, for one replica.

use crate::{Parts, topics::News};
use domain::batch::{BatchState, Limits, MOST_ITEMS, Waiting, is_due};
use store::{Close, Group};
use uuid::Uuid;

/// The limits of a provider that is switched off here by now: whoever serves it submits the batch.
const ELSEWHERE: (u32, u64) = (10_000, 50 << 20);

/// Closes all groups that are due; tells whether there was one.
pub(crate) async fn step(parts: &Parts) -> Result<bool, store::Error> {
    let mut found = false;
    for group in parts.store.batch_groups().await? {
        let (max_items, max_bytes) = limits(parts, &group);
        let waiting = Waiting { items: group.items, bytes: group.bytes, oldest: group.oldest, flush: group.flush };
        let limits = Limits { items: i64::from(max_items), bytes: i64::try_from(max_bytes).unwrap_or(i64::MAX) };
        if !is_due(&waiting, &limits, parts.config.window) {
            continue;
        }
        // A group that holds more than one batch may is closed until what is left may wait.
        let close =
            || Close { id: Uuid::now_v7(), grp: group.grp.clone(), window: parts.config.window, max_items, max_bytes };
        while let Some(batch) = parts.store.batch_close(&close()).await? {
            found = true;
            tracing::info!(batch = %batch.id, provider = batch.provider, items = batch.items, "a batch was made");
            let mut news = News::default();
            news.batch(batch.id, BatchState::Submitting);
            news.tell(&parts.bus).await;
        }
    }
    Ok(found)
}

/// The most items and bytes of one batch of this group.
fn limits(parts: &Parts, group: &Group) -> (u32, u64) {
    let (items, bytes) = parts.providers.batches(&group.provider).map_or(ELSEWHERE, |batches| batches.limits());
    (items.min(MOST_ITEMS), bytes)
}
