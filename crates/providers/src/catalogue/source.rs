//! Finds the line and the field of what is not right in a catalogue.
//! Refuses to judge what is right.

use std::ops::Range;

/// Something in a catalogue that is not right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {field}: {problem}; right would be {expected}")]
pub struct CatalogueError {
    /// The file's name.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The field.
    pub field: String,
    /// What is wrong.
    pub problem: String,
    /// What would be right.
    pub expected: String,
}

/// The text of a file, to find lines in.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    file: &'a str,
    text: &'a str,
}

impl<'a> Source<'a> {
    pub(super) const fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text }
    }

    pub(super) fn error(&self, span: &Range<usize>, field: &str, problem: &str, expected: &str) -> CatalogueError {
        let before = self.text.get(..span.start).unwrap_or_default();
        CatalogueError {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            field: field.to_owned(),
            problem: problem.to_owned(),
            expected: expected.to_owned(),
        }
    }

    /// Finds the field that a span belongs to: the key that it covers, or the one before its value.
    fn field_at(&self, span: &Range<usize>) -> &str {
        let is_key = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
        let covered = self.text.get(span.clone()).unwrap_or_default();
        let after = self.text.get(span.end..).unwrap_or_default().trim_start_matches([' ', '\t']);
        if !covered.is_empty() && covered.chars().all(is_key) && after.starts_with('=') {
            return covered;
        }
        let before = self.text.get(..span.start).unwrap_or_default().trim_end();
        let key = before.strip_suffix('=').unwrap_or_default().trim_end();
        let start = key.char_indices().rev().take_while(|(_, letter)| is_key(*letter)).last();
        match start {
            Some((at, _)) => key.get(at..).unwrap_or_default(),
            None => covered.lines().next().unwrap_or_default().trim(),
        }
    }

    pub(super) fn syntax(&self, error: &toml::de::Error) -> CatalogueError {
        let span = error.span().unwrap_or(0..0);
        let message = error.message();
        let missing = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
        let field = missing.unwrap_or_else(|| self.field_at(&span));
        let (problem, expected) = match message.split_once(", expected ") {
            // The name of a type of ours tells nobody what to write.
            Some((problem, ours)) if ours.starts_with("struct ") => (problem, expected(field)),
            Some((problem, expected)) => (problem, expected),
            None if missing.is_some() => (message, "that field with a value"),
            None => (message, expected(field)),
        };
        self.error(&span, field, problem, expected)
    }
}

fn expected(field: &str) -> &'static str {
    match field {
        "input" | "output" | "cache_read" | "cache_write" | "cache_write_hour" => {
            "dollars per million tokens as a string, such as \"0.25\""
        }
        "from" | "dated" => "a day, such as 2026-11-20",
        "flex" | "batch_price" | "num" | "den" => "a fraction of at most 1, such as { num = 1, den = 2 }",
        "batch" => "\"anthropic\", \"openai\", \"gemini\" or \"none\" for a provider, true or false for a model",
        "discounts_cache_read" => "true or false",
        _ => "valid TOML",
    }
}
