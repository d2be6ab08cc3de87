//! Refuse: reads what the entries name, fails the asks that still wait, and tells the orchestrator and the feed.
//! Refuses to touch a task that is no ask or has moved on.

use crate::{AGAIN, Metrics, SETTLED};
use boot::trace::{self, Traceparent};
use bus::{Bus, Delivery, EVENTS, Entry, Lane, Topic};
use domain::task::{Cause, Failure, Kind, State};
use prometheus::IntCounter;
use std::collections::{BTreeMap, HashSet};
use store::{End, EventRow, Finished, Outcome, Store};
use tokio_util::sync::CancellationToken;
use tracing::Span;
use uuid::Uuid;

/// What the master is told.
const REASON: &str = "Batch submission is not served by this version; order again with pace now or flex.";

/// What a slice is refused with.
#[derive(Clone, Debug)]
pub(crate) struct Refuser {
    pub(crate) store: Store,
    pub(crate) bus: Bus,
    pub(crate) metrics: Metrics,
    pub(crate) stop: CancellationToken,
}

/// A delivery, the span of its handling, and what is passed on from there.
struct Hop {
    delivery: Delivery,
    /// Held for its end alone, which is when the delivery is acknowledged.
    _span: Span,
    traceparent: Traceparent,
}

impl Hop {
    fn new(delivery: Delivery) -> Self {
        let span = tracing::info_span!("refuse", task = %delivery.entry.id);
        let traceparent = trace::follow(&span, delivery.entry.traceparent.as_deref());
        Self { delivery, _span: span, traceparent }
    }

    /// Names the task once more, on this trace.
    fn entry(&self, kind: &str) -> Entry {
        Entry::new(self.delivery.entry.id, kind, Some(self.traceparent.to_string()))
    }
}

impl Refuser {
    /// Handles one slice. A stop while Postgres is away lets the deliveries go: they are delivered again.
    pub(crate) async fn refuse(self, slice: Vec<Delivery>) {
        let hops: Vec<Hop> = slice.into_iter().map(Hop::new).collect();
        let ids: Vec<Uuid> = hops.iter().map(|hop| hop.delivery.entry.id).collect();
        let finished = loop {
            match self.fail_waiting(&ids).await {
                Ok(finished) => break finished,
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, "Postgres cannot take the refusals; it is asked again");
                    tokio::select! {
                        () = tokio::time::sleep(AGAIN) => {}
                        () = self.stop.cancelled() => return,
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "asks of pace batch could not be refused");
                    hops.into_iter().for_each(|hop| hop.delivery.fail("Postgres refused the statement"));
                    return;
                }
            }
        };
        self.tell(&hops, &finished).await;
        hops.into_iter().for_each(|hop| hop.delivery.ack());
    }

    /// Fails those of the tasks that are asks and still wait, in one statement; returns those that moved.
    async fn fail_waiting(&self, ids: &[Uuid]) -> Result<Vec<Finished>, store::Error> {
        let rows = self.store.names(ids).await?;
        let outcomes: Vec<Outcome> = rows.iter().filter(|row| waits(row)).map(refusal).collect();
        self.store.finish(&outcomes).await
    }

    /// Announces what moved. What does not get through is found by the orchestrator's sweep.
    async fn tell(&self, hops: &[Hop], finished: &[Finished]) {
        let moved: HashSet<Uuid> = finished.iter().map(|it| it.id).collect();
        let told: BTreeMap<Uuid, &Hop> = hops
            .iter()
            .filter(|hop| moved.contains(&hop.delivery.entry.id))
            .map(|hop| (hop.delivery.entry.id, hop))
            .collect();
        count(&self.metrics.refused, told.len());
        count(&self.metrics.passed_over, hops.len().saturating_sub(told.len()));
        if told.is_empty() {
            return;
        }
        tracing::info!(tasks = told.len(), "refused asks of pace batch");
        let settled: Vec<(Topic, Lane, Entry)> =
            told.values().map(|hop| (SETTLED, hop.delivery.lane(), hop.entry(Kind::Ask.as_str()))).collect();
        if let Err(error) = self.bus.announce(&settled).await {
            tracing::warn!(%error, "refusals could not be announced; the sweep will");
        }
        let word = format!("task.{}", State::Failed);
        let events: Vec<Entry> = told.values().map(|hop| hop.entry(&word)).collect();
        if let Err(error) = self.bus.publish(&EVENTS, &events).await {
            tracing::warn!(%error, "refusals are missing from the events");
        }
    }
}

fn waits(row: &EventRow) -> bool {
    row.kind == Kind::Ask && row.state == State::Queued
}

fn refusal(row: &EventRow) -> Outcome {
    Outcome {
        id: row.id,
        root_id: row.root_id,
        attempt: None,
        end: End::Failed(Failure::new(Cause::Unsupported, REASON)),
        model: None,
        emulated: false,
        charge: None,
    }
}

fn count(counter: &IntCounter, tasks: usize) {
    counter.inc_by(u64::try_from(tasks).unwrap_or(u64::MAX));
}
