//! Gets entries for one consumer: its own after a (re)start and those whose lease ran out (`claims`),
//! then new ones. Refuses to know what a handler is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::Value;
use tokio_util::sync::CancellationToken;

use crate::consumer::{BLOCK, WAKE_PATIENCE, WAKE_REST};
use crate::error::Error;
use crate::ledger::{Ledger, Place};
use crate::link::{Line, PATIENCE};
use crate::topic::{Lane, Streams, Topic};
use crate::{Bus, EventId, reply};

const CONNECTING: &str = "connecting a consumer";
const GROUPING: &str = "making consumer groups";
const READING: &str = "reading entries";
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
    pub(crate) bus: Bus,
    pub(crate) topic: Topic,
    pub(crate) streams: Streams,
    pub(crate) ledger: Arc<Ledger>,
    slice: usize,
    pub(crate) lease: Duration,
    line: Option<Line>,
    /// The groups are there as far as known.
    grouped: bool,
    /// They were there once: not to find them now means that Redis was emptied.
    met: bool,
    /// Redis said that they are gone.
    missed: bool,
    /// Entries in this consumer's name may be in nobody's hands.
    pub(crate) recovering: bool,
    pub(crate) next_patrol: Instant,
    pub(crate) cursors: [(Lane, EventId); 2],
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
            if self.recovering {
                return Ok(own);
            }
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

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}
