//! Entries that were delivered before: this replica's own after a (re)start, and those of anybody
//! whose lease ran out. Refuses to take what is in a handler's hands here.

use std::time::{Duration, Instant};

use crate::EventId;
use crate::consumer::PATROL;
use crate::error::Error;
use crate::link::{Line, PATIENCE};
use crate::reader::{Arrival, Reader, millis};
use crate::reply;
use crate::topic::Lane;

const RECOVERING: &str = "reading entries delivered earlier";
const CLAIMING: &str = "claiming entries whose lease ran out";

impl Reader {
    /// Takes up what is in this consumer's name and in nobody's hands: it was delivered to an
    /// earlier life of this replica, or its delivery was lost with a connection. `recovering` ends
    /// when nothing of the kind is listed any more.
    pub(crate) async fn own(&mut self, line: &Line, free: usize) -> Result<Vec<Arrival>, Error> {
        let mut arrivals = Vec::new();
        let mut listed = false;
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
            listed = true;
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
        self.recovering = listed;
        Ok(arrivals)
    }

    /// Looks whether the group holds more than is in hand here, and only then claims what has
    /// outlived its lease: of dead replicas, and of handlers that failed.
    pub(crate) async fn patrol(&mut self, line: &Line, free: usize) -> Result<Vec<Arrival>, Error> {
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
}
