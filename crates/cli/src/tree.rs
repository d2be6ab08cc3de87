//! A tree of tasks as text: one line a task, with its state, who does it, time, tokens and cost.

use crate::{batch, moment::span, output::one_line};
use serde_json::Value;
use std::fmt::Write as _;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// One task's line in a drawing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) text: String,
    /// Whether it can be left out where there is too little room: it has gone well, with all below it.
    is_settled: bool,
}

/// Draws a task and all below it.
pub(crate) fn draw(task: &Value) -> String {
    lines(task).into_iter().fold(String::new(), |text, line| text + &line.text + "\n")
}

/// Draws a task and all below it, line by line.
pub(crate) fn lines(task: &Value) -> Vec<Line> {
    let mut lines = Vec::new();
    branch(task, "", "", &mut lines);
    lines
}

fn branch(task: &Value, lead: &str, rest: &str, lines: &mut Vec<Line>) {
    let children = children(task);
    let is_settled = !lead.is_empty() && word(task, "state") == "completed" && children.is_empty();
    lines.push(Line { text: format!("{lead}{}", line(task)), is_settled });
    for (at, child) in children.iter().enumerate() {
        let last = at + 1 == children.len();
        let (lead, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        branch(child, &format!("{rest}{lead}"), &format!("{rest}{below}"), lines);
    }
}

/// Fits lines into a screen of so many columns and rows: lines are cut, and where there are too many, those of
/// tasks that went well give way.
pub(crate) fn fit(mut lines: Vec<Line>, columns: usize, rows: usize) -> Vec<String> {
    let all = lines.len();
    if all > rows {
        // The last line tells how many there are besides.
        let room = rows.saturating_sub(1);
        let mut excess = all - room;
        lines.retain(|line| {
            let goes = line.is_settled && excess > 0;
            excess -= usize::from(goes);
            !goes
        });
        lines.truncate(room);
    }
    let left_out = all - lines.len();
    let mut texts: Vec<String> = lines.iter().map(|line| cut(&line.text, columns)).collect();
    if left_out > 0 {
        texts.push(cut(&format!("… and {left_out} more"), columns));
    }
    texts
}

/// Cuts a line to so many columns; a Korean letter takes two.
fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let (mut cut, mut used) = (String::new(), 1);
    for letter in text.chars() {
        used += letter.width().unwrap_or_default();
        if used > columns {
            break;
        }
        cut.push(letter);
    }
    cut + "…"
}

/// One task on one line.
pub(crate) fn line(task: &Value) -> String {
    let state = word(task, "state");
    let mut line = format!("{} {}", mark(state), word(task, "title"));
    let figures = figures(task);
    if !figures.is_empty() {
        let _ = write!(line, "  ({figures})");
    }
    let (reason, progress) = (word(task, "reason"), word(task, "progress"));
    if state == "held" {
        let _ = write!(line, "  — {}", held(task));
        if !progress.is_empty() {
            let _ = write!(line, ": {progress}");
        }
    } else if let Some(waits) = batch::waits(task).filter(|_| !has_ended(task)) {
        let _ = write!(line, "  — {waits}");
    } else if !reason.is_empty() {
        let _ = write!(line, "  — {reason}");
    } else if state == "cancelled" {
        let _ = write!(line, "  — {state}");
    } else if !progress.is_empty() && !has_ended(task) {
        let _ = write!(line, "  — {progress}");
    } else if !word(task, "pace_reason").is_empty() {
        let _ = write!(line, "  — {}", word(task, "pace_reason"));
    }
    one_line(&line)
}

/// Says for what a held task waits.
fn held(task: &Value) -> String {
    match (word(task, "held_for"), task.pointer("/held/usd").and_then(Value::as_str)) {
        ("budget", Some(usd)) => format!("held, asks for {usd}"),
        ("", _) => "held".to_owned(),
        (what, _) => format!("held for {what}"),
    }
}

/// Tells how many of the tasks below a task have ended, and how many there are so far.
pub(crate) fn progress(task: &Value) -> (usize, usize) {
    children(task).iter().fold((0, 0), |(ended, all), child| {
        let (below_ended, below) = progress(child);
        (ended + below_ended + usize::from(has_ended(child)), all + below + 1)
    })
}

