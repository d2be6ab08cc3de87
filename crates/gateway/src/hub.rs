//! The one follower of the events feed in this process: it looks each slice of names up in one query and
//! hands the facts to every client that listens. Refuses to do anything while nobody listens.

use crate::{
    error::{Code, Problem},
    metrics::Metrics,
    shown::{BlackoutShown, CostShown, saved},
};
use bus::{Bus, EVENTS, Entry, EventId, Seen, Tail};
use domain::task::State;
use serde_json::{Value, json};
use std::{collections::HashMap, sync::Arc, time::Duration};
use store::{BatchView, EventRow, Store};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How many events a client may be behind before it is dropped.
pub(crate) const RING: usize = 1024;
/// How long the follower goes on after its last client has left.
const GRACE: Duration = Duration::from_secs(10);
/// How long a new client waits for the follower to listen.
const START: Duration = Duration::from_secs(5);
/// How long the follower waits after Redis or Postgres failed.
const PAUSE: Duration = Duration::from_millis(500);

/// Something that happened to a task or a batch, with the facts that its row had when it was looked up.
#[derive(Debug)]
pub(crate) struct Event {
    /// Its place in the feed.
    pub(crate) id: EventId,
    /// The order it belongs to; none when it concerns many.
    pub(crate) root_id: Uuid,
    /// The task it happened to; none when it was no task.
    pub(crate) task_id: Uuid,
    /// Whether that task is an order.
    pub(crate) is_root: bool,
    /// Whether this stands for events that were lost.
    pub(crate) is_reset: bool,
    /// One word that says what happened.
    pub(crate) kind: String,
    /// The facts, as JSON.
    pub(crate) data: String,
}

impl Event {
    fn reset() -> Self {
        Self {
            id: EventId::START,
            root_id: Uuid::nil(),
            task_id: Uuid::nil(),
            is_root: false,
            is_reset: true,
            kind: String::new(),
            data: String::new(),
        }
    }

    fn of_many(id: EventId, kind: &str, data: &Value) -> Self {
        Self { id, is_reset: false, kind: kind.to_owned(), data: data.to_string(), ..Self::reset() }
    }

    fn of_batch(id: EventId, kind: &str, batch: &BatchView) -> Self {
        let ended = batch.tally.counts.iter().filter(|(state, _)| state.has_ended());
        let done = ended.map(|(_, count)| *count).sum::<i64>().max(batch.done_items.unwrap_or_default().into());
        let data = json!({
            "batch": batch.id,
            "provider": batch.provider,
            "model": batch.model,
            "state": batch.state,
            "items": batch.items,
            "done": done,
            "cost": CostShown::from(batch.tally.nanos),
            "saved": saved(batch.tally.nanos, batch.tally.list_nanos),
            "note": batch.note,
            "at_ms": id.ms(),
        });
        Self::of_many(id, kind, &data)
    }

    fn of(id: EventId, entry: &Entry, row: &EventRow) -> Self {
        // The word goes into lines of a protocol: what is none of ours is not repeated.
        let kind = if is_plain(&entry.kind) { entry.kind.clone() } else { "task.changed".to_owned() };
        let held = row.state == State::Held;
        let data = json!({
            "task": row.id,
            "root": row.root_id,
            "parent": row.parent_id,
            "kind": row.kind,
            "state": row.state,
            "step": row.step,
            "item": row.item,
            "agent": row.agent,
            "title": row.title,
            "reason": row.reason,
            "pace": row.pace,
            "held_for": row.held_for.filter(|_| held),
            "held": row.held_nanos.filter(|nanos| held && nanos.0 > 0).map(CostShown::from),
            "cost": CostShown::from(row.nanos),
            "saved": saved(row.nanos, row.list_nanos),
            "emulated": row.emulated,
            "at_ms": id.ms(),
        });
        Self {
            id,
            root_id: row.root_id,
            task_id: row.id,
            is_root: row.parent_id.is_none(),
            is_reset: false,
            kind,
            data: data.to_string(),
        }
    }
}

