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
//! **Idle**, a consumer costs one XREADGROUP and two XPENDING per [`BLOCK`].

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::acker::{Acker, LAST_WORDS};
use crate::delivery::{Delivery, Desk, Epitaph, Settled};
use crate::entry::Entry;
use crate::error::Error;
use crate::ledger::Ledger;
use crate::link::pause;
use crate::reader::{Arrival, Reader};
use crate::renewer::Renewer;
use crate::topic::{Lane, Streams, Topic};
use crate::{Bus, dead};

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
const GATHER: Duration = Duration::from_millis(1);

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
        let mut floor = Floor {
            desk,
            places: Arc::new(Semaphore::new(options.concurrency)),
            options,
            slices: JoinSet::new(),
            failures: 0,
        };

        floor.work(&mut reader, &stop, Arc::new(handler)).await;

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

/// Where handlers work: their places, their slices, and the loop that fills them.
struct Floor {
    desk: Arc<Desk>,
    places: Arc<Semaphore>,
    options: ConsumerOptions,
    slices: JoinSet<()>,
    failures: u32,
}

impl Floor {
    async fn work<F>(
        &mut self,
        reader: &mut Reader,
        stop: &CancellationToken,
        handler: Arc<impl Fn(Vec<Delivery>) -> F + Send + Sync + 'static>,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        while let Some(Some(permits)) = stop.run_until_cancelled(self.room()).await {
            let outcome = {
                let reading = reader.next(permits.num_permits(), stop);
                tokio::pin!(reading);
                loop {
                    tokio::select! {
                        outcome = &mut reading => break outcome,
                        Some(ended) = self.slices.join_next() => note(&self.desk, ended),
                    }
                }
            };
            match outcome {
                Ok(arrivals) => {
                    self.recovered();
                    for slice in self.deliver(arrivals, permits).await {
                        let handler = handler.clone();
                        self.slices.spawn(async move { handler(slice).await });
                    }
                }
                Err(error) => {
                    drop(permits);
                    self.rest(&error, stop).await;
                }
            }
            while let Some(ended) = self.slices.try_join_next() {
                note(&self.desk, ended);
            }
        }
    }

    /// Waits for free places, at most two slices of them.
    async fn room(&self) -> Option<OwnedSemaphorePermit> {
        let most = self.options.slice.saturating_mul(2);
        let mut permits = match self.places.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let permit = self.places.clone().acquire_owned().await.ok()?;
                let wanted = self.options.slice.min(self.options.concurrency / 4);
                if self.places.available_permits() + 1 < wanted {
                    tokio::time::sleep(GATHER).await;
                }
                permit
            }
        };
        let more = self.places.available_permits().min(most.saturating_sub(1));
        if let Ok(more) = u32::try_from(more)
            && let Ok(more) = self.places.clone().try_acquire_many_owned(more)
        {
            permits.merge(more);
        }
        Some(permits)
    }

    /// Turns arrivals into deliveries, in slices; buries those that are none.
    async fn deliver(&self, arrivals: Vec<Arrival>, mut permits: OwnedSemaphorePermit) -> Vec<Vec<Delivery>> {
        let desk = &self.desk;
        let mut slices: Vec<Vec<Delivery>> = Vec::new();
        for Arrival { place, fields, deliveries } in arrivals {
            if !desk.ledger.take(place) {
                continue;
            }
            if deliveries > 1 {
                desk.metrics.claimed.inc();
            }
            let entry = match Entry::decode(&fields) {
                Ok(entry) if deliveries > self.options.max_deliveries => {
                    let earlier = deliveries - 1;
                    let cause = format!("delivered {earlier} times and never acknowledged");
                    desk.settle(Settled::Buried(place, Epitaph { entry: Ok(entry), deliveries: earlier, cause }));
                    continue;
                }
                Ok(entry) => entry,
                Err(cause) => {
                    let entry = Err(dead::raw(&fields));
                    desk.settle(Settled::Buried(place, Epitaph { entry, deliveries, cause }));
                    continue;
                }
            };
            let permit = match permits.split(1) {
                Some(permit) => permit,
                None => match self.places.clone().acquire_owned().await {
                    Ok(permit) => permit,
                    Err(_) => break,
                },
            };
            let delivery = Delivery::new(entry, deliveries, place, desk.clone(), permit);
            match slices.last_mut().filter(|slice| slice.len() < self.options.slice) {
                Some(slice) => slice.push(delivery),
                None => slices.push(vec![delivery]),
            }
        }
        slices
    }

    /// Waits after a failure, longer each time; a group that is gone is made again at once.
    async fn rest(&mut self, error: &Error, stop: &CancellationToken) {
        self.failures = self.failures.saturating_add(1);
        let topic = self.desk.topic.name();
        let error_text = error.chain();
        match self.failures {
            1 if error.is_gone() => return,
            1 if error.is_transient() => {
                tracing::warn!(topic, error = error_text, "reading pauses until Redis is back");
            }
            1 => tracing::error!(topic, error = error_text, "entries cannot be read"),
            failures => tracing::debug!(topic, error = error_text, failures, "still cannot read"),
        }
        let pause = tokio::time::sleep(pause(self.failures));
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return,
                () = stop.cancelled() => return,
                Some(ended) = self.slices.join_next() => note(&self.desk, ended),
            }
        }
    }

    fn recovered(&mut self) {
        if std::mem::take(&mut self.failures) > 1 {
            tracing::info!(topic = self.desk.topic.name(), "reading again");
        }
    }

    /// Waits until every slice has ended and every delivery is gone, wherever it was moved to.
    async fn clear(&mut self) {
        while let Some(ended) = self.slices.join_next().await {
            note(&self.desk, ended);
        }
        let all = u32::try_from(self.options.concurrency).unwrap_or(u32::MAX);
        drop(self.places.acquire_many(all).await);
    }
}

/// Counts and logs a slice that ended in a panic. Its deliveries failed when it unwound.
fn note(desk: &Desk, ended: Result<(), JoinError>) {
    let Err(error) = ended else { return };
    if let Ok(panic) = error.try_into_panic() {
        let said = panic.downcast_ref::<&str>().map(ToString::to_string);
        let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        desk.metrics.panics.inc();
        tracing::error!(topic = desk.topic.name(), panic = said, "a handler panicked; its deliveries failed");
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
