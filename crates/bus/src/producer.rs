//! Writes names to topics and feeds. Refuses to wait for readers.

use crate::entry::Entry;
use crate::error::Error;
use crate::topic::{self, Feed, Lane, Topic};
use crate::{Bus, reply};

/// About how many entries a topic keeps when nobody reads it (some 100 MB). The oldest fall off: a
/// lost announcement costs delay, a Redis out of memory stops everything.
const TOPIC_CAP: u32 = 1_000_000;
/// About how many entries a feed keeps for those who come back.
const FEED_CAP: u32 = 20_000;

impl Bus {
    /// Announces names, any mix of topics and lanes, in one round trip. A lost answer leads to one
    /// more attempt, so an entry may be there twice.
    ///
    /// # Errors
    /// When Redis cannot be reached or refuses; some of the entries may be there nevertheless.
    pub async fn announce(&self, entries: &[(Topic, Lane, Entry)]) -> Result<(), Error> {
        const DOING: &str = "announcing entries";
        if entries.is_empty() {
            return Ok(());
        }
        let mut commands = redis::Pipeline::with_capacity(entries.len());
        for (topic, lane, entry) in entries {
            self.know(*topic);
            commands.add_command(append(&topic::key(self.prefix(), *topic, *lane), TOPIC_CAP, entry));
        }
        reply::whole(DOING, self.link().ask(DOING, &commands).await?)?;
        for (topic, _, _) in entries {
            self.metrics().count_announced(*topic);
        }
        Ok(())
    }

    /// Writes to a feed in one round trip; the oldest of its entries fall off.
    ///
    /// # Errors
    /// When Redis cannot be reached or refuses; some of the entries may be there nevertheless.
    pub async fn publish(&self, feed: &Feed, entries: &[Entry]) -> Result<(), Error> {
        const DOING: &str = "publishing events";
        if entries.is_empty() {
            return Ok(());
        }
        let key = self.feed_key(*feed);
        let mut commands = redis::Pipeline::with_capacity(entries.len());
        for entry in entries {
            commands.add_command(append(&key, FEED_CAP, entry));
        }
        reply::whole(DOING, self.link().ask(DOING, &commands).await?)?;
        self.metrics().published.inc_by(u64::try_from(entries.len()).unwrap_or(0));
        Ok(())
    }
}

fn append(key: &str, cap: u32, entry: &Entry) -> redis::Cmd {
    let mut command = redis::cmd("XADD");
    command.arg(key).arg("MAXLEN").arg("~").arg(cap).arg("*");
    entry.encode(&mut command);
    command
}
