//! Follows a feed: everyone sees every entry, may leave, and may come back where they were. Refuses
//! to hide a hole: who missed something that is no longer there is told.

use std::convert::Infallible;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use futures_util::Stream;
use tokio::sync::broadcast;
use tokio::task::JoinSet;

use crate::Bus;
use crate::entry::{Entry, EventId};
use crate::error::Error;
use crate::link::{Line, Link, PATIENCE, pause};
use crate::reply::{self, Found};
use crate::topic::Feed;

/// How long a read blocks when nothing happens.
const BLOCK: Duration = Duration::from_secs(30);
const BLOCK_MS: u32 = 30_000;
/// The most entries that are read at once.
const SLICE: usize = 256;
/// How many slices a slow follower may lag behind before it reads for itself again.
const BACKLOG: usize = 64;
/// The most entries that one call returns: a larger answer would hold up others on its connection.
const MOST: usize = 1_000;
const DOING: &str = "reading a feed";

type Slice = Vec<(EventId, Entry)>;

/// A part of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The entry that was asked to be continued from is no longer there: there may be a hole.
    pub gap: bool,
    /// What comes after it, or the oldest that is left.
    pub events: Vec<(EventId, Entry)>,
}

/// What a follower sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The next entries, at least one.
    Events(Vec<(EventId, Entry)>),
    /// Entries were missed that are no longer there. What is seen next is from now on: whoever keeps
    /// a picture has to load it anew.
    Gap,
}

/// One read for all followers of a feed.
#[derive(Debug)]
pub(crate) struct Hub {
    slices: broadcast::Sender<Arc<Slice>>,
    /// Ends with the hub.
    _reading: JoinSet<()>,
}

/// Follows a feed.
#[derive(Debug)]
pub struct Tail {
    bus: Bus,
    feed: Feed,
    last: EventId,
    /// Kept so that the hub's one read lives as long as somebody follows.
    _hub: Arc<Hub>,
    live: broadcast::Receiver<Arc<Slice>>,
    catching_up: bool,
    failures: u32,
}

impl Bus {
    /// Reads what comes after an entry, at most `limit` and never more than 1,000. [`EventId::START`] is before every entry
    /// and has no gap after it.
    ///
    /// # Errors
    /// When Redis cannot be reached or refuses.
    pub async fn range(&self, feed: &Feed, after: EventId, limit: usize) -> Result<Range, Error> {
        let (gap, found) = self.found(*feed, after, limit).await?;
        Ok(Range { gap, events: decoded(found) })
    }

    async fn found(&self, feed: Feed, after: EventId, limit: usize) -> Result<(bool, Vec<Found>), Error> {
        let key = self.feed_key(feed);
        let mut commands = redis::pipe();
        commands.cmd("XRANGE").arg(&key).arg(format!("({after}")).arg("+").arg("COUNT").arg(limit.min(MOST));
        // Asked second: what still is there now was there when the first command ran.
        commands.cmd("XRANGE").arg(&key).arg(after.to_string()).arg(after.to_string());
        let mut answers = reply::whole(DOING, self.link().ask(DOING, &commands).await?)?.into_iter();
        let mut next = || answers.next().and_then(reply::entries).ok_or(Error::Unreadable { doing: DOING });
        let (found, asked) = (next()?, next()?);
        Ok((after != EventId::START && asked.is_empty(), found))
    }

    /// Follows a feed from an entry on, or from now on.
    ///
    /// # Errors
    /// When Redis cannot be reached or refuses; later failures are waited out.
    pub async fn tail(&self, feed: &Feed, from: Option<EventId>) -> Result<Tail, Error> {
        let now = self.newest(*feed).await?;
        let hub = self.hub(*feed, now);
        let live = hub.slices.subscribe();
        let last = from.unwrap_or(now);
        Ok(Tail { bus: self.clone(), feed: *feed, last, _hub: hub, live, catching_up: true, failures: 0 })
    }

    async fn newest(&self, feed: Feed) -> Result<EventId, Error> {
        let mut commands = redis::pipe();
        commands.cmd("XREVRANGE").arg(self.feed_key(feed)).arg("+").arg("-").arg("COUNT").arg(1);
        let found = reply::entries(reply::single(DOING, self.link().ask(DOING, &commands).await?)?);
        let newest = found.ok_or(Error::Unreadable { doing: DOING })?.into_iter().next();
        Ok(newest.map_or(EventId::START, |found| found.id))
    }

