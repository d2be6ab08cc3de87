//! Tells the other services what was committed, a pipeline for whatever gathered since the last one.
//! Refuses to be waited for: the row is the truth, and the sweep finds what was not announced.

use crate::metrics::Metrics;
use bus::{Bus, EVENTS, Entry, Lane, Topic};
use domain::{
    pace::Pace,
    task::{Priority, State},
};
use std::time::{Duration, Instant};
use store::Name;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Orders to be divided by their playbook.
pub(crate) const PLAN: Topic = Topic::new("tasks.plan", "orchestrator");
/// Asks of every pace but batch.
pub(crate) const ASK: Topic = Topic::new("tasks.ask", "orchestrator");
/// Asks of pace batch, and what only wakes the batch-poller.
pub(crate) const BATCH: Topic = Topic::new("tasks.batch", "batch-poller");
/// Tasks that ended under an order that goes on.
pub(crate) const SETTLED: Topic = Topic::new("tasks.settled", "orchestrator");

/// How many announcements may wait for Redis before they are left to the sweep.
const QUEUE: usize = 8192;
/// The most announcements in one pipeline.
const SLICE: usize = 512;

/// When the last pipeline went out less than this ago, others are about to come: the next one waits as long, so
/// that it carries them all. One order at a time is never kept waiting.
const GATHER: Duration = Duration::from_millis(1);

/// Something to be told.
#[derive(Debug)]
enum Word {
    Task(Topic, Lane, Entry),
    Event(Entry),
}

/// Where committed facts are handed in.
#[derive(Debug, Clone)]
pub(crate) struct Announcer {
    queue: mpsc::Sender<Word>,
    metrics: Metrics,
}

/// What hands the words on to Redis.
#[derive(Debug)]
pub(crate) struct Courier {
    queue: mpsc::Receiver<Word>,
    bus: Bus,
    metrics: Metrics,
}

/// Makes both ends.
pub(crate) fn announcer(bus: Bus, metrics: Metrics) -> (Announcer, Courier) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Announcer { queue: sender, metrics: metrics.clone() }, Courier { queue: receiver, bus, metrics })
}

impl Announcer {
    /// Puts a task before those who perform it.
    pub(crate) fn task(&self, topic: Topic, priority: Priority, id: Uuid, kind: &str, traceparent: Option<&str>) {
        let lane = if priority >= Priority::High { Lane::Express } else { Lane::Normal };
        self.put(Word::Task(topic, lane, Entry::new(id, kind, traceparent.map(str::to_owned))));
    }

    /// Tells those who watch that a task has come to a state.
    pub(crate) fn event(&self, id: Uuid, state: State, traceparent: Option<&str>) {
        self.put(Word::Event(Entry::new(id, format!("task.{state}"), traceparent.map(str::to_owned))));
    }

    /// Tells those who watch that an agent said how far it is.
    pub(crate) fn progress(&self, id: Uuid, traceparent: Option<&str>) {
        self.put(Word::Event(Entry::new(id, "task.progress", traceparent.map(str::to_owned))));
    }

    /// Puts asks that were queued again before those who perform them, and tells those who watch.
    pub(crate) fn asks(&self, names: &[Name]) {
        for name in names {
            let topic = if name.pace == Pace::Batch { BATCH } else { ASK };
            self.task(topic, name.priority, name.id, name.kind.as_str(), name.traceparent.as_deref());
            self.event(name.id, State::Queued, name.traceparent.as_deref());
        }
    }

    /// Wakes the batch-poller: it flushes what waits (no id), or looks at a batch at once.
    pub(crate) fn wake_poller(&self, kind: &'static str, id: Uuid, traceparent: Option<&str>) {
        self.put(Word::Task(BATCH, Lane::Express, Entry::new(id, kind, traceparent.map(str::to_owned))));
    }

    /// Tells those who watch that a provider is back, or away.
    pub(crate) fn blackout(&self, kind: &'static str, traceparent: Option<&str>) {
        self.put(Word::Event(Entry::new(Uuid::nil(), kind, traceparent.map(str::to_owned))));
    }

    fn put(&self, word: Word) {
        if self.queue.try_send(word).is_err() {
            self.metrics.unannounced.inc();
        }
    }
}

impl Courier {
    /// Hands words on until `last` is cancelled, and then whatever is still there.
    pub(crate) async fn run(mut self, last: CancellationToken) {
        let mut words = Vec::with_capacity(SLICE);
        let mut sent = None::<Instant>;
        loop {
            tokio::select! {
                biased;
                count = self.queue.recv_many(&mut words, SLICE) => {
                    if count == 0 {
                        return;
                    }
                    if sent.is_some_and(|sent| sent.elapsed() < GATHER) && words.len() < SLICE {
                        tokio::time::sleep(GATHER).await;
                        while words.len() < SLICE && let Ok(word) = self.queue.try_recv() {
                            words.push(word);
                        }
                    }
                    self.hand_on(&mut words).await;
                    sent = Some(Instant::now());
                }
                // What was put in before is received first; what comes after is refused.
                () = last.cancelled(), if !self.queue.is_closed() => self.queue.close(),
            }
        }
    }

    async fn hand_on(&self, words: &mut Vec<Word>) {
        let count = words.len();
        let (mut tasks, mut events) = (Vec::new(), Vec::new());
        for word in words.drain(..) {
            match word {
                Word::Task(topic, lane, entry) => tasks.push((topic, lane, entry)),
                Word::Event(entry) => events.push(entry),
            }
        }
        let told = tokio::try_join!(self.bus.announce(&tasks), self.bus.publish(&EVENTS, &events));
        if let Err(error) = told {
            self.metrics.unannounced.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
            tracing::warn!(%error, count, "not announced; the sweep will");
        }
    }
}
