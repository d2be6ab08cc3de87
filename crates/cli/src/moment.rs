//! Times as people say them: spans, moments to come, and deadlines on the command line.

use crate::{REFUSED, client::Trouble};
use serde_json::Value;
use std::process::Command;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

/// Says how long something takes, in the two largest units that matter.
pub(crate) fn span(ms: i64) -> String {
    let seconds = ms / 1_000;
    match ms {
        ..1_000 => format!("{} ms", ms.max(0)),
        1_000..60_000 => format!("{seconds}.{} s", ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600_000..86_400_000 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// Says when a moment of an answer comes (`in 8 min 0 s`); none when it is not there or over.
pub(crate) fn to_come(answer: &Value, field: &str, now: OffsetDateTime) -> Option<String> {
    let moment = OffsetDateTime::parse(answer.get(field)?.as_str()?, &Rfc3339).ok()?;
    let ms = i64::try_from((moment - now).whole_milliseconds()).ok()?;
    // Fractions of a second that is still to come are of no use to anybody.
    let ms = if ms < 60_000 { ms.max(0).saturating_add(999) / 1_000 * 1_000 } else { ms };
    (ms > 0).then(|| format!("in {}", span(ms).replace(".0 s", " s")))
}

/// Reads a deadline: a span from now (`2h`, `90m`, `1d12h`), a local time (`2026-11-22T09:00`), or one with its zone
/// (RFC 3339). What is none of these is left to the server, which says what would be right.
///
/// # Errors
/// When the clock of this machine cannot say what its local time is.
pub(crate) fn deadline(text: &str, now: OffsetDateTime) -> Result<String, Trouble> {
    let text = text.trim();
    if let Some(span) = span_of(text) {
        let moment = now.checked_add(span).and_then(|moment| moment.replace_nanosecond(0).ok()?.format(&Rfc3339).ok());
        return moment.ok_or_else(|| Trouble::new(REFUSED, format!("--deadline {text} is too far away")));
    }
    match local(text) {
        Some(local) => with_zone(&local),
        None => Ok(text.to_owned()),
    }
}

fn span_of(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut all = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let (number, after) = rest.split_at_checked(digits)?;
        let number: i64 = number.parse().ok()?;
        let unit = after.chars().next()?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return None,
        };
        all = all.checked_add(Duration::seconds(number.checked_mul(seconds)?))?;
        rest = after.get(unit.len_utf8()..)?;
    }
    (all > Duration::ZERO).then_some(all)
}

/// Takes a date and a time without a zone, and returns them as `date` reads them.
fn local(text: &str) -> Option<String> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let fits = |text: &str, pattern: &str| {
        text.len() == pattern.len()
            && text
                .bytes()
                .zip(pattern.bytes())
                .all(|(letter, sign)| if sign == b'0' { letter.is_ascii_digit() } else { letter == sign })
    };
    let is_local = fits(date, "0000-00-00") && (fits(time, "00:00") || fits(time, "00:00:00"));
    is_local.then(|| format!("{date} {time}"))
}

/// Asks the machine's `date`, which knows every zone and its summer times.
fn with_zone(local: &str) -> Result<String, Trouble> {
    let asked = Command::new("date").args(["-d", local, "+%Y-%m-%dT%H:%M:%S%:z"]).output();
    let said = asked.ok().filter(|out| out.status.success()).and_then(|out| String::from_utf8(out.stdout).ok());
    said.map(|text| text.trim().to_owned()).filter(|text| OffsetDateTime::parse(text, &Rfc3339).is_ok()).ok_or_else(|| {
        let words = format!("--deadline {local}: this machine cannot say which moment that is; write its zone, such as 2026-11-22T09:00:00+09:00");
        Trouble::new(REFUSED, words)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-22 09:00 UTC);

    #[test]
    fn deadlines_are_read_as_people_write_them() {
        for (text, expected) in [
            ("2h", "2026-11-22T11:00:00Z"),
            ("90m", "2026-11-22T10:30:00Z"),
            ("+1d12h", "2026-11-23T21:00:00Z"),
            (" 30s ", "2026-11-22T09:00:30Z"),
            ("2026-11-22T09:00:00+09:00", "2026-11-22T09:00:00+09:00"),
            ("내일", "내일"),
            ("2h3", "2h3"),
            ("0h", "0h"),
            ("h", "h"),
            ("2026-1-2T3:4", "2026-1-2T3:4"),
        ] {
            assert_eq!(deadline(text, NOW).unwrap(), expected, "{text}");
        }
        let local = deadline("2026-11-22T09:00", NOW).unwrap();
        assert!(local.starts_with("2026-11-22T09:00:00") && OffsetDateTime::parse(&local, &Rfc3339).is_ok(), "{local}");
        assert!(deadline("2026-13-40 09:00", NOW).is_err());
        for absurd in ["99999999999d", "9999999999999999999w", "300000000d"] {
            assert!(deadline(absurd, NOW).is_err() || deadline(absurd, NOW).unwrap() == absurd, "{absurd}");
        }
    }

    #[test]
    fn spans_have_two_units() {
        for (ms, expected) in [
            (-1, "0 ms"),
            (950, "950 ms"),
            (1_250, "1.2 s"),
            (61_000, "1 min 1 s"),
            (7_500_000, "2 h 5 min"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(span(ms), expected);
        }
        let soon =
            json!({ "at": "2026-11-22T09:08:00Z", "past": "2026-11-22T08:59:59Z", "next": "2026-11-22T09:00:00.5Z" });
        assert_eq!(to_come(&soon, "at", NOW).as_deref(), Some("in 8 min 0 s"));
        assert_eq!(to_come(&soon, "next", NOW).as_deref(), Some("in 1 s"));
        assert_eq!((to_come(&soon, "past", NOW), to_come(&soon, "none", NOW)), (None, None));
    }
}
