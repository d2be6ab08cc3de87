//! A tree of tasks as text: one line a task, with its state, who does it, time, tokens and cost.

use serde_json::Value;
use std::fmt::Write as _;

/// Draws a task and all below it.
pub(crate) fn draw(task: &Value) -> String {
    let mut text = String::new();
    branch(task, "", "", &mut text);
    text
}

fn branch(task: &Value, lead: &str, rest: &str, text: &mut String) {
    let _ = writeln!(text, "{lead}{}", line(task));
    let children: Vec<&Value> = task.get("children").and_then(Value::as_array).into_iter().flatten().collect();
    for (at, child) in children.iter().enumerate() {
        let last = at + 1 == children.len();
        let (lead, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        branch(child, &format!("{rest}{lead}"), &format!("{rest}{below}"), text);
    }
}

/// One task on one line.
pub(crate) fn line(task: &Value) -> String {
    let state = word(task, "state");
    let mut line = format!("{} {}", mark(state), word(task, "title"));
    let figures = figures(task);
    if !figures.is_empty() {
        let _ = write!(line, "  ({figures})");
    }
    let reason = word(task, "reason");
    if !reason.is_empty() {
        let _ = write!(line, "  — {reason}");
    } else if matches!(state, "held" | "cancelled") {
        let _ = write!(line, "  — {state}");
    }
    line
}

/// Time, tokens and cost, as far as they are known.
fn figures(task: &Value) -> String {
    let mut parts = Vec::new();
    parts.extend(task.get("ran_ms").and_then(Value::as_i64).map(time));
    let tokens = task.pointer("/tokens/total").and_then(Value::as_i64).unwrap_or_default();
    if tokens > 0 {
        parts.push(format!("{tokens} tokens"));
        parts.extend(task.pointer("/cost/usd").and_then(Value::as_str).map(str::to_owned));
    }
    parts.join(" · ")
}

fn time(ms: i64) -> String {
    match ms {
        ..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

const fn mark(state: &str) -> &'static str {
    match state.as_bytes() {
        b"pending" => "·",
        b"queued" => "○",
        b"in_progress" => "◐",
        b"held" => "‖",
        b"completed" => "●",
        b"failed" => "✗",
        b"cancelled" => "–",
        _ => "?",
    }
}

/// Reads a text field; a missing one is empty.
pub(crate) fn word<'a>(task: &'a Value, name: &str) -> &'a str {
    task.get(name).and_then(Value::as_str).unwrap_or_default()
}
