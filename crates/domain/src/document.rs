//! TOML files read with the line of every value, so that a refusal can point at it.
//! Refuses to know what the file is about.

use serde_json::Value;
use std::ops::Range;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A file that was refused: where, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {reason}")]
pub struct Refused {
    /// The file's name, as it was given.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What was wrong and what would be right.
    pub reason: String,
}

/// A file's name and text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Document<'a> {
    pub(crate) file: &'a str,
    pub(crate) text: &'a str,
}

/// A value and the bytes of the file it was read from.
#[derive(Debug, Clone)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) at: Range<usize>,
}

/// One table of a file, its values taken out by name and type.
pub(crate) struct Table<'a> {
    document: Document<'a>,
    table: DeTable<'a>,
    /// What people call it: `the playbook`, `step 2`.
    what: String,
    pub(crate) at: Range<usize>,
}

impl<'a> Document<'a> {
    /// Reads the whole file as one table.
    pub(crate) fn read(self, what: &str) -> Result<Table<'a>, Refused> {
        match DeTable::parse(self.text) {
            Ok(table) => Ok(Table { document: self, at: 0..0, table: table.into_inner(), what: what.to_owned() }),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                Err(self.refuse(at, format!("not valid TOML: {}", error.message().replace('\n', "; "))))
            }
        }
    }

    /// Builds a refusal at a byte of the file.
    pub(crate) fn refuse(self, at: usize, reason: impl Into<String>) -> Refused {
        Refused { file: self.file.to_owned(), line: self.line(at), reason: reason.into() }
    }

    fn line(self, at: usize) -> usize {
        newlines(self.text.as_bytes().get(..at).unwrap_or(self.text.as_bytes())) + 1
    }

    /// Builds a refusal at a line (from 1) of a string value, wherever its quotes, its escapes and its
    /// continued lines put that line in the file.
    pub(crate) fn refuse_within(self, at: &Range<usize>, line: usize, reason: impl Into<String>) -> Refused {
        let raw = self.text.get(at.clone()).unwrap_or_default();
        let skipped = raw_newlines_before(raw, line);
        Refused { file: self.file.to_owned(), line: self.line(at.start) + skipped, reason: reason.into() }
    }
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

/// Counts the newlines of a quoted TOML string before the given line of its content.
fn raw_newlines_before(raw: &str, line: usize) -> usize {
    let multi = raw.starts_with("\"\"\"") || raw.starts_with("'''");
    let escapes = raw.starts_with('"');
    let body = raw.get(if multi { 3 } else { 1 }..).unwrap_or_default();
    // The newline right after the opening quotes is no part of the content.
    let (mut skipped, body) = match body.strip_prefix("\r\n").or_else(|| body.strip_prefix('\n')) {
        Some(rest) if multi => (1, rest),
        _ => (0, body),
    };
    let mut content = 1;
    let mut letters = body.chars().peekable();
    while content < line {
        match letters.next() {
            None => break,
            Some('\n') => {
                skipped += 1;
                content += 1;
            }
            Some('\\') if escapes => match letters.next() {
                Some('n') => content += 1,
                // A backslash at the end of a line swallows the newlines and blanks that follow.
                Some(blank) if blank.is_whitespace() => {
                    skipped += usize::from(blank == '\n');
                    while let Some(blank) = letters.next_if(|next| next.is_whitespace()) {
                        skipped += usize::from(blank == '\n');
                    }
                }
                _ => {}
            },
            Some(_) => {}
        }
    }
    skipped
}

impl<'a> Table<'a> {
    /// Builds a refusal at the table's own place.
    pub(crate) fn refuse(&self, reason: impl Into<String>) -> Refused {
        self.document.refuse(self.at.start, reason)
    }

