//! Keeps the leases of entries that are in handlers' hands. Refuses to renew what another replica
//! has claimed.

use std::sync::Arc;
use std::time::Duration;

use crate::Bus;
use crate::error::Error;
use crate::ledger::Ledger;
use crate::link::pause;
use crate::reply;
use crate::topic::{Lane, Streams, Topic};

/// The most entries that one script call renews: Lua's `unpack` ends at some 8,000 values.
const BATCH: usize = 1000;
const DOING: &str = "renewing leases";

const RENEW: &str = include_str!("lua/renew.lua");

/// The task that renews leases: three times within each, and not at all when nothing is held.
pub(crate) struct Renewer {
    pub(crate) bus: Bus,
    pub(crate) topic: Topic,
    pub(crate) streams: Streams,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) lease: Duration,
}

impl Renewer {
    /// Runs until it is aborted.
    pub(crate) async fn run(self) {
        let mut failures = 0_u32;
        loop {
            self.ledger.filled().await;
            let rest = if failures == 0 { self.lease / 3 } else { pause(failures).min(self.lease / 3) };
            tokio::time::sleep(rest).await;
            match self.renew().await {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures = failures.saturating_add(1);
                    if failures == 1 {
                        tracing::warn!(topic = self.topic.name(), error = error.chain(), "leases cannot be renewed");
                    }
                }
            }
        }
    }

    async fn renew(&self) -> Result<(), Error> {
        let mut commands = redis::pipe();
        for lane in Lane::BOTH {
            for ids in self.ledger.working(lane).chunks(BATCH) {
                commands.cmd("EVAL").arg(RENEW).arg(1).arg(self.streams.of(lane));
                commands.arg(self.topic.group()).arg(self.bus.replica());
                for id in ids {
                    commands.arg(id.to_string());
                }
            }
        }
        if commands.is_empty() {
            return Ok(());
        }
        let answers = self.bus.link().ask(DOING, &commands).await?;
        // A group that is gone has no leases; the loop makes it again.
        answers
            .iter()
            .find_map(|answer| reply::refusal(DOING, answer))
            .filter(|error| !error.is_gone())
            .map_or(Ok(()), Err)
    }
}
