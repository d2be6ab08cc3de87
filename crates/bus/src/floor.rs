//! Where handlers work: their places, their slices, the hand-over of arrivals. Refuses to read.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::consumer::{BACKLOG, ConsumerOptions, GATHER};
use crate::dead;
use crate::delivery::{Delivery, Desk, Epitaph, Settled};
use crate::entry::Entry;
use crate::error::Error;
use crate::ledger::Place;
use crate::link::pause;
use crate::reader::Arrival;

/// An entry in this consumer's name that waits for its place.
pub(crate) type Accepted = (Place, Entry, u32);

/// The places of one consumer, and the slices at work there.
pub(crate) struct Floor {
    desk: Arc<Desk>,
    places: Arc<Semaphore>,
    options: ConsumerOptions,
    pub(crate) slices: JoinSet<()>,
    failures: u32,
}

impl Floor {
    pub(crate) fn new(desk: Arc<Desk>, options: ConsumerOptions) -> Self {
        let places = Arc::new(Semaphore::new(options.concurrency));
        Self { desk, places, options, slices: JoinSet::new(), failures: 0 }
    }

    /// Waits for free places, at most two slices of them.
    pub(crate) async fn room(&self) -> Option<OwnedSemaphorePermit> {
        while self.desk.ledger.backlog() > BACKLOG {
            tokio::time::sleep(pause(1)).await;
        }
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

    /// Enters arrivals in the ledger, from where on their leases are renewed; buries those that are
    /// no deliveries, leaves out those that a handler of this process already has.
    pub(crate) fn accept(&self, arrivals: Vec<Arrival>) -> VecDeque<Accepted> {
        let desk = &self.desk;
        let mut accepted = VecDeque::with_capacity(arrivals.len());
        for Arrival { place, fields, deliveries } in arrivals {
            if !desk.ledger.take(place) {
                continue;
            }
            if deliveries > 1 {
                desk.metrics.claimed.inc();
            }
            match Entry::decode(&fields) {
                Ok(entry) if deliveries > self.options.max_deliveries => {
                    let deliveries = deliveries - 1;
                    let cause = format!("delivered {deliveries} times and never acknowledged");
                    desk.settle(Settled::Buried(place, Epitaph { entry: Ok(entry), deliveries, cause }));
                }
                Ok(entry) => accepted.push_back((place, entry, deliveries)),
                Err(cause) => {
                    let entry = Err(dead::raw(&fields));
                    desk.settle(Settled::Buried(place, Epitaph { entry, deliveries, cause }));
                }
            }
        }
        accepted
    }

    /// Makes the next slice. One more entry than permits waits for its place.
    pub(crate) async fn slice(
        &self,
        accepted: &mut VecDeque<Accepted>,
        permits: &mut OwnedSemaphorePermit,
    ) -> Option<Vec<Delivery>> {
        if accepted.is_empty() {
            return None;
        }
        if permits.num_permits() == 0 {
            permits.merge(self.places.clone().acquire_owned().await.ok()?);
        }
        let mut slice = Vec::with_capacity(accepted.len().min(self.options.slice));
        while slice.len() < self.options.slice
            && !accepted.is_empty()
            && let Some(permit) = permits.split(1)
            && let Some((place, entry, deliveries)) = accepted.pop_front()
        {
            slice.push(Delivery::new(entry, deliveries, place, self.desk.clone(), permit));
        }
        Some(slice)
    }

    /// Waits until a slice has ended, for ever when there is none.
    pub(crate) async fn tidied(&mut self) {
        match self.slices.join_next().await {
            Some(ended) => note(&self.desk, ended),
            None => std::future::pending().await,
        }
    }

    /// Waits after a failure, longer each time; a group that is gone is made again at once.
    pub(crate) async fn rest(&mut self, error: &Error, stop: &CancellationToken) {
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
                () = self.tidied() => {}
            }
        }
    }

    pub(crate) fn recovered(&mut self) {
        if std::mem::take(&mut self.failures) > 1 {
            tracing::info!(topic = self.desk.topic.name(), "reading again");
        }
    }

    /// Waits until every slice has ended and every delivery is gone, wherever it was moved to.
    pub(crate) async fn clear(&mut self) {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use redis::Value;
    use tokio::sync::mpsc;

    use super::*;
    use crate::metrics::Metrics;
    use crate::topic::{Lane, Topic};

    fn arrival(lane: Lane) -> Arrival {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let id = uuid::Uuid::now_v7().to_string();
        let fields = ["id", &id, "kind", "질문", "sent_at", "1"].map(text).to_vec();
        Arrival { place: (lane, "1-0".parse().unwrap()), fields, deliveries: 1 }
    }

    #[tokio::test]
    async fn one_more_than_there_are_places_waits_for_one() {
        let topic = Topic::new("things", "doer");
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap().of(topic);
        let (settled, mut settling) = mpsc::unbounded_channel();
        let lease = Duration::from_secs(1);
        let desk = Desk { topic, lease, max_deliveries: 1, ledger: Arc::default(), settled, metrics };
        let floor = Floor::new(Arc::new(desk), ConsumerOptions { concurrency: 1, ..ConsumerOptions::default() });
        let mut permits = floor.room().await.unwrap();
        assert_eq!(permits.num_permits(), 1);
        let mut accepted = floor.accept(Lane::BOTH.map(arrival).into());
        assert!(floor.accept(Lane::BOTH.map(arrival).into()).is_empty(), "they are in hand already");
        let first = floor.slice(&mut accepted, &mut permits).await.unwrap();
        assert_eq!(first.iter().map(Delivery::lane).collect::<Vec<_>>(), [Lane::Express]);
        {
            let second = floor.slice(&mut accepted, &mut permits);
            tokio::pin!(second);
            assert!(futures_util::poll!(&mut second).is_pending());
            first.into_iter().for_each(Delivery::ack);
            assert_eq!(second.await.unwrap().first().map(Delivery::lane), Some(Lane::Normal));
        }
        assert!(floor.slice(&mut accepted, &mut permits).await.is_none());
        assert!(matches!(settling.try_recv(), Ok(Settled::Acked((Lane::Express, _)))));
        assert!(matches!(settling.try_recv(), Ok(Settled::Buried(_, epitaph)) if epitaph.cause.contains("dropped")));
    }
}