    /// Refuses keys that are not among the known ones; `reserved` are refused with their own words.
    pub(crate) fn keys(&self, known: &[&str], reserved: &[(&str, &str)]) -> Result<(), Refused> {
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if let Some((_, why)) = reserved.iter().find(|(word, _)| *word == name) {
                return Err(self.document.refuse(key.span().start, format!("{}: `{name}` {why}", self.what)));
            }
            if !known.contains(&name) {
                let reason = format!("{}: unknown key `{name}`; known are {}", self.what, known.join(", "));
                return Err(self.document.refuse(key.span().start, reason));
            }
        }
        Ok(())
    }

    fn get(&self, key: &str) -> Option<&Spanned<DeValue<'a>>> {
        self.table.get(key)
    }

    fn wrong(&self, key: &str, found: &Spanned<DeValue<'_>>, wanted: &str) -> Refused {
        let reason = format!("{}: `{key}` must be {wanted}, not {}", self.what, word(found.get_ref()));
        self.document.refuse(found.span().start, reason)
    }

    /// Returns a string.
    pub(crate) fn text(&self, key: &str) -> Result<Option<Located<String>>, Refused> {
        self.get(key)
            .map(|found| match found.get_ref() {
                DeValue::String(text) => Ok(Located { value: text.as_ref().to_owned(), at: found.span() }),
                _ => Err(self.wrong(key, found, "a string")),
            })
            .transpose()
    }

    /// Returns a string that has to be there.
    pub(crate) fn needed(&self, key: &str) -> Result<Located<String>, Refused> {
        self.text(key)?.ok_or_else(|| self.refuse(format!("{}: `{key}` is missing", self.what)))
    }

    /// Returns a list of strings.
    pub(crate) fn texts(&self, key: &str) -> Result<Option<Vec<Located<String>>>, Refused> {
        let Some(found) = self.get(key) else { return Ok(None) };
        let wanted = "a list of strings";
        let list = found.get_ref().as_array().ok_or_else(|| self.wrong(key, found, wanted))?;
        let texts = list.iter().map(|element| match element.get_ref() {
            DeValue::String(text) => Ok(Located { value: text.as_ref().to_owned(), at: element.span() }),
            _ => Err(self.wrong(key, element, wanted)),
        });
        texts.collect::<Result<_, _>>().map(Some)
    }

    /// Returns true or false.
    pub(crate) fn flag(&self, key: &str) -> Result<Option<Located<bool>>, Refused> {
        self.get(key)
            .map(|found| match found.get_ref() {
                DeValue::Boolean(flag) => Ok(Located { value: *flag, at: found.span() }),
                _ => Err(self.wrong(key, found, "true or false")),
            })
            .transpose()
    }

    /// Returns a whole number within bounds.
    pub(crate) fn count(&self, key: &str, bounds: Range<u32>) -> Result<Option<Located<u32>>, Refused> {
        let Some(found) = self.get(key) else { return Ok(None) };
        let wanted = format!("a whole number from {} to {}", bounds.start, bounds.end.saturating_sub(1));
        let number = whole(found.get_ref()).ok_or_else(|| self.wrong(key, found, &wanted))?;
        match u32::try_from(number).ok().filter(|number| bounds.contains(number)) {
            Some(value) => Ok(Some(Located { value, at: found.span() })),
            None => {
                let reason = format!("{}: `{key}` must be {wanted}, not {number}", self.what);
                Err(self.document.refuse(found.span().start, reason))
            }
        }
    }

    /// Returns any value as JSON.
    pub(crate) fn json(&self, key: &str) -> Result<Option<Located<Value>>, Refused> {
        let Some(found) = self.get(key) else { return Ok(None) };
        match json(found.get_ref()) {
            Some(value) => Ok(Some(Located { value, at: found.span() })),
            None => Err(self.wrong(key, found, "made of what JSON can express (no dates, no infinite numbers)")),
        }
    }

    /// Returns the tables of `[[key]]`, each called by `what` and its number.
    pub(crate) fn tables(&self, key: &str, what: &str) -> Result<Vec<Table<'a>>, Refused> {
        let Some(found) = self.get(key) else { return Ok(Vec::new()) };
        let wanted = format!("one or more [[{key}]] tables");
        let list = found.get_ref().as_array().ok_or_else(|| self.wrong(key, found, &wanted))?;
        let tables = list.iter().enumerate().map(|(index, element)| match element.get_ref() {
            DeValue::Table(table) => Ok(Table {
                document: self.document,
                table: table.clone(),
                what: format!("{what} {}", index + 1),
                at: element.span(),
            }),
            _ => Err(self.wrong(key, element, &wanted)),
        });
        tables.collect()
    }

    /// Calls the table by a better name from here on.
    pub(crate) fn rename(&mut self, what: String) {
        self.what = what;
    }

    /// What people call the table.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// The file it is part of.
    pub(crate) const fn document(&self) -> Document<'a> {
        self.document
    }
}

fn word(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn whole(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn json(value: &DeValue<'_>) -> Option<Value> {
    Some(match value {
        DeValue::String(text) => Value::String(text.as_ref().to_owned()),
        DeValue::Integer(_) => Value::from(whole(value)?),
        DeValue::Float(number) => Value::Number(serde_json::Number::from_f64(number.as_str().parse().ok()?)?),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(_) => return None,
        DeValue::Array(list) => {
            Value::Array(list.iter().map(|element| json(element.get_ref())).collect::<Option<_>>()?)
        }
        DeValue::Table(table) => Value::Object(
            table
                .iter()
                .map(|(key, element)| Some((key.get_ref().as_ref().to_owned(), json(element.get_ref())?)))
                .collect::<Option<_>>()?,
        ),
    })
}
