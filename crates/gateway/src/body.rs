//! Reads request bodies: how large, of what type, how slow, and whether they are JSON at all.
//! Refuses to know what the fields mean.

use crate::{
    error::{Code, Problem, Wrong},
    fields::Fields,
};
use actix_web::{
    HttpRequest,
    http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
    web::{Bytes, BytesMut, Payload},
};
use futures_util::StreamExt;
use serde_json::Value;
use std::time::Duration;

/// The largest body that is read, in bytes.
pub(crate) const MAX_BODY: usize = 1024 * 1024;
/// How much of a too large body is read and thrown away, so that its sender gets to read the refusal.
const MAX_DRAINED: usize = 16 * 1024 * 1024;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(20);

/// Reads a JSON object.
///
/// # Errors
/// 400 with line and column, 408, 413, 415, 422 when the JSON is not an object.
pub(crate) async fn object(request: &HttpRequest, payload: Payload) -> Result<(Bytes, Fields), Problem> {
    let bytes = read(request, payload, "application/json").await?;
    let value = parse(&bytes)?;
    Ok((bytes, Fields::of_json(value)?))
}

/// Reads a JSON object; no body at all is the empty object.
///
/// # Errors
/// As [`object`].
pub(crate) async fn object_or_nothing(request: &HttpRequest, payload: Payload) -> Result<(Bytes, Fields), Problem> {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let typed = request.headers().contains_key(CONTENT_TYPE);
    if !typed && length.is_none_or(|length| length == "0") && !request.headers().contains_key("transfer-encoding") {
        return Ok((Bytes::new(), Fields::nothing()));
    }
    let bytes = read(request, payload, "application/json").await?;
    if bytes.is_empty() {
        return Ok((bytes, Fields::nothing()));
    }
    let value = parse(&bytes)?;
    Ok((bytes, Fields::of_json(value)?))
}

/// Reads UTF-8 text of the given media type.
///
/// # Errors
/// 400 with line and column, 408, 413, 415.
pub(crate) async fn text(request: &HttpRequest, payload: Payload, media: &str) -> Result<(Bytes, String), Problem> {
    let bytes = read(request, payload, media).await?;
    let text = utf8(&bytes)?.to_owned();
    if let Some(at) = text.find('\0') {
        let (line, column) = place(bytes.get(..at).unwrap_or_default());
        return Err(Problem::new(
            Code::BadRequest,
            format!("A NUL character at line {line} column {column} cannot be kept."),
        ));
    }
    Ok((bytes, text))
}

async fn read(request: &HttpRequest, mut payload: Payload, media: &str) -> Result<Bytes, Problem> {
    let announced = announced_length(request)?;
    check_type(request, media)?;
    let reading = async {
        let mut body = BytesMut::with_capacity(announced.unwrap_or(0).min(MAX_BODY));
        let mut seen = 0_usize;
        let mut too_large = announced.is_some_and(|length| length > MAX_BODY);
        while let Some(chunk) = payload.next().await {
            let chunk = chunk
                .map_err(|error| Problem::new(Code::BadRequest, format!("The body could not be read: {error}.")))?;
            seen = seen.saturating_add(chunk.len());
            too_large |= seen > MAX_BODY;
            if !too_large {
                body.extend_from_slice(&chunk);
            } else if seen > MAX_DRAINED {
                break;
            }
        }
        if too_large { Err(too_large_problem()) } else { Ok(body.freeze()) }
    };
    match tokio::time::timeout(BODY_TIME, reading).await {
        Ok(read) => read,
        Err(_) => Err(Problem::new(
            Code::BodyTimeout,
            format!("The body did not arrive within {} seconds.", BODY_TIME.as_secs()),
        )),
    }
}

fn too_large_problem() -> Problem {
    Problem::new(Code::TooLarge, format!("A body may have {MAX_BODY} bytes.")).with_fact("max_bytes", MAX_BODY)
}

fn announced_length(request: &HttpRequest) -> Result<Option<usize>, Problem> {
    let Some(value) = request.headers().get(CONTENT_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.parse::<u64>().ok());
    let length = length.ok_or_else(|| Problem::new(Code::InvalidHeader, "Content-Length is not a number."))?;
    Ok(Some(usize::try_from(length).unwrap_or(usize::MAX)))
}

