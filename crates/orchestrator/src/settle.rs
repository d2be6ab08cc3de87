//! New orders, and tasks that others ended, go the same way: their order is looked at and carried forward.

use crate::{
    AGAIN, Parts,
    advance::{Advancer, Job},
};
use bus::Delivery;
use std::{collections::HashMap, sync::Arc};
use uuid::Uuid;

/// Hands new orders to the lanes: a root's own id is its root.
pub(crate) async fn plan(advancer: Advancer, slice: Vec<Delivery>) {
    for delivery in slice {
        advancer.submit(Job { root: delivery.entry.id, outcome: None, delivery, held: None }).await;
    }
}

/// Hands the orders of tasks that ended elsewhere (executor, batch-poller, gateway) to the lanes.
pub(crate) async fn settled(parts: Arc<Parts>, advancer: Advancer, slice: Vec<Delivery>) {
    let ids: Vec<Uuid> = slice.iter().map(|delivery| delivery.entry.id).collect();
    let roots: HashMap<Uuid, Uuid> = loop {
        match parts.store.roots_of(&ids).await {
            Ok(found) => break found,
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "Postgres could not say whose tasks these are; it is asked again");
                tokio::time::sleep(AGAIN).await;
            }
            Err(error) => {
                tracing::error!(%error, "settled tasks could not be looked up");
                slice.into_iter().for_each(|delivery| delivery.fail("the lookup failed"));
                return;
            }
        }
    };
    for delivery in slice {
        match roots.get(&delivery.entry.id) {
            Some(root) => advancer.submit(Job { root: *root, outcome: None, delivery, held: None }).await,
            // The row is gone: nothing can be owed to it.
            None => delivery.ack(),
        }
    }
}
