//! One entry in a handler's hands. Refuses to be forgotten: it is acknowledged, failed, or, when
//! dropped, failed by that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::entry::Entry;
use crate::ledger::{Ledger, Place};
use crate::metrics::TopicMetrics;
use crate::topic::{Lane, Topic};

/// What became of an entry, on its way to Redis.
#[derive(Debug)]
pub(crate) enum Settled {
    /// Done: off the stream.
    Acked(Place),
    /// Given up: to the dead stream.
    Buried(Place, Epitaph),
}

/// What the dead stream tells of an entry besides its place.
#[derive(Debug)]
pub(crate) struct Epitaph {
    /// The entry, or its raw fields made readable.
    pub(crate) entry: Result<Entry, String>,
    pub(crate) deliveries: u32,
    pub(crate) cause: String,
}

/// What all deliveries of one consumer share.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) topic: Topic,
    pub(crate) lease: Duration,
    pub(crate) max_deliveries: u32,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) settled: mpsc::UnboundedSender<Settled>,
    pub(crate) metrics: TopicMetrics,
}

impl Desk {
    /// Sends word to the acker, who lives as long as any sender does.
    pub(crate) fn settle(&self, settled: Settled) {
        let (Settled::Acked(place) | Settled::Buried(place, _)) = &settled;
        self.ledger.settling(*place);
        if self.settled.send(settled).is_err() {
            tracing::debug!(topic = %self.topic, "a delivery was settled after its consumer had ended");
        }
    }
}

/// One entry in a handler's hands, with its share of the consumer's concurrency. Its lease is
/// renewed until it is acknowledged, failed or dropped.
#[derive(Debug)]
pub struct Delivery {
    /// The name that was announced.
    pub entry: Entry,
    /// How often it was delivered, this time included.
    pub deliveries: u32,
    place: Place,
    desk: Arc<Desk>,
    open: bool,
    /// Held for its drop alone, which makes room for the next entry.
    _permit: OwnedSemaphorePermit,
}

impl Delivery {
    pub(crate) fn new(
        entry: Entry,
        deliveries: u32,
        place: Place,
        desk: Arc<Desk>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        desk.metrics.delivered.inc();
        desk.metrics.age.observe(entry.age().as_secs_f64());
        desk.metrics.in_flight.inc();
        Self { entry, deliveries, place, desk, open: true, _permit: permit }
    }

    /// The lane that it came by.
    #[must_use]
    pub fn lane(&self) -> Lane {
        self.place.0
    }

    /// Says that the work is committed: the entry is taken off its stream soon, together with
    /// others. Should this process die before, it is delivered again.
    pub fn ack(mut self) {
        self.open = false;
        self.desk.settle(Settled::Acked(self.place));
    }

    /// Says that the work was not done. The entry is delivered again when its lease has run out,
    /// to whoever is first; after the last delivery it goes to the dead stream with this cause,
    /// which operators read and which is logged: no secrets. The handler logs what it wants known
    /// before that, once for a slice.
    pub fn fail(mut self, cause: impl Into<String>) {
        self.open = false;
        self.give_up(cause.into());
    }

    fn give_up(&self, cause: String) {
        let desk = &self.desk;
        desk.metrics.failed.inc();
        let (topic, id, deliveries) = (desk.topic.name(), self.entry.id, self.deliveries);
        if deliveries >= desk.max_deliveries {
            let epitaph = Epitaph { entry: Ok(self.entry.clone()), deliveries, cause };
            desk.settle(Settled::Buried(self.place, epitaph));
        } else {
            tracing::debug!(topic, %id, deliveries, cause, "a delivery failed and will be repeated");
            desk.ledger.failed(self.place, Instant::now() + desk.lease);
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.desk.metrics.in_flight.dec();
        if self.open {
            let cause = if std::thread::panicking() { "the handler panicked" } else { "the handler dropped it" };
            self.give_up(cause.to_owned());
        }
    }
}
