//! How long a provider asks to be left alone, in the four ways they say it.
//! Refuses to decide whether that is worth waiting for.

use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;
use std::time::Duration;
use time::{OffsetDateTime, PrimitiveDateTime, format_description::BorrowedFormatItem, macros::format_description};

/// The longest delay that is believed; anything above is a mistake of the server.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
const HTTP_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// Reads `retry-after-ms`, then `retry-after` (seconds or an HTTP date), then Gemini's `RetryInfo`.
pub(crate) fn asked(headers: &HeaderMap, details: Option<&Value>, now: OffsetDateTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    text("retry-after-ms")
        .and_then(|millis| millis.parse::<f64>().ok())
        .and_then(|millis| Duration::try_from_secs_f64(millis / 1000.0).ok())
        .or_else(|| text(RETRY_AFTER.as_str()).and_then(|value| retry_after(value, now)))
        .or_else(|| details.and_then(retry_info))
        .map(|delay| delay.min(LONGEST))
}

fn retry_after(value: &str, now: OffsetDateTime) -> Option<Duration> {
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let at = PrimitiveDateTime::parse(value, HTTP_DATE).ok()?.assume_utc();
    // A date that has passed means "now".
    Some(Duration::try_from(at - now).unwrap_or(Duration::ZERO))
}

/// Finds `{"@type": "…RetryInfo", "retryDelay": "46s"}` among an error's details.
fn retry_info(details: &Value) -> Option<Duration> {
    details.as_array()?.iter().find_map(|detail| {
        let seconds = detail.get("retryDelay")?.as_str()?.strip_suffix('s')?;
        Duration::try_from_secs_f64(seconds.parse().ok()?).ok()
    })
}

/// Tells whether the server said outright that trying again is, or is not, of use.
pub(crate) fn should_retry(headers: &HeaderMap) -> Option<bool> {
    match headers.get("x-should-retry")?.to_str().ok()?.trim() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-20 12:00:00 UTC);

    #[test]
    fn every_form_of_delay_is_read() {
        type Case = (&'static [(&'static str, &'static str)], Value, Option<u64>);
        let cases: &[Case] = &[
            (&[("retry-after-ms", "1500")], Value::Null, Some(1500)),
            (&[("retry-after-ms", "12.5")], Value::Null, Some(12)),
            (&[("retry-after-ms", "20"), ("retry-after", "9")], Value::Null, Some(20)),
            (&[("retry-after", "9")], Value::Null, Some(9000)),
            (&[("retry-after", "0.25")], Value::Null, Some(250)),
            (&[("retry-after", "Fri, 20 Nov 2026 12:00:07 GMT")], Value::Null, Some(7000)),
            (&[("retry-after", "Fri, 20 Nov 2026 11:00:00 GMT")], Value::Null, Some(0)),
            (&[("retry-after", "soon")], Value::Null, None),
            (&[("retry-after", "-3")], Value::Null, None),
            (&[("retry-after", "NaN")], Value::Null, None),
            (&[("retry-after", "1e300")], Value::Null, None),
            (&[("retry-after", "9999999")], Value::Null, Some(86_400_000)),
            (
                &[],
                json!([{"@type": "x"}, {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "46.5s"}]),
                Some(46_500),
            ),
            (&[], json!([{"retryDelay": 3}]), None),
            (&[], json!({}), None),
        ];
        for (headers, details, millis) in cases {
            let map = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            let got = asked(&map, Some(details), NOW).map(|delay| delay.as_millis());
            assert_eq!(got, millis.map(u128::from), "{headers:?} {details}");
        }
    }

    #[test]
    fn should_retry_is_a_word() {
        for (word, expected) in [("true", Some(true)), ("false", Some(false)), ("maybe", None)] {
            let map = [("x-should-retry".parse().unwrap(), word.parse().unwrap())].into_iter().collect();
            assert_eq!(should_retry(&map), expected);
        }
    }
}