/// Takes `media` itself and, for JSON, every `+json` type; a charset must be UTF-8.
fn check_type(request: &HttpRequest, media: &str) -> Result<(), Problem> {
    if let Some(encoding) = request.headers().get(CONTENT_ENCODING)
        && encoding.as_bytes() != b"identity"
    {
        return Err(Problem::new(Code::WrongContentType, "Compressed bodies are not taken; send the plain one."));
    }
    let given = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = given.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
    let right =
        kind == media || (media == "application/json" && kind.starts_with("application/") && kind.ends_with("+json"));
    let charset_right = parts
        .filter_map(|part| part.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
        .all(|(_, charset)| {
            let charset = charset.trim().trim_matches('"');
            charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8")
        });
    if right && charset_right {
        return Ok(());
    }
    let got = if given.is_empty() { "no Content-Type".to_owned() } else { format!("Content-Type {given:?}") };
    Err(Problem::new(Code::WrongContentType, format!("Got {got}.")).with_error(Wrong::new(
        "Content-Type",
        "not taken here",
        format!("{media}; charset=utf-8"),
    )))
}

fn utf8(bytes: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(bytes).map_err(|error| {
        let (line, column) = place(bytes.get(..error.valid_up_to()).unwrap_or_default());
        Problem::new(Code::InvalidJson, format!("Not UTF-8 at line {line} column {column}."))
            .with_fact("line", line)
            .with_fact("column", column)
    })
}

/// Returns the line and the column, from 1, of the byte after `before`.
fn place(before: &[u8]) -> (usize, usize) {
    let line = before.iter().filter(|byte| **byte == b'\n').count();
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count();
    (line.saturating_add(1), column.saturating_add(1))
}

fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    let text = utf8(bytes)?;
    let value: Value = serde_json::from_str(text).map_err(|error| {
        Problem::new(Code::InvalidJson, format!("{error}."))
            .with_fact("line", error.line())
            .with_fact("column", error.column())
    })?;
    // Postgres keeps no NUL in text or jsonb. Only an escape can bring one in, so most bodies are not walked.
    if text.contains("\\u0000") {
        let mut wrong = Vec::new();
        find_nul(&value, "", &mut wrong);
        if !wrong.is_empty() {
            return Err(Problem::invalid(wrong));
        }
    }
    Ok(value)
}

fn find_nul(value: &Value, path: &str, wrong: &mut Vec<Wrong>) {
    const EXPECTED: &str = "text without the character U+0000";
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::String(text) if text.contains('\0') => {
            wrong.push(Wrong::new(path, "has a NUL character", EXPECTED));
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                find_nul(item, &below(&index.to_string()), wrong);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                if name.contains('\0') {
                    wrong.push(Wrong::new(path, "has a member whose name has a NUL character", EXPECTED));
                }
                find_nul(member, &below(&name.replace('\0', "\u{fffd}")), wrong);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_from_one() {
        assert_eq!(place(b""), (1, 1));
        assert_eq!(place(b"{\n  "), (2, 3));
    }

    #[test]
    fn nul_is_found_wherever_it_hides_and_an_escaped_backslash_is_not_one() {
        let problem = parse(br#"{"title":"a\u0000","result":{"list":["x","\u0000"]}}"#).expect_err("NUL");
        let body = problem.body("r");
        assert_eq!(body["errors"][0]["field"], "title");
        assert_eq!(body["errors"][1]["field"], "result.list.1");
        assert!(parse(br#"{"title":"\\u0000"}"#).is_ok());
    }

    #[test]
    fn bad_json_is_named_with_its_place() {
        let problem = parse("{\n \"제목\": }".as_bytes()).expect_err("bad");
        assert_eq!(problem.body("r")["line"], 2);
        let deep = "[".repeat(100_000);
        assert_eq!(parse(deep.as_bytes()).expect_err("deep").code(), Code::InvalidJson);
        assert_eq!(parse(b"{\"a\":\"\xff\"}").expect_err("utf8").code(), Code::InvalidJson);
    }
}
