//! Raw JSON in, a checked order or the name of every bad field out.

use super::{Deliver, MAX_AGENTS, MAX_DELIVER, MAX_DESCRIPTION_CHARS, MAX_TITLE_CHARS, Order};
use crate::{
    money::{self, Nanos},
    pace::Pace,
    roster::is_name,
    task::{Priority, UnknownWord},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};
use url::Url;

const FIELDS: [&str; 9] =
    ["title", "description", "priority", "playbook", "pace", "deadline", "deliver", "agents", "budget"];
const MAX_URL_CHARS: usize = 2_000;
/// The last year of a deadline: times near the end of the calendar cannot be shown in every zone.
const LAST_YEAR: i32 = 9_000;
const NAME: &str = "a name made of a-z, 0-9, _ and -, at most 64 characters";

/// A field that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// The field, as in `deliver[0].url`; empty for the whole.
    pub field: String,
    /// What was wrong.
    pub problem: String,
    /// What would be right.
    pub expected: String,
}

/// An order as it came in, not checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NewOrder(pub Value);

impl NewOrder {
    /// Checks every field.
    ///
    /// # Errors
    /// Names each bad field, not only the first.
    pub fn check(&self, now: OffsetDateTime) -> Result<Order, Vec<FieldError>> {
        check(&self.0, now)
    }
}

/// Checks an order's fields. A field that is `null` counts as absent.
///
/// # Errors
/// Names each bad field, not only the first.
pub fn check(fields: &Value, now: OffsetDateTime) -> Result<Order, Vec<FieldError>> {
    let Some(map) = fields.as_object() else {
        return Err(vec![FieldError {
            field: String::new(),
            problem: format!("the order is {}", word(fields)),
            expected: "a JSON object with a title".to_owned(),
        }]);
    };
    let mut reader = Reader { map, errors: Vec::new() };
    reader.known();
    let order = Order {
        title: reader.title(),
        description: reader.text("description", MAX_DESCRIPTION_CHARS).unwrap_or_default().to_owned(),
        priority: reader.word("priority", Priority::Normal),
        playbook: reader.playbook(),
        pace: reader.word("pace", Pace::Now),
        deadline: reader.deadline(now),
        deliver: reader.deliver(),
        agents: reader.agents(),
        budget: reader.budget(),
    };
    if reader.errors.is_empty() { Ok(order) } else { Err(reader.errors) }
}

struct Reader<'a> {
    map: &'a Map<String, Value>,
    errors: Vec<FieldError>,
}

impl<'a> Reader<'a> {
    fn bad(&mut self, field: impl Into<String>, problem: impl Into<String>, expected: impl Into<String>) {
        self.errors.push(FieldError { field: field.into(), problem: problem.into(), expected: expected.into() });
    }

    fn known(&mut self) {
        for name in self.map.keys().filter(|name| !FIELDS.contains(&name.as_str())) {
            let shown: String = name.chars().filter(|letter| !letter.is_control()).take(100).collect();
            self.bad(shown, "unknown field", format!("one of {}", FIELDS.join(", ")));
        }
    }

