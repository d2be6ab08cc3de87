//! Tells Redis what became of entries, many at a time. Refuses to touch an entry that another
//! replica has claimed meanwhile.

use std::sync::Arc;

use redis::{Pipeline, Value};
use tokio::sync::mpsc;

use crate::Bus;
use crate::delivery::{Epitaph, Settled};
use crate::error::Error;
use crate::ledger::{Ledger, Place};
use crate::link::pause;
use crate::metrics::TopicMetrics;
use crate::topic::{Lane, Streams, Topic, dead_key};
use crate::{dead, reply};

/// The most entries that one script call takes off: Lua's `unpack` ends at some 8,000 values.
const BATCH: usize = 1000;
const DOING: &str = "acknowledging entries";

const ACK: &str = include_str!("lua/ack.lua");
const BURY: &str = include_str!("lua/bury.lua");

/// The task that empties the channel of settled entries.
pub(crate) struct Acker {
    pub(crate) bus: Bus,
    pub(crate) topic: Topic,
    pub(crate) streams: Streams,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) metrics: TopicMetrics,
}

impl Acker {
    /// Runs until the last sender is gone and everything is told. While Redis is away it keeps what
    /// it has and tries again: the work is committed, so the entry must go.
    pub(crate) async fn run(self, mut settled: mpsc::UnboundedReceiver<Settled>) {
        let mut batch = Vec::with_capacity(BATCH);
        while settled.recv_many(&mut batch, BATCH).await > 0 {
            // A handler acknowledges its whole slice in one go: let it, then send all at once.
            tokio::task::yield_now().await;
            while batch.len() < BATCH
                && let Ok(more) = settled.try_recv()
            {
                batch.push(more);
            }
            self.flush_until_told(&batch).await;
            self.ledger.settled(batch.iter().map(place));
            batch.clear();
        }
    }

    async fn flush_until_told(&self, batch: &[Settled]) {
        let mut failures = 0_u32;
        while let Err(error) = self.flush(batch).await {
            failures = failures.saturating_add(1);
            if failures == 1 {
                let topic = self.topic.name();
                tracing::warn!(topic, count = batch.len(), error = error.chain(), "entries cannot be acknowledged yet");
            }
            tokio::time::sleep(pause(failures)).await;
        }
    }

    async fn flush(&self, batch: &[Settled]) -> Result<(), Error> {
        let mut commands = redis::pipe();
        let mut acked = Vec::new();
        for lane in Lane::BOTH {
            let ids: Vec<_> = batch.iter().filter_map(|settled| settled.acked(lane)).collect();
            if !ids.is_empty() {
                self.script(&mut commands, ACK, &[self.streams.of(lane)]);
                for id in ids {
                    commands.arg(id.to_string());
                }
                acked.push(true);
            }
        }
        for settled in batch {
            if let Settled::Buried(place, epitaph) = settled {
                self.bury(&mut commands, *place, epitaph);
                acked.push(false);
            }
        }
        let answers = self.bus.link().ask(DOING, &commands).await?;
        // A stream or group that is gone has nothing left to acknowledge; the loop makes it again.
        let refused = |answer| reply::refusal(DOING, answer).filter(|error| !error.is_gone());
        if let Some(error) = answers.iter().find_map(refused) {
            return Err(error);
        }
        for (was_acked, answer) in acked.into_iter().zip(&answers) {
            let counter = if was_acked { &self.metrics.acked } else { &self.metrics.dead };
            counter.inc_by(count(answer));
        }
        self.log_dead(batch);
        Ok(())
    }

    fn bury(&self, commands: &mut Pipeline, place: Place, epitaph: &Epitaph) {
        let dead = dead_key(self.bus.prefix());
        self.script(commands, BURY, &[self.streams.of(place.0), &dead]);
        commands.arg(place.1.to_string());
        dead::encode(commands, self.topic, place, epitaph);
    }

    fn script(&self, commands: &mut Pipeline, script: &str, keys: &[&str]) {
        commands.cmd("EVAL").arg(script).arg(keys.len()).arg(keys);
        commands.arg(self.topic.group()).arg(self.bus.replica());
    }

    fn log_dead(&self, batch: &[Settled]) {
        for settled in batch {
            if let Settled::Buried(place, Epitaph { entry, deliveries, cause }) = settled {
                let id = entry.as_ref().map_or_else(|_| place.1.to_string(), |entry| entry.id.to_string());
                tracing::error!(topic = self.topic.name(), id, deliveries, cause, "an entry went to the dead stream");
            }
        }
    }
}

impl Settled {
    fn acked(&self, lane: Lane) -> Option<crate::EventId> {
        match self {
            Self::Acked((of, id)) if *of == lane => Some(*id),
            _ => None,
        }
    }
}

fn place(settled: &Settled) -> Place {
    let (Settled::Acked(place) | Settled::Buried(place, _)) = settled;
    *place
}

fn count(answer: &Value) -> u64 {
    reply::integer(answer).and_then(|count| u64::try_from(count).ok()).unwrap_or(0)
}
