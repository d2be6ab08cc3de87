//! Reads single values that providers write in more than one way: a number as a string, `""` for
//! nothing, a time as seconds or as RFC 3339. Refuses nothing: what makes no sense counts as absent.

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use std::fmt;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Reads a text; `null`, `""` and anything else than a text is none.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Scalar::deserialize(deserializer)? {
        Scalar::Text(text) if !text.is_empty() => Some(text),
        _ => None,
    })
}

/// Reads a text or a number as a text.
pub(super) fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Scalar::deserialize(deserializer)? {
        Scalar::Text(text) if !text.is_empty() => Some(text),
        Scalar::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// Reads a whole number from 0 to 2³² - 1, written as a number or as a string.
pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    Ok(match Scalar::deserialize(deserializer)? {
        Scalar::Number(number) => u32::try_from(number).ok(),
        Scalar::Text(text) => text.parse().ok(),
        Scalar::Nothing => None,
    })
}

/// Reads a time: seconds since 1970 or RFC 3339.
pub(super) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<OffsetDateTime>, D::Error> {
    let of_seconds = |seconds| OffsetDateTime::from_unix_timestamp(seconds).ok();
    Ok(match Scalar::deserialize(deserializer)? {
        // A time that has not come is 0 with some servers.
        Scalar::Number(seconds) if seconds > 0 => of_seconds(seconds),
        Scalar::Text(text) => OffsetDateTime::parse(&text, &Rfc3339).ok().or_else(|| of_seconds(text.parse().ok()?)),
        Scalar::Number(_) | Scalar::Nothing => None,
    })
}

enum Scalar {
    Nothing,
    Text(String),
    Number(i64),
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Scalar, E> {
        Ok(Scalar::Text(text))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
        Ok(i64::try_from(number).map_or(Scalar::Nothing, Scalar::Number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Scalar, E> {
        Ok(format!("{number:.0}").parse().map_or(Scalar::Nothing, Scalar::Number))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Scalar, E> {
        Ok(Scalar::Nothing)
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Nothing)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Scalar, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::time::macros::datetime;

    #[derive(Deserialize)]
    struct Row {
        #[serde(default, deserialize_with = "text")]
        text: Option<String>,
        #[serde(default, deserialize_with = "word")]
        word: Option<String>,
        #[serde(default, deserialize_with = "count")]
        count: Option<u32>,
        #[serde(default, deserialize_with = "time")]
        time: Option<OffsetDateTime>,
    }

    fn row(json: &str) -> Row {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn every_spelling_is_read() {
        let full = row(r#"{"text":"a","word":429,"count":"17","time":1795132800}"#);
        assert_eq!((full.text.as_deref(), full.word.as_deref(), full.count), (Some("a"), Some("429"), Some(17)));
        assert_eq!(full.time, Some(datetime!(2026-11-20 00:00:00 UTC)));
        for time in [r#""2026-11-20T09:00:00.123456789+09:00""#, r#""1795132800""#, "1795132800.4"] {
            let read = row(&format!(r#"{{"time":{time}}}"#)).time.unwrap();
            assert_eq!(read.unix_timestamp(), 1_795_132_800, "{time}");
        }
        for nothing in ["null", "\"\"", "[1,{}]", "{\"a\":[1]}", "false"] {
            let json = format!(r#"{{"text":{nothing},"word":{nothing},"count":{nothing},"time":{nothing}}}"#);
            let row = row(&json);
            assert!(row.text.is_none() && row.word.is_none() && row.count.is_none() && row.time.is_none(), "{json}");
        }
        let absurd = row(r#"{"text":7,"count":-1,"time":0}"#);
        assert!(absurd.text.is_none() && absurd.count.is_none() && absurd.time.is_none());
        assert!(row("{}").text.is_none());
    }
}