/// A part of what a client missed.
#[derive(Debug)]
pub(crate) struct Missed {
    /// Whether something before it is no longer there.
    pub(crate) gap: bool,
    /// The events whose rows are known.
    pub(crate) events: Vec<Arc<Event>>,
    /// The last entry that was read, known or not; `None` when there was none.
    pub(crate) last: Option<EventId>,
    /// How many entries were read.
    pub(crate) count: usize,
}

/// Where clients subscribe.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    store: Store,
    bus: Bus,
    metrics: Metrics,
    events: broadcast::Sender<Arc<Event>>,
    clients: Arc<watch::Sender<usize>>,
    live: Arc<watch::Sender<bool>>,
    most: usize,
}

impl Hub {
    /// Makes a hub for at most so many clients; [`Hub::run`] makes it work.
    pub(crate) fn new(store: Store, bus: Bus, metrics: Metrics, most: usize) -> Self {
        Self {
            store,
            bus,
            metrics,
            events: broadcast::Sender::new(RING),
            clients: Arc::new(watch::Sender::new(0)),
            live: Arc::new(watch::Sender::new(false)),
            most,
        }
    }

    /// Enters a client until its subscription is dropped.
    ///
    /// # Errors
    /// 429 when there are too many.
    pub(crate) fn subscribe(&self, transport: &'static str) -> Result<Subscription, Problem> {
        let receiver = self.events.subscribe();
        let entered = self.clients.send_if_modified(|clients| {
            let room = *clients < self.most;
            *clients = clients.saturating_add(usize::from(room));
            room
        });
        if !entered {
            let detail = format!("{} streams and long polls are open, which is the most.", self.most);
            return Err(Problem::new(Code::TooManyClients, detail).with_retry_after(5));
        }
        self.metrics.clients.with_label_values(&[transport]).inc();
        Ok(Subscription { hub: self.clone(), transport, receiver })
    }

    /// Returns how many clients there are.
    pub(crate) fn clients(&self) -> usize {
        *self.clients.borrow()
    }

    /// Reads what comes after an event.
    ///
    /// # Errors
    /// While Redis or Postgres is away.
    pub(crate) async fn missed(&self, after: EventId, limit: usize) -> Result<Missed, Problem> {
        let range = self.bus.range(&EVENTS, after, limit).await?;
        let last = range.events.last().map(|(id, _)| *id);
        let count = range.events.len();
        let events = self.looked_up(&range.events).await?;
        Ok(Missed { gap: range.gap, events, last, count })
    }

