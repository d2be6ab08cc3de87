//! Cursors: where the next page of a list starts, opaque to clients.
//! Refuses a cursor that was handed out for another list.

use crate::{error::Wrong, fields::Fields};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The most items that a page has.
const MAX_LIMIT: u16 = 200;
/// How many items a page has when the caller does not say.
const DEFAULT_LIMIT: u16 = 50;

/// Takes how many items a page has.
pub(crate) fn read_limit(fields: &mut Fields) -> u16 {
    let expected = format!("a whole number from 1 to {MAX_LIMIT}");
    let limit = fields.parsed::<u16>("limit", &expected);
    if limit.is_some_and(|limit| limit == 0 || limit > MAX_LIMIT) {
        fields.say("limit", "is out of range", expected);
    }
    limit.unwrap_or(DEFAULT_LIMIT)
}

/// Takes the cursor of the list that `filter` describes.
pub(crate) fn of_page(fields: &mut Fields, filter: &str) -> Option<Uuid> {
    let cursor = fields.text("cursor", 100)?;
    match read_cursor(&cursor, filter) {
        Ok(id) => Some(id),
        Err(wrong) => {
            fields.say(wrong.field, wrong.problem, wrong.expected);
            None
        }
    }
}

/// Returns the cursor behind the last item of a page of the list that `filter` describes.
pub(crate) fn cursor(last: Uuid, filter: &str) -> String {
    cursor_of(last.as_bytes(), filter)
}

/// Returns the cursor behind an item whose key is no id.
pub(crate) fn cursor_of(last: &[u8], filter: &str) -> String {
    let mut bytes = mark(filter);
    bytes.extend(last);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a cursor.
///
/// # Errors
/// Says that it is none of ours, or that it belongs to another list.
fn read_cursor(cursor: &str, filter: &str) -> Result<Uuid, Wrong> {
    let last = read_cursor_of(cursor, filter)?;
    Uuid::from_slice(&last).map_err(|_| wrong("is not a cursor"))
}

/// Reads a cursor of a list whose keys are no ids.
///
/// # Errors
/// As [`read_cursor`].
pub(crate) fn read_cursor_of(cursor: &str, filter: &str) -> Result<Vec<u8>, Wrong> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong("is not a cursor"))?;
    let (given, last) = bytes.split_at_checked(MARK).ok_or_else(|| wrong("is not a cursor"))?;
    if given == mark(filter) { Ok(last.to_vec()) } else { Err(wrong("belongs to a list with other filters")) }
}

fn wrong(problem: &str) -> Wrong {
    Wrong::new("cursor", problem, "the `next` of an earlier page, with the same filters, or none to start")
}

/// How many bytes of a cursor stand for its list.
const MARK: usize = 8;

/// Bytes that differ from filter to filter: a check against mistakes, not a signature.
fn mark(filter: &str) -> Vec<u8> {
    Sha256::digest(filter.as_bytes()).iter().copied().take(MARK).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_for_its_own_list_alone() {
        let id = Uuid::now_v7();
        let text = cursor(id, "q=겨울");
        assert_eq!(read_cursor(&text, "q=겨울"), Ok(id));
        assert!(read_cursor(&text, "q=여름").is_err());
        for bad in ["", "!!!", "AAAA", "한글"] {
            assert!(read_cursor(bad, "").is_err(), "{bad}");
        }
    }
}
