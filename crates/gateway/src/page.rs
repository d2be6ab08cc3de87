//! Cursors: where the next page of a list starts, opaque to clients.
//! Refuses a cursor that was handed out for another list.

use crate::error::Wrong;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The most items that a page has.
pub(crate) const MAX_LIMIT: u16 = 200;
/// How many items a page has when the caller does not say.
pub(crate) const DEFAULT_LIMIT: u16 = 50;

/// Returns the cursor behind the last item of a page of the list that `filter` describes.
pub(crate) fn cursor(last: Uuid, filter: &str) -> String {
    let mut bytes = last.as_bytes().to_vec();
    bytes.extend(mark(filter));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a cursor.
///
/// # Errors
/// Says that it is none of ours, or that it belongs to another list.
pub(crate) fn read_cursor(cursor: &str, filter: &str) -> Result<Uuid, Wrong> {
    let wrong = |problem: &str| {
        Wrong::new("cursor", problem, "the `next` of an earlier page, with the same filters, or none to start")
    };
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong("is not a cursor"))?;
    let (id, given) = bytes.split_at_checked(16).ok_or_else(|| wrong("is not a cursor"))?;
    let id = Uuid::from_slice(id).map_err(|_| wrong("is not a cursor"))?;
    if given == mark(filter) { Ok(id) } else { Err(wrong("belongs to a list with other filters")) }
}

/// Eight bytes that differ from filter to filter: a check against mistakes, not a signature.
fn mark(filter: &str) -> Vec<u8> {
    Sha256::digest(filter.as_bytes()).iter().copied().take(8).collect()
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
