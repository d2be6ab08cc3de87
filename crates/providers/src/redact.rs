//! Makes a provider's message fit for an error: short, on one line, without keys and without the
//! prompt that it quotes. Refuses to judge what the message means.

use std::ops::Range;

/// The most characters of a provider's message that an error keeps.
const LONGEST: usize = 300;
/// A stretch of this many bytes (8 Korean letters) shared with the request's body is a quotation of it.
const QUOTATION: usize = 24;
/// So small that every quotation contains a whole window, wherever the windows begin.
const WINDOW: usize = 9;
/// How the keys of the known providers begin.
const KEY_MARKS: &[&str] = &["sk-", "AIza", "gsk_", "xai-", "pplx-", "Bearer "];

/// Cleans `message`; `key` is the key in use, `body` the request's body.
pub(crate) fn clean(message: &str, key: Option<&str>, body: &[u8]) -> String {
    let mut text = one_line(message);
    if let Some(key) = key.filter(|key| !key.is_empty()) {
        text = text.replace(key, "[key]");
    }
    for mark in KEY_MARKS {
        text = mask_after(&text, mark);
    }
    text = mask_queries(&text);
    if let Ok(body) = std::str::from_utf8(body) {
        text = mask_quotations(&text, body);
    }
    shorten(&text)
}

/// Joins the words of a text with single spaces and drops control characters. A message longer
/// than an error may keep is cut generously first: masking what nobody will read costs time.
fn one_line(message: &str) -> String {
    let mut line = String::new();
    for word in message.split(|letter: char| letter.is_whitespace() || letter.is_control()) {
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > LONGEST * 8 {
            break;
        }
    }
    line
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", text.split_at(at).0),
        None => text.to_owned(),
    }
}

/// Replaces what follows a key's mark up to the end of the word.
fn mask_after(text: &str, mark: &str) -> String {
    let mut pieces = text.split(mark);
    let mut masked = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        // "risk-free" and "Bearer authentication" are no keys: a mark begins a word, and a key has digits or stars.
        let end = piece.find(|letter: char| !is_key_letter(letter)).unwrap_or(piece.len());
        let (word, rest) = piece.split_at(end);
        let is_key = word.contains(|letter: char| letter.is_ascii_digit() || letter == '*');
        if masked.ends_with(is_key_letter) || !is_key {
            masked.push_str(mark);
            masked.push_str(piece);
        } else {
            masked.push_str("[key]");
            masked.push_str(rest);
        }
    }
    masked
}

fn is_key_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '*' | '.')
}

/// Cuts the query off every URL.
fn mask_queries(text: &str) -> String {
    let words = text.split(' ').map(|word| match (word.contains("://"), word.split_once('?')) {
        (true, Some((address, _))) => format!("{address}?…"),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Replaces every stretch of [`QUOTATION`] or more bytes that also stands in `body`.
fn mask_quotations(text: &str, body: &str) -> String {
    let mut masked = String::new();
    let mut kept = 0;
    let mut at = 0;
    while let Some(end) = (at + WINDOW..=text.len()).find(|&end| text.is_char_boundary(end)) {
        let Range { start, end: stop } = quotation(text, at..end, kept, body);
        if stop - start >= QUOTATION {
            masked.push_str(text.get(kept..start).unwrap_or_default());
            masked.push('…');
            kept = stop;
        }
        at = stop.max(end);
    }
    masked.push_str(text.get(kept..).unwrap_or_default());
    masked
}

/// Returns the longest stretch of `text` around `window`, not before `least`, that stands in `body`.
fn quotation(text: &str, window: Range<usize>, least: usize, body: &str) -> Range<usize> {
    let before = text.get(least..window.start).unwrap_or_default();
    let after = text.get(window.end..).unwrap_or_default();
    let words = text.get(window.clone()).unwrap_or_default();
    let stretch = |(at, _): (usize, &str)| {
        let (head, tail) = body.split_at(at);
        let tail = tail.get(words.len()..).unwrap_or_default();
        let left = before.chars().rev().zip(head.chars().rev()).take_while(|(one, other)| one == other);
        let right = after.chars().zip(tail.chars()).take_while(|(one, other)| one == other);
        let left: usize = left.map(|(letter, _)| letter.len_utf8()).sum();
        let right: usize = right.map(|(letter, _)| letter.len_utf8()).sum();
        window.start - left..window.end + right
    };
    body.match_indices(words).map(stretch).max_by_key(ExactSizeIterator::len).unwrap_or(window.start..window.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_masked() {
        let cases = [
            ("Incorrect API key provided: sk-proj-abc***xyz. See docs", "Incorrect API key provided: [key] See docs"),
            ("key my-own-secret is wrong", "key [key] is wrong"),
            ("header Authorization: Bearer abcdefgh12", "header Authorization: [key]"),
            ("AIzaSyA1234567 was leaked", "[key] was leaked"),
            ("Bearer authentication is required", "Bearer authentication is required"),
            ("a risk-free and task-oriented plan", "a risk-free and task-oriented plan"),
            ("see https://x.example/a?key=abc now", "see https://x.example/a?… now"),
            ("two\n lines\u{0}\tand a tab", "two lines and a tab"),
        ];
        for (message, expected) in cases {
            assert_eq!(clean(message, Some("my-own-secret"), b""), expected);
        }
    }

    #[test]
    fn the_prompt_is_not_quoted_back() {
        let body = r#"{"messages":[{"role":"user","content":"우리 애견호텔의 겨울 예약을 늘릴 방법을 보고서로 써줘, 매출은 삼천만원"}]}"#;
        let said = "Invalid value: '우리 애견호텔의 겨울 예약을 늘릴 방법을 보고서로 써줘, 매출은' for content";
        assert_eq!(clean(said, None, body.as_bytes()), "Invalid value: '…' for content");
        let unrelated = "messages: at least one message with the role user is required";
        assert_eq!(clean(unrelated, None, body.as_bytes()), unrelated);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let cleaned = clean(&"가".repeat(5000), None, b"");
        assert_eq!(cleaned.chars().count(), LONGEST + 1);
    }
}