    /// The feed's hub, reading from `now` on unless it already reads.
    fn hub(&self, feed: Feed, now: EventId) -> Arc<Hub> {
        let mut hubs = self.inner.hubs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hub) = hubs.get(feed.name()).and_then(Weak::upgrade) {
            return hub;
        }
        let slices = broadcast::Sender::new(BACKLOG);
        let mut reading = JoinSet::new();
        let read = Reading { link: self.link().clone(), key: self.feed_key(feed), last: now, slices: slices.clone() };
        reading.spawn_on(read.run(), self.link().runtime());
        let hub = Arc::new(Hub { slices, _reading: reading });
        hubs.insert(feed.name(), Arc::downgrade(&hub));
        hub
    }
}

impl Tail {
    /// Waits for what comes next; also through an outage of Redis.
    pub async fn next(&mut self) -> Seen {
        loop {
            if self.catching_up {
                match self.bus.found(self.feed, self.last, SLICE).await {
                    Ok((true, _)) => match self.bus.newest(self.feed).await {
                        Ok(now) => {
                            self.last = now;
                            self.failures = 0;
                            return Seen::Gap;
                        }
                        Err(error) => self.rest(&error).await,
                    },
                    Ok((false, found)) => {
                        self.failures = 0;
                        self.catching_up = found.len() >= SLICE;
                        self.last = found.last().map_or(self.last, |found| found.id);
                        let events = decoded(found);
                        if !events.is_empty() {
                            return Seen::Events(events);
                        }
                    }
                    Err(error) => self.rest(&error).await,
                }
                continue;
            }
            match self.live.recv().await {
                // An empty slice says that the one read was interrupted: look for oneself.
                Ok(slice) if slice.is_empty() => self.catching_up = true,
                Ok(slice) => {
                    let new: Slice = slice.iter().filter(|(id, _)| *id > self.last).cloned().collect();
                    if let Some((last, _)) = new.last() {
                        self.last = *last;
                        return Seen::Events(new);
                    }
                }
                Err(_) => self.catching_up = true,
            }
        }
    }

    /// The same as a stream that never ends.
    pub fn into_stream(self) -> impl Stream<Item = Seen> {
        futures_util::stream::unfold(self, async |mut tail| {
            let seen = tail.next().await;
            Some((seen, tail))
        })
    }

    async fn rest(&mut self, error: &Error) {
        self.failures = self.failures.saturating_add(1);
        if self.failures == 1 {
            tracing::warn!(feed = self.feed.name(), error = error.chain(), "a follower waits until Redis is back");
        }
        tokio::time::sleep(pause(self.failures)).await;
    }
}

/// The task that reads for all followers of one feed.
struct Reading {
    link: Arc<Link>,
    key: String,
    last: EventId,
    slices: broadcast::Sender<Arc<Slice>>,
}

impl Reading {
    /// Runs until it is aborted.
    async fn run(mut self) {
        let mut failures = 0_u32;
        loop {
            let Err(error) = self.follow(&mut failures).await;
            if error.is_unreachable() {
                self.link.lost();
            }
            failures = failures.saturating_add(1);
            if failures == 1 {
                tracing::warn!(key = self.key, error = error.chain(), "a feed is not read until Redis is back");
            }
            tokio::time::sleep(pause(failures)).await;
        }
    }

    async fn follow(&mut self, failures: &mut u32) -> Result<Infallible, Error> {
        let line = self.link.line(DOING, "chavion:feed").await?;
        if *failures > 0 {
            self.send(Slice::new());
        }
        loop {
            let found = self.read(&line).await?;
            *failures = 0;
            if let Some(last) = found.last() {
                self.last = last.id;
                self.send(decoded(found));
            }
        }
    }

    async fn read(&self, line: &Line) -> Result<Vec<Found>, Error> {
        let mut commands = redis::pipe();
        commands.cmd("XREAD").arg("COUNT").arg(SLICE).arg("BLOCK").arg(BLOCK_MS);
        commands.arg("STREAMS").arg(&self.key).arg(self.last.to_string());
        let answer = reply::single(DOING, line.ask(DOING, &commands, BLOCK + PATIENCE).await?)?;
        let streams = reply::streams(answer).ok_or(Error::Unreadable { doing: DOING })?;
        Ok(streams.into_iter().flat_map(|(_, found)| found).collect())
    }

    /// Nobody listening is no failure: the last follower has just left.
    fn send(&self, slice: Slice) {
        drop(self.slices.send(Arc::new(slice)));
    }
}

/// The entries that can be read. Others were written by a stranger, and nobody could use them.
fn decoded(found: Vec<Found>) -> Slice {
    found.into_iter().filter_map(|found| Some((found.id, Entry::decode(&found.fields?).ok()?))).collect()
}