    fn get(&self, field: &str) -> Option<&'a Value> {
        self.map.get(field).filter(|value| !value.is_null())
    }

    /// Returns a string without NUL and within its length.
    fn text(&mut self, field: &str, max: usize) -> Option<&'a str> {
        let value = self.get(field)?;
        let Some(text) = value.as_str() else {
            self.bad(field, format!("is {}", word(value)), "a string");
            return None;
        };
        if text.contains('\0') {
            self.bad(field, "contains the character NUL (U+0000)", "text without NUL");
            return None;
        }
        // A character has one byte at least: most texts need no count.
        if text.len() > max && text.chars().nth(max).is_some() {
            let count = text.chars().count();
            self.bad(field, format!("has {count} characters"), format!("at most {max} characters"));
            return None;
        }
        Some(text)
    }

    fn title(&mut self) -> String {
        let before = self.errors.len();
        let title = self.text("title", MAX_TITLE_CHARS).map(str::trim);
        let expected = format!("one line of 1 to {MAX_TITLE_CHARS} characters");
        match title {
            None if self.errors.len() == before => self.bad("title", "is missing", expected),
            Some(title) if !title.chars().any(is_visible) => self.bad("title", "is empty", expected),
            Some(title) if title.chars().any(char::is_control) => {
                self.bad("title", "contains a line break or another control character", expected);
            }
            _ => {}
        }
        title.unwrap_or_default().to_owned()
    }

    fn word<T: std::str::FromStr<Err = UnknownWord>>(&mut self, field: &str, default: T) -> T {
        match self.text(field, MAX_TITLE_CHARS).map(str::parse) {
            None => default,
            Some(Ok(word)) => word,
            Some(Err(unknown)) => {
                let expected = format!("one of {}", unknown.known.join(", "));
                self.bad(field, format!("{:?} is unknown", unknown.word), expected);
                default
            }
        }
    }

    fn playbook(&mut self) -> Option<String> {
        let name = self.text("playbook", MAX_TITLE_CHARS)?;
        if !is_name(name) {
            self.bad("playbook", format!("{name:?} is not a name"), NAME);
        }
        Some(name.to_owned())
    }

    fn deadline(&mut self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let text = self.text("deadline", MAX_TITLE_CHARS)?;
        let expected = "a time in the future after RFC 3339, such as 2031-05-04T08:00:00+09:00";
        match OffsetDateTime::parse(text, &Rfc3339) {
            Err(_) => self.bad("deadline", format!("{text:?} is not a time"), expected),
            Ok(deadline) if deadline <= now => self.bad("deadline", format!("{text} is in the past"), expected),
            Ok(deadline) if deadline.checked_to_offset(UtcOffset::UTC).is_none_or(|utc| utc.year() > LAST_YEAR) => {
                self.bad("deadline", format!("{text} is too far away"), expected);
            }
            Ok(deadline) => return Some(deadline),
        }
        None
    }

    fn budget(&mut self) -> Option<Nanos> {
        let value = self.get("budget")?;
        let read = match value.as_str() {
            Some(text) => money::dollars(text).map_err(|problem| {
                let shown: String = text.chars().filter(|letter| !letter.is_control()).take(40).collect();
                format!("{shown:?} {problem}")
            }),
            None => Err(format!("is {}", word(value))),
        };
        read.map_err(|problem| self.bad("budget", problem, money::DOLLARS)).ok()
    }

    fn list(&mut self, field: &str, max: usize, of: &str) -> &'a [Value] {
        match self.get(field) {
            None => &[],
            Some(Value::Array(list)) if list.len() <= max => list,
            Some(Value::Array(list)) => {
                self.bad(field, format!("has {} elements", list.len()), format!("at most {max}"));
                &[]
            }
            Some(other) => {
                self.bad(field, format!("is {}", word(other)), format!("a list of {of}"));
                &[]
            }
        }
    }

    fn deliver(&mut self) -> Vec<Deliver> {
        let mut targets = Vec::new();
        for (index, value) in self.list("deliver", MAX_DELIVER, "targets").iter().enumerate() {
            let field = format!("deliver[{index}]");
            match Deliver::deserialize(value) {
                Ok(target) => {
                    self.target(&format!("{field}.url"), &target);
                    targets.push(target);
                }
                Err(error) => {
                    let expected = r#"{"kind": "webhook", "url": "https://…"}"#;
                    self.bad(field, error.to_string().replace('\0', ""), expected);
                }
            }
        }
        targets
    }

    fn target(&mut self, field: &str, target: &Deliver) {
        let Deliver::Webhook { url: text } = target;
        let expected = "an http or https URL with a host and without user info";
        // What was given is not repeated: a webhook's path is often its secret.
        let problem = match Url::parse(text) {
            _ if text.len() > MAX_URL_CHARS => format!("is longer than {MAX_URL_CHARS} bytes"),
            _ if text.chars().any(char::is_control) => "contains a control character".to_owned(),
            Err(error) => format!("is not a URL: {error}"),
            Ok(url) if !matches!(url.scheme(), "http" | "https") => {
                format!("has the scheme {:?}", url.scheme())
            }
            Ok(url) if !url.username().is_empty() || url.password().is_some() => "contains user info".to_owned(),
            Ok(url) if url.host_str().is_none_or(str::is_empty) => "has no host".to_owned(),
            Ok(_) => return,
        };
        self.bad(field, problem, expected);
    }

    fn agents(&mut self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for (index, value) in self.list("agents", MAX_AGENTS, "agents' names").iter().enumerate() {
            let field = format!("agents[{index}]");
            match value.as_str() {
                None => self.bad(field, format!("is {}", word(value)), NAME),
                Some(name) if !is_name(name) => self.bad(field, "is not an agent's name", NAME),
                Some(name) if names.iter().any(|known| known == name) => {
                    self.bad(field, format!("{name:?} is named twice"), "each agent once");
                }
                Some(name) => names.push(name.to_owned()),
            }
        }
        names
    }
}

/// Tells whether a character shows: spaces, controls and the zero-width ones do not make a title.
fn is_visible(letter: char) -> bool {
    !letter.is_whitespace()
        && !letter.is_control()
        && !matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{3164}' | '\u{115f}' | '\u{1160}')
}

const fn word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