    /// Follows the feed whenever somebody listens, until the stop.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut clients = self.clients.subscribe();
        let following = async {
            loop {
                // The sender lives in `self`, so waiting cannot fail.
                let _ = clients.wait_for(|clients| *clients > 0).await;
                match self.bus.tail(&EVENTS, None).await {
                    Ok(tail) => self.follow(tail).await,
                    Err(error) => {
                        tracing::warn!(%error, "events cannot be followed");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = following => {}
            () = stop.cancelled() => {}
        }
    }

    /// Hands events on until nobody has listened for a while.
    async fn follow(&self, mut tail: Tail) {
        self.live.send_replace(true);
        loop {
            let seen = tokio::select! {
                seen = tail.next() => seen,
                () = self.nobody_for_a_while() => {
                    self.live.send_replace(false);
                    // Who came in just before that saw it live and counts on this follower.
                    if *self.clients.borrow() == 0 {
                        return;
                    }
                    self.live.send_replace(true);
                    continue;
                }
            };
            match seen {
                Seen::Gap => self.hand_on(Event::reset().into()),
                Seen::Events(entries) => {
                    for event in self.looked_up_at_last(&entries).await {
                        self.hand_on(event);
                    }
                }
            }
        }
    }

    async fn nobody_for_a_while(&self) {
        let mut clients = self.clients.subscribe();
        loop {
            let _ = clients.wait_for(|clients| *clients == 0).await;
            if tokio::time::timeout(GRACE, clients.wait_for(|clients| *clients > 0)).await.is_err() {
                return;
            }
        }
    }

    /// Nobody listening just now is no failure.
    fn hand_on(&self, event: Arc<Event>) {
        drop(self.events.send(event));
    }

    /// Looks a slice up, however long Postgres is away: the feed keeps what comes meanwhile.
    async fn looked_up_at_last(&self, entries: &[(EventId, Entry)]) -> Vec<Arc<Event>> {
        let mut complained = false;
        loop {
            match self.looked_up(entries).await {
                Ok(events) => return events,
                Err(error) => {
                    if !std::mem::replace(&mut complained, true) {
                        tracing::warn!(%error, "events cannot be looked up");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn looked_up(&self, entries: &[(EventId, Entry)]) -> Result<Vec<Arc<Event>>, store::Error> {
        let (batches, tasks): (Vec<_>, Vec<_>) =
            entries.iter().filter(|(_, entry)| !entry.id.is_nil()).partition(|(_, entry)| is_of_batch(entry));
        let (tasks, batches) = (ids(&tasks), ids(&batches));
        let is_of_blackout = |entry: &Entry| entry.kind.starts_with("blackout.") && is_plain(&entry.kind);
        let dark = entries.iter().any(|(_, entry)| is_of_blackout(entry));
        let (tasks, batches, blackouts) =
            tokio::try_join!(self.store.names(&tasks), self.store.batch_views(&batches), async {
                if dark { self.store.blackouts().await } else { Ok(Vec::new()) }
            })?;
        let tasks: HashMap<Uuid, EventRow> = tasks.into_iter().map(|row| (row.id, row)).collect();
        let batches: HashMap<Uuid, BatchView> = batches.into_iter().map(|batch| (batch.id, batch)).collect();
        let blackouts: Vec<_> = blackouts.into_iter().map(BlackoutShown::from).collect();
        let known = entries.iter().filter_map(|(id, entry)| {
            let event = if is_of_batch(entry) {
                Event::of_batch(*id, &entry.kind, batches.get(&entry.id)?)
            } else if is_of_blackout(entry) {
                Event::of_many(*id, &entry.kind, &json!({ "blackouts": blackouts, "at_ms": id.ms() }))
            } else {
                Event::of(*id, entry, tasks.get(&entry.id)?)
            };
            Some(event.into())
        });
        Ok(known.collect())
    }
}

fn is_plain(kind: &str) -> bool {
    kind.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_' || letter == '.')
}

fn is_of_batch(entry: &Entry) -> bool {
    entry.kind.starts_with("batch.") && is_plain(&entry.kind)
}

fn ids(entries: &[&(EventId, Entry)]) -> Vec<Uuid> {
    let mut ids: Vec<Uuid> = entries.iter().map(|(_, entry)| entry.id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// A client's place in the hub, given up when dropped.
#[derive(Debug)]
pub(crate) struct Subscription {
    hub: Hub,
    transport: &'static str,
    /// What happens from now on.
    pub(crate) receiver: broadcast::Receiver<Arc<Event>>,
}

impl Subscription {
    /// Waits until nothing that happens is missed any more.
    ///
    /// # Errors
    /// 503 while Redis is away.
    pub(crate) async fn live(&self) -> Result<(), Problem> {
        let mut live = self.hub.live.subscribe();
        let heard = tokio::time::timeout(START, live.wait_for(|live| *live)).await;
        match heard {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Problem::unavailable(anyhow::anyhow!("the events feed does not answer"))),
        }
    }

    /// Counts a client that was dropped because it read too slowly.
    pub(crate) fn dropped(&self) {
        self.hub.metrics.dropped.with_label_values(&[self.transport]).inc();
        tracing::info!(transport = self.transport, "a client that reads too slowly is dropped");
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.clients.send_modify(|clients| *clients = clients.saturating_sub(1));
        self.hub.metrics.clients.with_label_values(&[self.transport]).dec();
    }
}
