//! Masters who give orders and wait for each to be completed, all on one stream of events. Refuses to take more of
//! the machine than it must: one thread, a few kept connections, no JSON trees.

use crate::{
    events::{Events, Told},
    figures::Times,
    http::{Connection, request},
    usage::{Meter, Snapshot},
};
use anyhow::{Context as _, bail, ensure};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    str::from_utf8,
    time::{Duration, Instant},
};
use tokio::sync::{Semaphore, oneshot};
use uuid::Uuid;

/// The most connections on which orders are given.
const CONNECTIONS: usize = 32;
/// How long an order may take before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who waits for an order's end, or its end that nobody waits for yet.
#[derive(Debug)]
enum Waiting {
    Asked(oneshot::Sender<(Instant, bool)>),
    Told(Instant, bool),
}

/// The masters' side of Chavion.
#[derive(Debug)]
pub(crate) struct Masters {
    address: SocketAddr,
    bearer: String,
    events: RefCell<Option<Events>>,
    waiting: RefCell<HashMap<Uuid, Waiting>>,
    connections: RefCell<Vec<Connection>>,
    places: Semaphore,
    given: Cell<usize>,
    failed: Cell<usize>,
    lost: Cell<usize>,
    reopened: Cell<usize>,
}

/// What one closed loop brought.
#[derive(Debug)]
pub(crate) struct Round {
    /// Orders that ended within the window, by what each took.
    pub(crate) times: Times,
    /// From giving an order to its answer, of the same orders.
    pub(crate) accepted: Times,
    /// When the window began.
    pub(crate) before: Snapshot,
    /// When it ended.
    pub(crate) after: Snapshot,
    /// What was resident then, all and anonymous, in MB.
    pub(crate) memory: BTreeMap<&'static str, (f64, f64)>,
}

impl Masters {
    /// Connects to the events.
    pub(crate) async fn arrive(address: SocketAddr, key: &str) -> anyhow::Result<Self> {
        let bearer = format!("Bearer {key}");
        let events = Events::open(address, &bearer, None).await?;
        Ok(Self {
            address,
            bearer,
            events: RefCell::new(Some(events)),
            waiting: RefCell::default(),
            connections: RefCell::default(),
            places: Semaphore::new(CONNECTIONS),
            given: Cell::new(0),
            failed: Cell::new(0),
            lost: Cell::new(0),
            reopened: Cell::new(0),
        })
    }

    /// Returns how many orders were given so far.
    pub(crate) fn given(&self) -> usize {
        self.given.get()
    }

    /// Returns how many orders did not end well, how many did not end in time, and how often the stream was reopened.
    pub(crate) fn troubles(&self) -> (usize, usize, usize) {
        (self.failed.get(), self.lost.get(), self.reopened.get())
    }

    /// Gives orders one after the other; returns what each took, and what its acceptance took.
    pub(crate) async fn one_by_one(&self, count: usize) -> anyhow::Result<(Times, Times)> {
        let giving = async {
            let (mut times, mut accepted) = (Times::default(), Times::default());
            for _ in 0..count {
                if let Some((_, took, taken)) = self.order().await? {
                    times.push(took);
                    accepted.push(taken);
                }
            }
            anyhow::Ok((times, accepted))
        };
        self.while_listening(giving).await
    }

    /// Keeps so many orders in flight, and measures for a while after a run-up.
    pub(crate) async fn closed_loop(
        &self,
        in_flight: usize,
        run_up: Duration,
        window: Duration,
        meter: &Meter,
    ) -> anyhow::Result<Round> {
        let over = Cell::new(false);
        let masters: FuturesUnordered<_> = (0..in_flight)
            .map(|_| async {
                let mut ended = Vec::new();
                while !over.get() {
                    ended.extend(self.order().await?);
                }
                anyhow::Ok(ended)
            })
            .collect();
        let masters = masters.collect::<Vec<_>>();
        let watch = async {
            tokio::time::sleep(run_up).await;
            let before = meter.snapshot();
            tokio::time::sleep(window).await;
            let after = meter.snapshot();
            over.set(true);
            (before, after, meter.memory())
        };
        let (ended, (before, after, memory)) = self.while_listening(async { Ok(tokio::join!(masters, watch)) }).await?;
        let (before, after) = (before?, after?);
        let (mut times, mut accepted) = (Times::default(), Times::default());
        for master in ended {
            for (_, took, taken) in master?.into_iter().filter(|(at, ..)| (before.at..after.at).contains(at)) {
                times.push(took);
                accepted.push(taken);
            }
        }
        ensure!(times.count() > 0, "no order ended within {window:?}");
        Ok(Round { times, accepted, before, after, memory })
    }

