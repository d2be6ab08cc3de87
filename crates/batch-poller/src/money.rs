//! Asks for which there is no money: what they wait for, and those that would be asked again.

use crate::{Parts, topics::News};
use domain::task::{HeldFor, State};
use std::time::Duration;
use store::{Held, Hold, ItemEnd, ItemThen, Refusal, Settled, SettledItem};
use time::OffsetDateTime;
use uuid::Uuid;

/// What an ask waits for whose budget is used up: tomorrow, or its master. Without the provider nobody could tell
/// whether that one's budget has room for it again.
pub(crate) fn wait_for(refusal: &Refusal, provider: Option<String>) -> Hold {
    let now = OffsetDateTime::now_utc();
    let tomorrow = || now.date().next_day().map(|day| day.midnight().assume_utc() - now);
    let until = refusal.ends_with_the_day().then(tomorrow).flatten();
    Hold {
        held_for: HeldFor::Budget,
        provider,
        nanos: refusal.asked,
        reason: refusal.reason(),
        until: until.and_then(|wait| Duration::try_from(wait).ok()),
    }
}

/// Holds those of the asks that ride again with a longer conversation for which the budgets have no room. What cannot
/// be checked rides with what was set aside for it before.
pub(crate) async fn recheck(parts: &Parts, ends: &[ItemEnd], settled: &[SettledItem]) {
    let longer = |item: &&SettledItem| {
        item.then == Settled::Again
            && ends.iter().any(|end| end.seq == item.seq && matches!(end.then, ItemThen::Correct { .. }))
    };
    let tasks: Vec<Uuid> = settled.iter().filter(longer).map(|item| item.name.id).collect();
    if let Err(error) = hold(parts, &tasks, settled).await {
        tracing::warn!(%error, asks = tasks.len(), "whether there is money to ask again could not be seen to");
    }
}

async fn hold(parts: &Parts, tasks: &[Uuid], settled: &[SettledItem]) -> Result<(), store::Error> {
    let refused = parts.store.batch_recheck(tasks, parts.config.lease).await?;
    let held = |(refusal, provider): &(Refusal, String)| Held {
        task: refusal.task,
        hold: wait_for(refusal, Some(provider.clone())),
    };
    let held: Vec<Held> = refused.iter().map(held).collect();
    let mut news = News::default();
    for moved in parts.store.hold(&held).await? {
        let name = settled.iter().find(|item| item.name.id == moved.id).map(|item| &item.name);
        news.event(moved.id, State::Held, name.and_then(|name| name.traceparent.as_deref()));
    }
    news.tell(&parts.bus).await;
    Ok(())
}
