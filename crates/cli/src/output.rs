//! What goes to standard output (answers) and standard error (progress and troubles).
//! A reader that has gone away ends nothing: writes to a closed pipe are dropped.

use crate::client::Trouble;
use serde_json::Value;
use std::io::{IsTerminal as _, Write as _};

/// Writes an answer for people or programs, as it is.
pub(crate) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") });
    let _ = out.flush();
}

/// Writes JSON for programs.
pub(crate) fn json(value: &Value) {
    say(&serde_json::to_string_pretty(value).unwrap_or_default());
}

/// Writes a line of progress.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Writes to standard error without a line's end, for redrawing.
pub(crate) fn draw(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// Tells whether progress can be redrawn.
pub(crate) fn is_live() -> bool {
    std::io::stderr().is_terminal()
}

/// Writes what went wrong.
pub(crate) fn trouble(trouble: &Trouble, json: bool) {
    match (&trouble.problem, json) {
        (Some(problem), true) => self::json(problem),
        (None, true) => self::json(&serde_json::json!({ "detail": trouble.words, "code": "client" })),
        (_, false) => note(&format!("chavion: {}", trouble.words)),
    }
}
