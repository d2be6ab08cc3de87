//! Gets entries for one consumer: its own after a (re)start, those whose lease ran out, new ones.
//! Refuses to know what a handler is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::Value;
use tokio_util::sync::CancellationToken;

use crate::consumer::{BLOCK, PATROL, WAKE_PATIENCE, WAKE_REST};
use crate::error::Error;
use crate::ledger::{Ledger, Place};
use crate::link::{Line, PATIENCE};
use crate::topic::{Lane, Streams, Topic};
use crate::{Bus, EventId, reply};

const CONNECTING: &str = "connecting a consumer";
const GROUPING: &str = "making consumer groups";
const READING: &str = "reading entries";
const RECOVERING: &str = "reading entries delivered earlier";
const CLAIMING: &str = "claiming entries whose lease ran out";
const WAKING: &str = "waking a blocked read";

/// An entry that is now in this consumer's name.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) place: Place,
    pub(crate) fields: Vec<Value>,
    pub(crate) deliveries: u32,
}

/// The reading half of a consumer.
pub(crate) struct Reader {
    bus: Bus,
    topic: Topic,
    streams: Streams,
    ledger: Arc<Ledger>,
    slice: usize,
    lease: Duration,
    line: Option<Line>,
    /// The groups are there as far as known.
    grouped: bool,
    /// They were there once: not to find them now means that Redis was emptied.
    met: bool,
    /// Redis said that they are gone.
    missed: bool,
    /// Entries in this consumer's name may be in nobody's hands.
    recovering: bool,
    next_patrol: Instant,
    cursors: [(Lane, EventId); 2],
}

impl Reader {
    pub(crate) fn new(
        bus: Bus,
        topic: Topic,
        streams: Streams,
        ledger: Arc<Ledger>,
        slice: usize,
        lease: Duration,
    ) -> Self {
        Self {
            bus,
            topic,
            streams,
            ledger,
            slice,
            lease,
            line: None,
            grouped: false,
            met: false,
            missed: false,
            recovering: true,
            next_patrol: Instant::now(),
            cursors: Lane::BOTH.map(|lane| (lane, EventId::START)),
        }
    }

    /// Waits for entries, at most `free`; none after a while is an answer too. In a race of both
    /// lanes for the only free place there may be one more.
    pub(crate) async fn next(&mut self, free: usize, stop: &CancellationToken) -> Result<Vec<Arrival>, Error> {
        let line = match self.line.take() {
            Some(line) => line,
            None => self.open().await?,
        };
        let outcome = self.turn(&line, free, stop).await;
        match &outcome {
            Err(error) if error.is_unreachable() => self.bus.link().lost(),
            Err(error) => {
                if error.is_gone() {
                    (self.grouped, self.missed) = (false, true);
                }
                self.line = Some(line);
            }
            Ok(_) => self.line = Some(line),
        }
        outcome
    }

    async fn open(&mut self) -> Result<Line, Error> {
        let name =
            format!("chavion:{}:{}", self.topic, self.bus.replica()).replace(|c: char| !c.is_ascii_graphic(), "_");
        let line = self.bus.link().line(CONNECTING, &name).await?;
        (self.grouped, self.recovering) = (false, true);
        Ok(line)
    }

    async fn turn(&mut self, line: &Line, free: usize, stop: &CancellationToken) -> Result<Vec<Arrival>, Error> {
        if !self.grouped {
            self.make_groups(line).await?;
        }
        if self.recovering {
            let own = self.own(line, free).await?;
            if !own.is_empty() {
                return Ok(own);
            }
            self.recovering = false;
        }
        let now = Instant::now();
        if self.next_patrol <= now || self.ledger.next_failed().is_some_and(|due| due <= now) {
            let claimed = self.patrol(line, free).await?;
            if !claimed.is_empty() {
                return Ok(claimed);
            }
        }
        self.read(line, free, stop).await
    }

    /// Makes both streams and groups, reading from the first entry on, unless they are there.
    async fn make_groups(&mut self, line: &Line) -> Result<(), Error> {
        let mut commands = redis::pipe();
        for lane in Lane::BOTH {
            let key = self.streams.of(lane);
            commands.cmd("XGROUP").arg("CREATE").arg(key).arg(self.topic.group()).arg("0").arg("MKSTREAM");
        }
        let answers = line.ask(GROUPING, &commands, PATIENCE).await?;
        let mut made = false;
        for answer in &answers {
            match reply::refusal(GROUPING, answer) {
                Some(Error::Refused { code, .. }) if code == "BUSYGROUP" => {}
                Some(error) => return Err(error),
                None => made = true,
            }
        }
        if self.missed || (made && self.met) {
            tracing::warn!(
                topic = self.topic.name(),
                "the topic's streams were gone and are made again: Redis was emptied"
            );
            self.bus.count_emptied();
        }
        (self.grouped, self.met, self.missed) = (true, true, false);
        Ok(())
    }

