//! One line of results, taken apart but not yet judged.
//! Refuses to guess whose a line is: what names no item is left to the caller's count of the missing.

use crate::wire::{Draft, Fault};
use serde_json::Value;

/// One line of results.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) custom_id: String,
    pub(super) said: Said,
}

/// What it said.
#[derive(Debug)]
pub(super) enum Said {
    Draft {
        draft: Draft,
        request_id: Option<String>,
    },
    /// An error as JSON, and the HTTP status that came with it.
    Error {
        status: Option<u16>,
        body: Vec<u8>,
    },
    /// A good status, and yet no answer.
    Malformed,
    /// It is above what is read.
    TooLong,
    Expired,
    Cancelled,
}

impl Said {
    pub(super) fn of(draft: Result<Draft, Fault>, request_id: Option<String>) -> Self {
        match draft {
            Ok(draft) => Self::Draft { draft, request_id },
            Err(Fault::Said(body)) => Self::Error { status: None, body },
            Err(Fault::Malformed | Fault::Truncated) => Self::Malformed,
        }
    }

    /// `error` is the error's object, or an object that has it as `error`.
    pub(super) fn error(status: Option<u16>, error: &Value) -> Self {
        let inner = error.get("error").filter(|inner| inner.is_object()).unwrap_or(error);
        Self::Error { status, body: serde_json::json!({ "error": inner }).to_string().into_bytes() }
    }
}

/// Finds out whose a line is that is no JSON or above the cap: the first string after the id's name.
pub(super) fn custom_id(line: &[u8], field: &str) -> Option<String> {
    let name = format!("\"{field}\"");
    let at = line.windows(name.len()).position(|window| window == name.as_bytes())?;
    let rest = line.get(at + name.len()..)?.trim_ascii_start().strip_prefix(b":")?;
    let rest = rest.trim_ascii_start().strip_prefix(b"\"")?;
    let end = rest.iter().position(|&byte| byte == b'"')?;
    let id = std::str::from_utf8(rest.get(..end)?).ok()?;
    super::write::is_name(id).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_line_says_whose_it_is() {
        let cases: &[(&str, Option<&str>)] = &[
            (r#"{"id":"batch_req_1","custom_id" : "a-1","response":{"bo"#, Some("a-1")),
            (r#"{"custom_id":"a b","#, None),
            (r#"{"custom_id":7,"#, None),
            (r#"{"custom_id":"a-1"#, None),
            (r#"{"text":"\"custom_id\":\"b-2\"","custom_id":"a-1""#, Some("a-1")),
            ("<html>", None),
        ];
        for (line, expected) in cases {
            assert_eq!(custom_id(line.as_bytes(), "custom_id").as_deref(), *expected, "{line}");
        }
    }
}