    /// Does something while ends of orders are received.
    async fn while_listening<T>(&self, doing: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let mut events = self.events.take().context("nobody else listens")?;
        let outcome = tokio::select! {
            done = doing => done,
            broken = self.listen(&mut events) => Err(broken),
        };
        self.events.replace(Some(events));
        outcome
    }

    /// Receives ends of orders until the stream cannot be had any more.
    async fn listen(&self, events: &mut Events) -> anyhow::Error {
        let mut told = Vec::new();
        loop {
            let read = events.read(&mut told).await;
            let now = Instant::now();
            let mut broken = read.err();
            for one in told.drain(..) {
                match one {
                    Told::Ended(task, well) => self.ended(task, now, well),
                    Told::Broken(reason) => broken = Some(anyhow::anyhow!(reason)),
                }
            }
            if let Some(reason) = broken {
                self.reopened.set(self.reopened.get() + 1);
                match Events::open(self.address, &self.bearer, events.last.take()).await {
                    Ok(again) => *events = again,
                    Err(error) => return error.context(reason),
                }
            }
        }
    }

    fn ended(&self, task: Uuid, at: Instant, well: bool) {
        let mut waiting = self.waiting.borrow_mut();
        match waiting.remove(&task) {
            Some(Waiting::Asked(asked)) => drop(asked.send((at, well))),
            Some(Waiting::Told(..)) => {}
            // The event may overtake the answer that tells the order's id.
            None => drop(waiting.insert(task, Waiting::Told(at, well))),
        }
    }

    /// Gives one order and waits for its end: when it ended, what it took, what its acceptance took. `None` when it
    /// did not end well or in time.
    async fn order(&self) -> anyhow::Result<Option<(Instant, Duration, Duration)>> {
        let number = self.given.replace(self.given.get() + 1);
        let body = format!(r#"{{"title":"주문 {number}: 애견호텔의 겨울 예약을 늘릴 방법","playbook":"chain"}}"#);
        let asked = request("/api/tasks", &[("authorization", &self.bearer)], Some(&body));
        let start = Instant::now();
        let id = self.give(&asked).await?;
        let taken = start.elapsed();
        let told = self.waiting.borrow_mut().remove(&id);
        let (at, well) = if let Some(Waiting::Told(at, well)) = told {
            (at, well)
        } else {
            let (sender, receiver) = oneshot::channel();
            self.waiting.borrow_mut().insert(id, Waiting::Asked(sender));
            match tokio::time::timeout(PATIENCE, receiver).await {
                Ok(told) => told.context("the listener ended")?,
                Err(_) => {
                    self.lost.set(self.lost.get() + 1);
                    return Ok(None);
                }
            }
        };
        if !well {
            self.failed.set(self.failed.get() + 1);
            return Ok(None);
        }
        Ok(Some((at, at.saturating_duration_since(start), taken)))
    }

    async fn give(&self, asked: &[u8]) -> anyhow::Result<Uuid> {
        let _place = self.places.acquire().await?;
        let kept = self.connections.borrow_mut().pop();
        let mut connection = match kept {
            Some(connection) => connection,
            None => Connection::open(self.address).await?,
        };
        let answer = connection.send(asked).await?;
        let text = from_utf8(answer.body).unwrap_or_default();
        if answer.status != 201 {
            bail!("an order was answered with {}: {text}", answer.status);
        }
        let id = text.split_once(r#""id":""#).and_then(|(_, rest)| rest.get(..36)).and_then(|id| id.parse().ok());
        let id = id.with_context(|| format!("the answer names no order: {text}"))?;
        self.connections.borrow_mut().push(connection);
        Ok(id)
    }
}