    /// Takes up what is in this consumer's name and in nobody's hands: it was delivered to an
    /// earlier life of this replica, or its delivery was lost with a connection.
    async fn own(&self, line: &Line, free: usize) -> Result<Vec<Arrival>, Error> {
        let mut arrivals = Vec::new();
        for lane in Lane::BOTH {
            let room = free.saturating_sub(arrivals.len());
            if room == 0 {
                break;
            }
            let mut commands = redis::pipe();
            commands.cmd("XPENDING").arg(self.streams.of(lane)).arg(self.topic.group()).arg("-").arg("+");
            commands.arg(self.ledger.len() + room).arg(self.bus.replica());
            let answer = reply::single(RECOVERING, line.ask(RECOVERING, &commands, PATIENCE).await?)?;
            let mut pending = reply::pending(answer).ok_or(Error::Unreadable { doing: RECOVERING })?;
            pending.retain(|pending| !self.ledger.knows((lane, pending.id)));
            pending.truncate(room);
            if pending.is_empty() {
                continue;
            }
            let mut commands = redis::pipe();
            commands.cmd("XCLAIM").arg(self.streams.of(lane)).arg(self.topic.group()).arg(self.bus.replica()).arg(0);
            for pending in &pending {
                commands.arg(pending.id.to_string());
            }
            let answer = reply::single(RECOVERING, line.ask(RECOVERING, &commands, PATIENCE).await?)?;
            for found in reply::entries(answer).ok_or(Error::Unreadable { doing: RECOVERING })? {
                let earlier =
                    pending.iter().find(|pending| pending.id == found.id).map_or(1, |pending| pending.deliveries);
                if let Some(fields) = found.fields {
                    arrivals.push(Arrival { place: (lane, found.id), fields, deliveries: earlier.saturating_add(1) });
                }
            }
        }
        Ok(arrivals)
    }

    /// Looks whether the group holds more than is in hand here, and only then claims what has
    /// outlived its lease: of dead replicas, and of handlers that failed.
    async fn patrol(&mut self, line: &Line, free: usize) -> Result<Vec<Arrival>, Error> {
        self.ledger.forget_failed(Instant::now());
        let mut commands = redis::pipe();
        for lane in Lane::BOTH {
            commands.cmd("XPENDING").arg(self.streams.of(lane)).arg(self.topic.group());
        }
        let answers = reply::whole(CLAIMING, line.ask(CLAIMING, &commands, PATIENCE).await?)?;
        let mut arrivals = Vec::new();
        let mut rest = PATROL;
        for (lane, answer) in Lane::BOTH.into_iter().zip(&answers) {
            let pending = reply::pending_count(answer).unwrap_or(0);
            let in_hand = self.ledger.working(lane).len();
            if usize::try_from(pending).is_ok_and(|pending| pending <= in_hand) {
                continue;
            }
            rest = rest.min(self.lease / 2);
            let room = free.saturating_sub(arrivals.len());
            if room == 0 || !self.claim(line, lane, room, &mut arrivals).await? {
                rest = Duration::ZERO;
            }
        }
        self.next_patrol = Instant::now() + rest;
        Ok(arrivals)
    }

