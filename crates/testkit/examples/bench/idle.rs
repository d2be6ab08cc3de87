//! What an idle Chavion asks of its servers. Refuses to guess: it takes what the servers counted.

use crate::{
    figures::{ratio, round},
    stand::Stand,
};
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

/// What was asked while nothing was to be done.
#[derive(Debug)]
pub(crate) struct Idle {
    /// Transactions and commands a second together.
    pub(crate) per_second: f64,
    /// The same in parts.
    pub(crate) shown: Value,
}

/// Watches for a while.
pub(crate) async fn watch(stand: &mut Stand, window: Duration) -> anyhow::Result<Idle> {
    let meter = stand.meter();
    let (before, used) = (stand.postgres.counted().await?, meter.snapshot()?);
    let calls = stand.redis.calls().await?;
    let start = Instant::now();
    tokio::time::sleep(window).await;
    let seconds = start.elapsed().as_secs_f64();
    let now = stand.redis.calls().await?;
    let (after, later) = (stand.postgres.counted().await?, meter.snapshot()?);
    // Between the two counts lies our own question of the first.
    let transactions = (after.transactions - before.transactions - 1.0).max(0.0) / seconds;
    let mut commands = Map::new();
    let mut all = 0.0;
    for (name, count) in now {
        let made = (count - calls.get(&name).copied().unwrap_or_default()) / seconds;
        if made > 0.0 {
            all += made;
            commands.insert(name, json!(round(made)));
        }
    }
    let per_second = round(transactions + all);
    let shown = json!({
        "seconds": round(seconds),
        "queries_per_second": per_second,
        "postgres_transactions_per_second": round(transactions),
        "redis_commands_per_second": round(all),
        "redis_by_command": commands,
        "cpu": later.since(&used, 0.0),
        "cores_of_all_services": ratio(later.services(&used), seconds),
    });
    Ok(Idle { per_second, shown })
}
