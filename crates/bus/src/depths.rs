//! How much waits in each topic. Refuses to write: a look changes nothing.

use std::collections::HashMap;

use redis::Value;

use crate::entry::now_ms;
use crate::error::Error;
use crate::topic::{Lane, Topic, key};
use crate::{Bus, reply};

const DOING: &str = "measuring depths";

/// The state of one topic, both lanes together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Depth {
    /// The topic.
    pub topic: Topic,
    /// Entries that were not delivered yet.
    pub waiting: u64,
    /// Entries that are delivered and not acknowledged.
    pub pending: u64,
    /// Entries in the dead stream.
    pub dead: u64,
    /// The age of the oldest entry that is waiting or pending, in milliseconds; 0 when there is none.
    pub oldest_ms: u64,
}

impl Bus {
    /// Measures all topics that this bus has announced to, consumes, or was told of by `declare`.
    ///
    /// # Errors
    /// When Redis cannot be reached or refuses.
    pub async fn depths(&self) -> Result<Vec<Depth>, Error> {
        let topics = self.known();
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let mut commands = redis::pipe();
        for topic in &topics {
            for lane in Lane::BOTH {
                let key = key(self.prefix(), *topic, lane);
                commands.cmd("XLEN").arg(&key);
                commands.cmd("XPENDING").arg(&key).arg(topic.group());
                commands.cmd("XRANGE").arg(&key).arg("-").arg("+").arg("COUNT").arg(1);
            }
        }
        let answers = self.link().ask(DOING, &commands).await?;
        let mut dead: HashMap<String, u64> = HashMap::new();
        for entry in self.all_dead().await? {
            *dead.entry(entry.topic).or_default() += 1;
        }
        topics
            .into_iter()
            .zip(answers.chunks_exact(6))
            .map(|(topic, answers)| {
                let mut depth = Depth {
                    topic,
                    waiting: 0,
                    pending: 0,
                    dead: dead.get(topic.name()).copied().unwrap_or(0),
                    oldest_ms: 0,
                };
                for lane in answers.chunks_exact(3) {
                    add_lane(&mut depth, lane)?;
                }
                Ok(depth)
            })
            .collect()
    }
}

fn add_lane(depth: &mut Depth, answers: &[Value]) -> Result<(), Error> {
    let [length, pending, oldest] = answers else {
        return Err(Error::Unreadable { doing: DOING });
    };
    for answer in answers {
        // No group, or no stream: nobody has read here yet.
        if let Some(error) = reply::refusal(DOING, answer).filter(|error| !error.is_gone()) {
            return Err(error);
        }
    }
    let length = reply::integer(length).and_then(|length| u64::try_from(length).ok()).unwrap_or(0);
    let pending = reply::pending_count(pending).unwrap_or(0);
    depth.pending += pending;
    depth.waiting += length.saturating_sub(pending);
    if let Some(first) = reply::entries(oldest.clone()).and_then(|found| found.into_iter().next()) {
        let now = u64::try_from(now_ms()).unwrap_or(0);
        depth.oldest_ms = depth.oldest_ms.max(now.saturating_sub(first.id.ms()));
    }
    Ok(())
}