    /// Claims from one lane; false when it has not seen all of the lane's pending entries yet.
    async fn claim(
        &mut self,
        line: &Line,
        lane: Lane,
        room: usize,
        arrivals: &mut Vec<Arrival>,
    ) -> Result<bool, Error> {
        let (key, group) = (self.streams.of(lane), self.topic.group());
        let cursor = self.cursors.iter().find(|(of, _)| *of == lane).map_or(EventId::START, |(_, cursor)| *cursor);
        let mut commands = redis::pipe();
        commands.cmd("XAUTOCLAIM").arg(key).arg(group).arg(self.bus.replica());
        commands.arg(millis(self.lease)).arg(cursor.to_string()).arg("COUNT").arg(room);
        let answer = reply::single(CLAIMING, line.ask(CLAIMING, &commands, PATIENCE).await?)?;
        let (cursor, found) = reply::claimed(answer).ok_or(Error::Unreadable { doing: CLAIMING })?;
        for slot in &mut self.cursors {
            if slot.0 == lane {
                slot.1 = cursor;
            }
        }
        let done = cursor == EventId::START;
        if found.is_empty() {
            return Ok(done);
        }
        let mut commands = redis::pipe();
        for entry in &found {
            let id = entry.id.to_string();
            commands.cmd("XPENDING").arg(self.streams.of(lane)).arg(group).arg(&id).arg(&id).arg(1);
        }
        let counts = reply::whole(CLAIMING, line.ask(CLAIMING, &commands, PATIENCE).await?)?;
        for (entry, count) in found.into_iter().zip(counts) {
            let pending = reply::pending(count).ok_or(Error::Unreadable { doing: CLAIMING })?;
            if let (Some(fields), Some(pending)) = (entry.fields, pending.first()) {
                arrivals.push(Arrival { place: (lane, entry.id), fields, deliveries: pending.deliveries });
            }
        }
        Ok(done)
    }

    async fn read(&self, line: &Line, free: usize, stop: &CancellationToken) -> Result<Vec<Arrival>, Error> {
        // COUNT holds for each stream: two lanes share what is free. A single free place cannot be
        // shared, so the lanes are first asked one after the other.
        if free == 1 {
            for lane in Lane::BOTH {
                let answers = line.ask(READING, &self.reading(&[lane], 1, None), PATIENCE).await?;
                let arrivals = self.arrivals(answers)?;
                if !arrivals.is_empty() {
                    return Ok(arrivals);
                }
            }
        }
        let count = (free / 2).clamp(1, self.slice);
        let block = self.block();
        let commands = self.reading(&Lane::BOTH, count, Some(block));
        let reading = line.ask(READING, &commands, block + PATIENCE);
        tokio::pin!(reading);
        let answers = tokio::select! {
            answers = &mut reading => answers?,
            () = stop.cancelled() => {
                // Leaving a blocked read alone would let Redis hand the next entry to nobody.
                let deadline = Instant::now() + WAKE_PATIENCE;
                loop {
                    self.wake(line.id()).await;
                    match tokio::time::timeout(WAKE_REST, &mut reading).await {
                        Ok(answers) => break answers?,
                        Err(_) if Instant::now() > deadline => return Ok(Vec::new()),
                        Err(_) => {}
                    }
                }
            }
        };
        self.arrivals(answers)
    }

    /// How long to block: until something else is due, and never so long that an entry which fails
    /// meanwhile would wait for more than its lease.
    fn block(&self) -> Duration {
        let now = Instant::now();
        let mut block = BLOCK.min(self.next_patrol.saturating_duration_since(now));
        if self.ledger.len() > 0 {
            block = block.min(self.lease);
        }
        if let Some(due) = self.ledger.next_failed() {
            block = block.min(due.saturating_duration_since(now));
        }
        block.max(Duration::from_millis(1))
    }

    fn reading(&self, lanes: &[Lane], count: usize, block: Option<Duration>) -> redis::Pipeline {
        let mut commands = redis::pipe();
        commands.cmd("XREADGROUP").arg("GROUP").arg(self.topic.group()).arg(self.bus.replica());
        commands.arg("COUNT").arg(count);
        if let Some(block) = block {
            commands.arg("BLOCK").arg(millis(block));
        }
        commands.arg("STREAMS");
        for lane in lanes {
            commands.arg(self.streams.of(*lane));
        }
        for _ in lanes {
            commands.arg(">");
        }
        commands
    }

    fn arrivals(&self, answers: Vec<Value>) -> Result<Vec<Arrival>, Error> {
        let streams = reply::streams(reply::single(READING, answers)?).ok_or(Error::Unreadable { doing: READING })?;
        let mut arrivals = Vec::new();
        for (key, found) in streams {
            let lane = self.streams.lane(&key).ok_or(Error::Unreadable { doing: READING })?;
            arrivals.extend(found.into_iter().filter_map(|found| {
                let fields = found.fields?;
                Some(Arrival { place: (lane, found.id), fields, deliveries: 1 })
            }));
        }
        Ok(arrivals)
    }

    async fn wake(&self, line: i64) {
        let mut commands = redis::pipe();
        commands.cmd("CLIENT").arg("UNBLOCK").arg(line);
        if let Err(error) = self.bus.link().ask(WAKING, &commands).await {
            tracing::debug!(topic = self.topic.name(), error = error.chain(), "a blocked read was not woken");
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}
