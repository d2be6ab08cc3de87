//! Reads the shapes in which Redis answers stream commands. Refuses to know why they were sent.

use redis::Value;

use crate::entry::EventId;
use crate::error::Error;

/// An entry as it came: its fields are `None` when it is gone from the stream.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) id: EventId,
    pub(crate) fields: Option<Vec<Value>>,
}

/// An entry that some consumer holds.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) id: EventId,
    pub(crate) deliveries: u32,
}

/// Returns the answers unless one of them is an error.
pub(crate) fn whole(doing: &'static str, answers: Vec<Value>) -> Result<Vec<Value>, Error> {
    match answers.iter().find_map(|answer| refusal(doing, answer)) {
        Some(error) => Err(error),
        None => Ok(answers),
    }
}

/// Returns the only answer unless it is an error.
pub(crate) fn single(doing: &'static str, answers: Vec<Value>) -> Result<Value, Error> {
    whole(doing, answers)?.pop().ok_or(Error::Unreadable { doing })
}

/// The error that an answer is, if it is one.
pub(crate) fn refusal(doing: &'static str, answer: &Value) -> Option<Error> {
    match answer {
        Value::ServerError(error) => Some(Error::Refused {
            doing,
            code: error.code().to_owned(),
            detail: error.details().unwrap_or_default().to_owned(),
        }),
        _ => None,
    }
}

pub(crate) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        _ => None,
    }
}

pub(crate) fn list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(items) => Some(items),
        Value::Nil => Some(Vec::new()),
        _ => None,
    }
}

pub(crate) fn event_id(value: &Value) -> Option<EventId> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
        Value::SimpleString(text) => text.parse().ok(),
        _ => None,
    }
}

/// `[[id, [field, value, …]], …]`, the answer of XRANGE and XCLAIM.
pub(crate) fn entries(value: Value) -> Option<Vec<Found>> {
    list(value)?.into_iter().filter(|item| *item != Value::Nil).map(entry).collect()
}

fn entry(value: Value) -> Option<Found> {
    let mut parts = list(value)?.into_iter();
    let id = event_id(&parts.next()?)?;
    let fields = match parts.next()? {
        Value::Nil => None,
        fields => Some(list(fields)?),
    };
    Some(Found { id, fields })
}

/// `[[stream, entries], …]`, the answer of XREAD and XREADGROUP; nothing came when it is nil.
pub(crate) fn streams(value: Value) -> Option<Vec<(Vec<u8>, Vec<Found>)>> {
    let read = |item: Value| {
        let mut parts = list(item)?.into_iter();
        let Value::BulkString(key) = parts.next()? else {
            return None;
        };
        Some((key, entries(parts.next()?)?))
    };
    list(value)?.into_iter().map(read).collect()
}

/// `[cursor, entries, …]`, the answer of XAUTOCLAIM.
pub(crate) fn claimed(value: Value) -> Option<(EventId, Vec<Found>)> {
    let mut parts = list(value)?.into_iter();
    Some((event_id(&parts.next()?)?, entries(parts.next()?)?))
}

/// `[[id, consumer, idle, deliveries], …]`, the answer of XPENDING with a range.
pub(crate) fn pending(value: Value) -> Option<Vec<Pending>> {
    let read = |item: Value| {
        let parts = list(item)?;
        let deliveries = u32::try_from(integer(parts.get(3)?)?).ok()?;
        Some(Pending { id: event_id(parts.first()?)?, deliveries })
    };
    list(value)?.into_iter().map(read).collect()
}

/// `[count, first, last, [[consumer, count], …]]`, the answer of XPENDING without a range: how many
/// are pending in all.
pub(crate) fn pending_count(value: &Value) -> Option<u64> {
    match value {
        Value::Array(parts) => u64::try_from(integer(parts.first()?)?).ok(),
        _ => None,
    }
}
