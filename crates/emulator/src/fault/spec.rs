//! Reads faults as they are written. Refuses to guess: an unknown word is an error that names the known ones.

use std::time::Duration;

use super::effect::{Effect, Fault, NAMES};
use super::point::{POINTS, Point};

/// A fault with the conditions under which it is played.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) fault: Fault,
    pub(crate) times: Option<u32>,
    pub(crate) percent: Option<u64>,
    pub(crate) key: Option<String>,
    pub(crate) provider: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) matching: Option<String>,
    /// Where alone it is played; none = where its name is at home.
    pub(crate) at: Option<Point>,
}

/// Why a fault could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// No fault has that name.
    #[error("unknown fault '{name}'; known: a status from 400 to 599, {known}")]
    Name {
        /// What was written.
        name: String,
        /// All names.
        known: String,
    },
    /// No fault takes that parameter.
    #[error(
        "unknown parameter '{0}'; known: ms, after, type, times, percent, key, provider, model, match, at, retry-after, \
         retry-after-date, retry-after-ms, should-retry, retry-info, cache-read, cache-write, reasoning, done, line, \
         silent, committed"
    )]
    Parameter(String),
    /// A parameter's value is not what it must be.
    #[error("parameter '{name}' must be {expected}, not '{value}'")]
    Value {
        /// The parameter.
        name: String,
        /// What was written.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
}

/// Reads all faults of a text, in order.
pub(crate) fn read(text: &str) -> Result<Vec<Spec>, SpecError> {
    text.split('|').map(read_one).collect()
}

fn read_one(text: &str) -> Result<Spec, SpecError> {
    let mut words = text.split(';').map(str::trim).filter(|word| !word.is_empty());
    let name = words.next().unwrap_or_default();
    let mut spec = Spec {
        fault: Fault::new(effect(name)?),
        times: None,
        percent: None,
        key: None,
        provider: None,
        model: None,
        matching: None,
        at: None,
    };
    for word in words {
        let (name, value) = word.split_once('=').map_or((word, ""), |(name, value)| (name.trim(), value.trim()));
        set(&mut spec, &name.replace('_', "-"), value)?;
    }
    Ok(spec)
}

fn effect(name: &str) -> Result<Effect, SpecError> {
    let plain = name.replace('_', "-");
    if let Some((_, effect)) = NAMES.iter().find(|(known, _)| *known == plain) {
        return Ok(*effect);
    }
    match name.parse() {
        Ok(status @ 400..=599) => Ok(Effect::Status(status)),
        _ => Err(SpecError::Name {
            name: name.to_owned(),
            known: NAMES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "),
        }),
    }
}

fn set(spec: &mut Spec, name: &str, value: &str) -> Result<(), SpecError> {
    let fault = &mut spec.fault;
    match name {
        "ms" => fault.wait = Duration::from_millis(number(name, value)?),
        "after" => fault.after = usize::try_from(number(name, value)?).unwrap_or(usize::MAX),
        "type" => fault.kind = Some(value.to_owned()),
        "retry-after" => fault.retry_after = Some(value.to_owned()),
        "retry-after-date" => fault.retry_after_date = Some(i64::try_from(number(name, value)?).unwrap_or(i64::MAX)),
        "retry-after-ms" => fault.retry_after_ms = Some(value.to_owned()),
        "should-retry" => {
            fault.should_retry = Some(value.parse().map_err(|_| wrong(name, value, "true or false"))?);
        }
        "done" => match number(name, value)? {
            done @ 0..=100 => fault.done = Some(done),
            _ => return Err(wrong(name, value, "a number from 0 to 100")),
        },
        "line" => fault.line = Some(number(name, value)?),
        "silent" => fault.silent = value.parse().map_err(|_| wrong(name, value, "true or false"))?,
        "committed" => fault.committed = value.parse().map_err(|_| wrong(name, value, "true or false"))?,
        "retry-info" => fault.retry_info = Some(value.trim_end_matches('s').to_owned()),
        "cache-read" => fault.usage.cache_read = number(name, value)?,
        "cache-write" => fault.usage.cache_write = number(name, value)?,
        "reasoning" => fault.usage.reasoning = number(name, value)?,
        "times" => spec.times = Some(u32::try_from(number(name, value)?).unwrap_or(u32::MAX)),
        "percent" => match number(name, value)? {
            percent @ 0..=100 => spec.percent = Some(percent),
            _ => return Err(wrong(name, value, "a number from 0 to 100")),
        },
        "key" => spec.key = Some(value.to_owned()),
        "provider" => match value {
            "anthropic" | "openai" | "gemini" => spec.provider = Some(value.to_owned()),
            _ => return Err(wrong(name, value, "anthropic, openai or gemini")),
        },
        "model" => spec.model = Some(value.to_owned()),
        "match" => spec.matching = Some(value.to_owned()),
        "at" => match POINTS.iter().find(|(known, _)| *known == value) {
            Some((_, point)) => spec.at = Some(*point),
            None => {
                let expected = "ask, item, batch, upload, create, status, list, results, cancel, delete or files";
                return Err(wrong(name, value, expected));
            }
        },
        _ => return Err(SpecError::Parameter(name.to_owned())),
    }
    Ok(())
}

fn number(name: &str, value: &str) -> Result<u64, SpecError> {
    value.parse().map_err(|_| wrong(name, value, "a whole number"))
}

fn wrong(name: &str, value: &str, expected: &'static str) -> SpecError {
    SpecError::Value { name: name.to_owned(), value: value.to_owned(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_and_parameter_is_read() {
        for (name, effect) in NAMES {
            assert_eq!(read(name).unwrap().first().unwrap().fault.effect, *effect);
        }
        let specs = read("429; retry_after=1;times=2; key=가 | 529;percent=50;match=겨울; should-retry=false").unwrap();
        assert_eq!(specs[0].times, Some(2));
        assert_eq!(specs[0].key.as_deref(), Some("가"));
        assert_eq!(specs[0].fault.retry_after.as_deref(), Some("1"));
        assert_eq!(specs[1].fault.effect, Effect::Status(529));
        assert_eq!(specs[1].matching.as_deref(), Some("겨울"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(read("느림").unwrap_err().to_string().contains("unknown fault '느림'"));
        assert!(read("200").unwrap_err().to_string().contains("from 400 to 599"));
        assert!(read("429; tmes=2").unwrap_err().to_string().contains("unknown parameter 'tmes'"));
        assert!(read("429; times=two").unwrap_err().to_string().contains("must be a whole number"));
        assert!(read("429; percent=101").unwrap_err().to_string().contains("from 0 to 100"));
    }
}
