//! Finds what was really asked inside a prompt. Refuses to understand it: labels, lines and letters only.
//!
//! The question is what follows a line such as `Order:` or `주문:` up to a line of another such kind, a heading or
//! an earlier emulated answer; without a label it is the whole prompt. Its language is Korean when it has Hangul.

use super::MARK;
use super::korean::{is_hangul, nouns};

const LABELS: [&str; 10] =
    ["order:", "question:", "task:", "request:", "주문:", "질문:", "요청:", "지시:", "과제:", "명령:"];
const IDLE: &[&str] = &[
    "about", "add", "after", "again", "against", "also", "and", "any", "are", "before", "best", "better", "boost",
    "both", "build", "but", "can", "cheap", "compare", "could", "create", "does", "each", "every", "find", "for",
    "from", "get", "give", "good", "grow", "have", "help", "how", "improve", "increase", "into", "its", "just", "keep",
    "let", "like", "lower", "mail", "make", "many", "more", "most", "much", "need", "new", "next", "not", "now", "one",
    "only", "our", "out", "over", "per", "plan", "please", "raise", "reduce", "report", "send", "set", "should",
    "show", "some", "tell", "than", "that", "the", "their", "them", "then", "there", "these", "they", "this", "those",
    "through", "tomorrow", "until", "use", "very", "want", "was", "way", "ways", "what", "when", "where", "which",
    "who", "why", "will", "win", "with", "would", "write", "you", "your",
];

/// What was asked, and the words that matter in it.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    /// All of it.
    pub(crate) whole: &'a str,
    /// Its first sentence, at most 80 characters.
    pub(crate) quote: String,
    /// Up to four nouns of it.
    pub(crate) nouns: Vec<String>,
    pub(crate) korean: bool,
}

impl<'a> Question<'a> {
    /// Finds the question of a prompt.
    pub(crate) fn find(prompt: &'a str) -> Self {
        let whole = labelled(prompt).unwrap_or(prompt).trim();
        let first = sentence(whole);
        let korean = whole.chars().any(is_hangul);
        let mut words = if korean { nouns(first) } else { english(first) };
        if words.is_empty() {
            words = if korean { nouns(whole) } else { english(whole) };
        }
        words.truncate(4);
        Self { whole, quote: shorten(first, 80), nouns: words, korean }
    }

    /// A few words for what it is about.
    pub(crate) fn topic(&self) -> String {
        match self.nouns.as_slice() {
            [] => shorten(&self.quote, 30),
            nouns => {
                let most = if self.korean { 3 } else { 4 };
                nouns.iter().take(most).map(String::as_str).collect::<Vec<_>>().join(" ")
            }
        }
    }

    /// The noun that the others belong to: the last one, in both languages.
    pub(crate) fn head(&self) -> Option<&str> {
        self.nouns.last().map(String::as_str)
    }
}

/// What follows the first label of a prompt.
fn labelled(prompt: &str) -> Option<&str> {
    let mut at = 0;
    for line in prompt.split_inclusive('\n') {
        let lower = line.trim().to_lowercase();
        if let Some(label) = LABELS.iter().find(|label| lower.starts_with(*label)) {
            let rest = prompt.get(at..)?;
            let start = rest.find(label_end(label))? + label_end(label).len_utf8();
            let body = rest.get(start..)?;
            let end = end_of_question(body);
            return body.get(..end).filter(|text| !text.trim().is_empty());
        }
        at += line.len();
    }
    None
}

fn label_end(label: &str) -> char {
    label.chars().next_back().unwrap_or(':')
}

/// Where the text after a label ends: at a heading, another label or an earlier answer.
fn end_of_question(body: &str) -> usize {
    let mut at = 0;
    for line in body.split_inclusive('\n') {
        let plain = line.trim();
        let label = plain.ends_with(':') && plain.chars().count() < 60;
        let heading = plain.starts_with('#');
        if at > 0
            && (label || heading || plain.starts_with(MARK))
            && !body.get(..at).unwrap_or_default().trim().is_empty()
        {
            return at;
        }
        at += line.len();
    }
    body.len()
}

/// The first sentence of a text: up to a line end or a sentence's end.
fn sentence(text: &str) -> &str {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let line = line.trim_start_matches(['#', '>', '-', '*', ' ']);
    for (at, letter) in line.char_indices() {
        let end = at + letter.len_utf8();
        let next = line.get(end..).and_then(|rest| rest.chars().next());
        if matches!(letter, '.' | '?' | '!' | '。') && next.is_none_or(char::is_whitespace) {
            return line.get(..end).unwrap_or(line);
        }
    }
    line
}

/// At most `most` characters, with an ellipsis when something was left out.
pub(super) fn shorten(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default().trim_end()),
    }
}

fn english(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for word in text.split(|letter: char| !(letter.is_alphanumeric() || letter == '-' || letter == '\'')) {
        let word = word.trim_matches(['\'', '-']).trim_end_matches("'s");
        let lower = word.to_lowercase();
        let known = found.iter().any(|other| other.to_lowercase() == lower);
        if word.chars().count() > 2 && !IDLE.contains(&lower.as_str()) && !known {
            found.push(word.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_labelled_order_is_found_in_a_korean_and_an_english_prompt() {
        let prompt = "Analyse this order alone.\n\nOrder:\n우리 애견호텔의 겨울 예약을 늘릴 방법을 보고서로 써줘\n\n\
                      Report:\n## 답";
        let question = Question::find(prompt);
        assert_eq!(question.whole, "우리 애견호텔의 겨울 예약을 늘릴 방법을 보고서로 써줘");
        assert!(question.korean);
        assert_eq!(question.nouns, ["애견호텔", "겨울", "예약"]);
        let question = Question::find("Order:\nHow can our pet hotel win more winter bookings? Be short.\n## Head\nx");
        assert_eq!(question.quote, "How can our pet hotel win more winter bookings?");
        assert_eq!(question.nouns, ["pet", "hotel", "winter", "bookings"]);
        assert!(!question.korean);
    }

    #[test]
    fn without_a_label_all_is_the_question() {
        assert_eq!(Question::find("2+2?").quote, "2+2?");
        assert_eq!(Question::find("").quote, "");
        assert_eq!(Question::find("주문: 가격 비교").whole, "가격 비교");
    }
}
