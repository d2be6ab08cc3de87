//! The one consumer loop. Refuses to know what its entries name, and to run a second time anywhere
//! else: every service reads its topics through this.
//!
//! **Keys**, each after the installation's prefix:
//! `<topic>` and `<topic>.express` are the two lanes of a topic, one stream each, with one consumer
//! group, named after the service that reads it; the consumer's name is the replica's. `dead` is the
//! stream of entries given up, of all topics. Feeds (`events`) have no group and are not read here.
//!
//! **An entry's life.** XADD puts it in a lane. One XREADGROUP over both lanes (express first) puts
//! it in this consumer's name and wakes within a round trip. It gets a permit of the semaphore and
//! goes to the handler in a slice; while it is in hand, its lease is renewed three times per lease.
//! `ack` takes it off the stream (XACK and XDEL, many at a time). `fail`, a drop or a panic leaves it
//! in the group; when the lease has run out, whoever patrols first claims it. After `max_deliveries`
//! it moves to the dead stream. An entry that cannot be read moves there at once.
//!
//! **After a restart** of the same replica, what is in its name is delivered first. After an emptied
//! Redis the groups are made again, from the first entry on. While Redis is away, handlers go on,
//! acknowledgements wait, and reading resumes with the connection.
//!
//! **Idle**, a consumer costs one XREADGROUP and two XPENDING per [`BLOCK`]; one with a single place
//! costs two reads more.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Bus;
use crate::acker::Acker;
use crate::delivery::{Delivery, Desk};
use crate::floor::Floor;
use crate::ledger::Ledger;
use crate::reader::Reader;
use crate::renewer::Renewer;
use crate::topic::{Lane, Streams, Topic};

/// How long a read blocks when nothing else is due.
pub(crate) const BLOCK: Duration = Duration::from_secs(30);
/// How often a consumer looks for entries in other names when there were none; half a lease when
/// there were some.
pub(crate) const PATROL: Duration = Duration::from_secs(30);
/// How long a stopping consumer tries to wake its own blocked read before it hangs up.
pub(crate) const WAKE_PATIENCE: Duration = Duration::from_secs(1);
/// How long it waits between two tries: the first may overtake the read that it is to wake.
pub(crate) const WAKE_REST: Duration = Duration::from_millis(20);
/// When all places were taken and one becomes free, how long to wait for more, so that a full
/// consumer reads slices and not single entries.
pub(crate) const GATHER: Duration = Duration::from_millis(1);

/// When so many finished entries could not be taken off their streams, reading waits for the acker.
pub(crate) const BACKLOG: usize = 65_536;

/// How long a stopping consumer lets its acker try when Redis is away.
const LAST_WORDS: Duration = Duration::from_secs(5);

const LEAVE: &str = include_str!("lua/leave.lua");

/// How a topic is consumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerOptions {
    /// The most entries that a handler gets at once.
    pub slice: usize,
    /// The most deliveries in flight in this process.
    pub concurrency: usize,
    /// How long an entry of a dead replica, or a failed one, waits before it is delivered again;
    /// whole milliseconds.
    pub lease: Duration,
    /// How often an entry is delivered before it goes to the dead stream.
    pub max_deliveries: u32,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self { slice: 128, concurrency: 1024, lease: Duration::from_secs(30), max_deliveries: 5 }
    }
}

/// Reads one topic.
#[derive(Debug)]
pub struct Consumer {
    bus: Bus,
    topic: Topic,
    options: ConsumerOptions,
}

impl Consumer {
    pub(crate) fn new(bus: Bus, topic: Topic, options: ConsumerOptions) -> Self {
        let options = ConsumerOptions {
            slice: options.slice.max(1),
            concurrency: options.concurrency.clamp(1, Semaphore::MAX_PERMITS.min(1 << 20)),
            lease: options.lease.max(Duration::from_millis(10)),
            max_deliveries: options.max_deliveries.max(1),
        };
        Self { bus, topic, options }
    }

    /// Delivers entries to the handler until `stop`, then waits until every delivery is
    /// acknowledged, failed or dropped, and Redis knows; what was not read stays for others.
    ///
    /// Each slice runs as its own task. A handler may move its deliveries into longer work: room
    /// is counted by deliveries, not by handlers. A panic fails the deliveries it unwinds through.
    pub async fn run<F>(self, stop: CancellationToken, handler: impl Fn(Vec<Delivery>) -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Self { bus, topic, options } = self;
        let streams = Streams::new(bus.prefix(), topic);
        let ledger = Arc::new(Ledger::default());
        let metrics = bus.metrics().of(topic);
        let (settled, settling) = mpsc::unbounded_channel();
        let mut acker = JoinSet::new();
        acker.spawn(
            Acker {
                bus: bus.clone(),
                topic,
                streams: streams.clone(),
                ledger: ledger.clone(),
                metrics: metrics.clone(),
            }
            .run(settling),
        );
        let mut renewer = JoinSet::new();
        renewer.spawn(
            Renewer { bus: bus.clone(), topic, streams: streams.clone(), ledger: ledger.clone(), lease: options.lease }
                .run(),
        );
        let ConsumerOptions { slice, lease, max_deliveries, .. } = options;
        let mut reader = Reader::new(bus.clone(), topic, streams.clone(), ledger.clone(), slice, lease);
        let desk = Arc::new(Desk { topic, lease, max_deliveries, ledger, settled, metrics });
        let mut floor = Floor::new(desk, options);

        work(&mut floor, &mut reader, &stop, Arc::new(handler)).await;

        floor.clear().await;
        drop(reader);
        renewer.abort_all();
        // The last sender is gone with the floor: the acker ends when it has told everything.
        drop(floor);
        if tokio::time::timeout(LAST_WORDS, acker.join_next()).await.is_err() {
            tracing::warn!(topic = topic.name(), "Redis is away: what was acknowledged last will be delivered again");
        }
        leave(&bus, topic, &streams).await;
    }
}

/// The loop: wait for room, read, hand over.
async fn work<F>(
    floor: &mut Floor,
    reader: &mut Reader,
    stop: &CancellationToken,
    handler: Arc<impl Fn(Vec<Delivery>) -> F + Send + Sync + 'static>,
) where
    F: Future<Output = ()> + Send + 'static,
{
    while let Some(Some(mut permits)) = stop.run_until_cancelled(floor.room()).await {
        let outcome = {
            let reading = reader.next(permits.num_permits(), stop);
            tokio::pin!(reading);
            loop {
                tokio::select! {
                    outcome = &mut reading => break outcome,
                    () = floor.tidied() => {}
                }
            }
        };
        match outcome {
            Ok(arrivals) => {
                floor.recovered();
                let mut accepted = floor.accept(arrivals);
                while let Some(slice) = floor.slice(&mut accepted, &mut permits).await {
                    let handler = handler.clone();
                    floor.slices.spawn(async move { handler(slice).await });
                }
            }
            Err(error) => {
                drop(permits);
                floor.rest(&error, stop).await;
            }
        }
    }
}

/// Takes the replica's name off the group, so that names of the past do not pile up there.
async fn leave(bus: &Bus, topic: Topic, streams: &Streams) {
    let mut commands = redis::pipe();
    for lane in Lane::BOTH {
        commands.cmd("EVAL").arg(LEAVE).arg(1).arg(streams.of(lane)).arg(topic.group()).arg(bus.replica());
    }
    if let Err(error) = bus.link().ask("leaving a topic", &commands).await {
        tracing::debug!(topic = topic.name(), error = error.chain(), "the consumer's name stays in its group");
    }
}