/// Pace, when it is not now, and time, tokens and cost, as far as they are known.
fn figures(task: &Value) -> String {
    let mut parts = Vec::new();
    parts.extend(Some(word(task, "pace")).filter(|pace| !matches!(*pace, "" | "now")).map(str::to_owned));
    parts.extend(task.get("ran_ms").and_then(Value::as_i64).map(span));
    let tokens = task.pointer("/tokens/total").and_then(Value::as_i64).unwrap_or_default();
    if tokens > 0 {
        parts.push(format!("{tokens} tokens"));
        parts.extend(task.pointer("/cost/usd").and_then(Value::as_str).map(str::to_owned));
    }
    parts.join(" · ")
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

/// Tells whether a task is completed, failed or cancelled.
pub(crate) fn has_ended(task: &Value) -> bool {
    matches!(word(task, "state"), "completed" | "failed" | "cancelled")
}

/// Tells whether an answer of the emulator went into a task.
pub(crate) fn is_emulated(task: &Value) -> bool {
    task.get("emulated").and_then(Value::as_bool) == Some(true) || children(task).iter().any(is_emulated)
}

/// Returns the tasks right below one.
pub(crate) fn children(task: &Value) -> &[Value] {
    task.get("children").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Reads a text field; a missing one is empty.
pub(crate) fn word<'a>(task: &'a Value, name: &str) -> &'a str {
    task.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tree() -> Value {
        json!({ "title": "겨울 예약", "state": "in_progress", "children": [
            { "title": "분류", "state": "completed", "ran_ms": 1_250, "tokens": { "total": 12 }, "cost": { "usd": "$0.0003" } },
            { "title": "시장 분석가", "state": "failed", "reason": "거절\n되었습니다", "children": [] },
            { "title": "종합", "state": "in_progress", "progress": "절반" },
        ] })
    }

    #[test]
    fn a_line_has_state_figures_and_reason_and_is_one_line() {
        let expected = "◐ 겨울 예약\n├─ ● 분류  (1.2 s · 12 tokens · $0.0003)\n├─ ✗ 시장 분석가  — 거절 되었습니다\n└─ ◐ 종합  — 절반\n";
        assert_eq!(draw(&tree()), expected);
        assert_eq!(progress(&tree()), (2, 3));
    }

    #[test]
    fn a_line_says_what_is_waited_for() {
        let held = json!({ "title": "종합", "state": "held", "pace": "batch", "held_for": "budget", "held": { "usd": "$0.02" }, "progress": "모자랍니다" });
        assert_eq!(line(&held), "‖ 종합  (batch)  — held, asks for $0.02: 모자랍니다");
        let waits = json!({ "title": "분석", "state": "in_progress", "pace": "batch", "batches": [{ "provider": "openai", "state": "running" }] });
        assert_eq!(line(&waits), "◐ 분석  (batch)  — waiting for a batch (openai: running)");
        let fast = json!({ "title": "분석", "state": "completed", "pace": "now", "pace_reason": "세 번 실패" });
        assert_eq!(line(&fast), "● 분석  — 세 번 실패");
        let dark = json!({ "title": "분석", "state": "held", "pace": "now", "held_for": "blackout" });
        assert_eq!(line(&dark), "‖ 분석  — held for blackout");
    }

    #[test]
    fn wide_letters_count_double() {
        assert_eq!(cut("겨울 예약", 9), "겨울 예약");
        assert_eq!(cut("겨울 예약", 8), "겨울 예…");
        assert_eq!(cut("겨울", 3), "겨…");
        assert_eq!(cut("winter", 4), "win…");
        assert_eq!(cut("겨울", 0), "…");
    }

    #[test]
    fn what_does_not_fit_gives_way_and_is_counted() {
        let small = fit(lines(&tree()), 40, 3);
        assert_eq!(small.len(), 3);
        assert!(small[0].contains("겨울 예약") && small[1].contains("시장") && small[2] == "… and 2 more", "{small:?}");
        assert_eq!(fit(lines(&tree()), 40, 4).len(), 4);
        for rows in 1..8 {
            let lines = fit(lines(&tree()), 10, rows);
            assert!(lines.len() <= rows && lines.iter().all(|line| line.width() <= 10), "{rows}: {lines:?}");
        }
    }
}
