//! Entries that nobody could handle, with their cause. Refuses to revive them: their rows decide.

use redis::{Pipeline, Value};

use crate::delivery::Epitaph;
use crate::entry::{Entry, EventId};
use crate::error::Error;
use crate::ledger::Place;
use crate::topic::{Topic, dead_key};
use crate::{Bus, reply};

/// About how many dead entries are kept, of all topics together.
pub(crate) const DEAD_CAP: u32 = 1_000;
/// How much of an unreadable entry is kept, in characters.
const RAW_CAP: usize = 500;
const DOING: &str = "reading dead entries";

/// An entry of the dead stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    /// Its place among the dead; tells when it died.
    pub id: EventId,
    /// The topic that it came from.
    pub topic: String,
    /// The entry; `None` when it could not be read.
    pub entry: Option<Entry>,
    /// What an unreadable entry looked like.
    pub raw: Option<String>,
    /// How often it was delivered.
    pub deliveries: u32,
    /// Why it was given up.
    pub cause: String,
}

impl Bus {
    /// Reads the dead entries of a topic, the latest first.
    ///
    /// # Errors
    /// When Redis cannot be reached or refuses.
    pub async fn dead(&self, topic: Topic, limit: usize) -> Result<Vec<Dead>, Error> {
        let all = self.all_dead().await?;
        Ok(all.into_iter().filter(|dead| dead.topic == topic.name()).take(limit).collect())
    }

    /// Reads all dead entries, the latest first: the stream is capped.
    pub(crate) async fn all_dead(&self) -> Result<Vec<Dead>, Error> {
        let mut commands = redis::pipe();
        commands.cmd("XREVRANGE").arg(dead_key(self.prefix())).arg("+").arg("-");
        let answer = reply::single(DOING, self.link().ask(DOING, &commands).await?)?;
        let found = reply::entries(answer).ok_or(Error::Unreadable { doing: DOING })?;
        Ok(found.into_iter().filter_map(|found| decode(found.id, &found.fields?)).collect())
    }
}

/// Adds the cap and the fields of a dead entry to the burying script's arguments.
pub(crate) fn encode(commands: &mut Pipeline, topic: Topic, place: Place, epitaph: &Epitaph) {
    commands.arg(DEAD_CAP);
    commands.arg("topic").arg(topic.name()).arg("lane").arg(place.0.word()).arg("was").arg(place.1.to_string());
    commands.arg("cause").arg(&epitaph.cause).arg("deliveries").arg(epitaph.deliveries);
    match &epitaph.entry {
        Ok(entry) => {
            commands.arg("id").arg(entry.id.to_string()).arg("kind").arg(&entry.kind);
            commands.arg("traceparent").arg(entry.traceparent.as_deref().unwrap_or_default());
            commands.arg("sent_at").arg(entry.sent_at_ms);
        }
        Err(raw) => {
            commands.arg("raw").arg(raw);
        }
    }
}

fn decode(id: EventId, fields: &[Value]) -> Option<Dead> {
    let field = |wanted: &str| {
        fields.chunks_exact(2).find_map(|pair| match pair {
            [Value::BulkString(name), Value::BulkString(value)] if name == wanted.as_bytes() => {
                Some(String::from_utf8_lossy(value).into_owned())
            }
            _ => None,
        })
    };
    Some(Dead {
        id,
        topic: field("topic")?,
        entry: Entry::decode(fields).ok(),
        raw: field("raw"),
        deliveries: field("deliveries")?.parse().ok()?,
        cause: field("cause")?,
    })
}

/// Makes the fields of an unreadable entry readable, and short.
pub(crate) fn raw(fields: &[Value]) -> String {
    let text = |value: &Value| match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => "?".to_owned(),
    };
    fields.iter().map(text).collect::<Vec<_>>().join(" ").chars().take(RAW_CAP).collect()
}
