//! Makes strings: by pattern, by format, by what the property is called. Refuses to be longer than allowed.

use serde_json::{Map, Value};

use super::maker::{Maker, count};
use super::{choice, pattern};
use crate::seed;
use crate::text;

/// A string for a schema of type string.
pub(super) fn of_schema(maker: &mut Maker<'_>, schema: &Map<String, Value>, name: &str) -> String {
    let least = count(schema, "minLength").unwrap_or(0);
    let most = count(schema, "maxLength").unwrap_or(usize::MAX);
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
        && let Some(text) = pattern::matching(pattern, least, most, &mut maker.draw)
    {
        return text;
    }
    let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
    if let Some(text) = formatted(format, maker) {
        return text;
    }
    let description = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    if let Some(option) = choice::of_list(maker, name, description)
        && (least..=most).contains(&option.chars().count())
    {
        return option;
    }
    let mut text = plain(maker, description, name);
    if text.chars().count() > most {
        text = maker.subject.question.topic();
    }
    fitted(text, least, most)
}

/// Adds a number to a string that must differ from others, within its limits.
pub(super) fn numbered(schema: &Map<String, Value>, text: &str, number: usize) -> Value {
    let most = count(schema, "maxLength").unwrap_or(usize::MAX);
    let tail = format!(" {number}");
    let kept: String = text.chars().take(most.saturating_sub(tail.chars().count())).collect();
    Value::String(kept + &tail)
}

/// A string that only its property's name and description say something about.
pub(super) fn plain(maker: &mut Maker<'_>, description: &str, name: &str) -> String {
    let question = maker.subject.question;
    let lower = name.to_lowercase();
    let is = |words: &[&str]| words.iter().any(|word| lower == *word || lower.ends_with(&format!("_{word}")));
    if is(&["id", "key", "slug", "code", "token"]) {
        return format!("emulated-{}", seed::letters(maker.draw.next(), 6).to_lowercase());
    }
    if is(&["url", "uri", "link"]) {
        return "https://emulated.invalid/".to_owned();
    }
    if is(&["email", "mail"]) {
        return "emulated@emulated.invalid".to_owned();
    }
    if is(&["command", "cmd", "shell", "script"]) {
        return "echo emulated".to_owned();
    }
    if is(&["path", "file", "filename"]) {
        return "emulated.md".to_owned();
    }
    if is(&["language", "lang", "locale"]) {
        return if question.korean { "ko" } else { "en" }.to_owned();
    }
    if is(&["name", "title", "heading", "label", "topic", "subject", "keyword"]) || lower.ends_with('s') {
        return question.topic();
    }
    let long = is(&["answer", "report", "text", "content", "body", "markdown", "analysis"]);
    if long && !description.contains("sentence") {
        let draw = seed::Draw::new(maker.draw.next());
        return text::compose(maker.subject.system, maker.subject.prompt, question, draw);
    }
    text::prose(question)
}

/// Cuts or pads a string to its limits, in characters.
fn fitted(text: String, least: usize, most: usize) -> String {
    let length = text.chars().count();
    if length > most {
        return text.chars().take(most).collect();
    }
    let padding = "·".repeat(least.saturating_sub(length));
    text + &padding
}

/// A string of a format, or `None` for formats that ask for nothing.
fn formatted(format: &str, maker: &mut Maker<'_>) -> Option<String> {
    let number = maker.draw.next();
    let day = number % 28 + 1;
    let hour = number / 28 % 24;
    let hex = format!("{number:016x}");
    let part = |range| hex.get(range).unwrap_or_default();
    Some(match format {
        "date" => format!("2026-02-{day:02}"),
        "time" => format!("{hour:02}:30:00Z"),
        "date-time" => format!("2026-02-{day:02}T{hour:02}:30:00Z"),
        "duration" => format!("PT{}M", hour + 1),
        "email" | "idn-email" => "emulated@emulated.invalid".to_owned(),
        "uri" | "url" | "iri" | "uri-reference" => "https://emulated.invalid/".to_owned(),
        "uuid" => format!("{}-{}-7{}-8{}-{}0000", part(0..8), part(8..12), part(0..3), part(3..6), part(8..16)),
        "hostname" | "idn-hostname" => "emulated.invalid".to_owned(),
        "ipv4" => format!("192.0.2.{day}"),
        "ipv6" => format!("2001:db8::{day}"),
        _ => return None,
    })
}
