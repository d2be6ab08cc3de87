//! An entry of a stream: a name and nothing else. Refuses to carry facts, so that an old entry can
//! never be stale: whoever reads it looks the name up.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::Value;
use uuid::Uuid;

/// What a stream carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The thing that is named.
    pub id: Uuid,
    /// One word that says what sort of thing it is.
    pub kind: String,
    /// The W3C trace that this belongs to.
    pub traceparent: Option<String>,
    /// When it was announced, in milliseconds since 1970; 0 is replaced by the present when sent.
    pub sent_at_ms: i64,
}

impl Entry {
    /// Makes an entry that gets its time when it is sent.
    #[must_use]
    pub fn new(id: Uuid, kind: impl Into<String>, traceparent: Option<String>) -> Self {
        Self { id, kind: kind.into(), traceparent, sent_at_ms: 0 }
    }

    /// How long ago the entry was announced; zero when clocks disagree.
    #[must_use]
    pub fn age(&self) -> Duration {
        Duration::from_millis(u64::try_from(now_ms().saturating_sub(self.sent_at_ms)).unwrap_or(0))
    }

    /// Adds the four fields to a command. All four are always there: Redis stores the names of equal
    /// sets of fields once.
    pub(crate) fn encode(&self, command: &mut redis::Cmd) {
        let sent_at_ms = if self.sent_at_ms == 0 { now_ms() } else { self.sent_at_ms };
        let mut id = Uuid::encode_buffer();
        command
            .arg("id")
            .arg(self.id.as_hyphenated().encode_lower(&mut id).as_bytes())
            .arg("kind")
            .arg(&self.kind)
            .arg("traceparent")
            .arg(self.traceparent.as_deref().unwrap_or_default())
            .arg("sent_at")
            .arg(sent_at_ms);
    }

    /// Reads an entry, or says in one line why it is none.
    pub(crate) fn decode(fields: &[Value]) -> Result<Self, String> {
        let (mut id, mut kind, mut traceparent, mut sent_at) = (None, None, None, None);
        for pair in fields.chunks_exact(2) {
            let [Value::BulkString(name), Value::BulkString(value)] = pair else {
                return Err("its fields are not text".to_owned());
            };
            match name.as_slice() {
                b"id" => id = Some(text("id", value)?),
                b"kind" => kind = Some(text("kind", value)?),
                b"traceparent" => traceparent = Some(text("traceparent", value)?),
                b"sent_at" => sent_at = Some(text("sent_at", value)?),
                _ => {}
            }
        }
        let id = id.ok_or("field id is missing")?;
        let sent_at = sent_at.ok_or("field sent_at is missing")?;
        Ok(Self {
            id: Uuid::try_parse(id).map_err(|_| "field id is not a UUID")?,
            kind: kind.ok_or("field kind is missing")?.to_owned(),
            traceparent: traceparent.filter(|text| !text.is_empty()).map(str::to_owned),
            sent_at_ms: sent_at.parse().map_err(|_| "field sent_at is not a number of milliseconds")?,
        })
    }
}

fn text<'a>(name: &str, value: &'a [u8]) -> Result<&'a str, String> {
    std::str::from_utf8(value).map_err(|_| format!("field {name} is not UTF-8"))
}

/// The present in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The place of an entry in its stream; later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EventId {
    ms: u64,
    sequence: u64,
}

impl EventId {
    /// Before every entry.
    pub const START: Self = Self { ms: 0, sequence: 0 };

    /// When Redis wrote the entry, in milliseconds since 1970.
    #[must_use]
    pub const fn ms(self) -> u64 {
        self.ms
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.ms, self.sequence)
    }
}

/// The text is not of the form `milliseconds-sequence`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event id has the form 1700000000000-0")]
pub struct BadEventId;

impl FromStr for EventId {
    type Err = BadEventId;

    fn from_str(text: &str) -> Result<Self, BadEventId> {
        let (ms, sequence) = text.split_once('-').ok_or(BadEventId)?;
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| digits.parse().ok()).flatten().ok_or(BadEventId)
        };
        Ok(Self { ms: number(ms)?, sequence: number(sequence)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &[u8])]) -> Vec<Value> {
        pairs
            .iter()
            .flat_map(|(name, value)| [Value::BulkString(name.as_bytes().to_vec()), Value::BulkString(value.to_vec())])
            .collect()
    }

    #[test]
    fn each_misfit_has_its_cause() {
        let id = "0190a8c2-0000-7000-8000-000000000001".as_bytes();
        let korean = "질문".as_bytes();
        let whole: [(&str, &[u8]); 3] = [("id", id), ("kind", korean), ("sent_at", b"5")];
        assert_eq!(Entry::decode(&fields(&whole)).unwrap().kind, "질문");
        for (pairs, cause) in [
            (&[("kind", korean), ("sent_at", b"5")][..], "field id is missing"),
            (&[("id", id), ("sent_at", b"5")][..], "field kind is missing"),
            (&[("id", id), ("kind", b"ask")][..], "field sent_at is missing"),
            (&[("id", &b"7"[..]), ("kind", b"ask"), ("sent_at", b"5")][..], "field id is not a UUID"),
            (&[("id", id), ("kind", &[0xff, 0xfe]), ("sent_at", b"5")][..], "field kind is not UTF-8"),
            (&[("id", id), ("kind", b"ask"), ("sent_at", b"now")][..], "field sent_at is not a number of milliseconds"),
        ] {
            assert_eq!(Entry::decode(&fields(pairs)).unwrap_err(), cause);
        }
    }

    #[test]
    fn event_ids_read_back_and_sort() {
        let id: EventId = "1700000000000-12".parse().unwrap();
        assert_eq!(id.to_string(), "1700000000000-12");
        assert!(id > "1700000000000-9".parse().unwrap());
        for bad in ["", "1", "1-", "-1", "a-1", "+1-0", "1-2-3", "99999999999999999999-0", "$"] {
            assert_eq!(bad.parse::<EventId>(), Err(BadEventId), "{bad}");
        }
    }
}
