//! Lines become a body of exactly the bytes that were promised, or no whole body.

use super::*;
use futures_util::TryStreamExt;

fn line(custom_id: &str, body: &str) -> BatchLine {
    BatchLine { custom_id: custom_id.to_owned(), body: body.to_owned() }
}

fn array() -> Frame {
    Frame {
        id: "custom_id",
        end: b',',
        ends_last: false,
        before: Bytes::from_static(b"{\"requests\":["),
        after: Bytes::from_static(b"]}"),
    }
}

fn spec(frame: &Frame, lines: &[BatchLine]) -> BatchSpec {
    let bytes = lines.iter().map(|line| frame.line(line.custom_id.len(), line.body.len()));
    BatchSpec {
        token: "token-001".to_owned(),
        model: None,
        items: u32::try_from(lines.len()).unwrap(),
        bytes: u64::try_from(bytes.sum::<usize>()).unwrap(),
    }
}

fn writing(frame: Frame, spec: &BatchSpec, lines: Vec<BatchLine>) -> Writing {
    Writing::new(frame, spec, Box::pin(stream::iter(lines.into_iter().map(Ok))))
}

#[tokio::test]
async fn a_body_has_the_bytes_that_were_promised() {
    let lines =
        vec![line("t-001-000000", r#"{"params":{"글":"겨울 예약"}}"#), line("t-001-000001", r#"{"params":{}}"#)];
    let cases = [
        (
            Frame::file("key"),
            "{\"key\":\"t-001-000000\",\"params\":{\"글\":\"겨울 예약\"}}\n{\"key\":\"t-001-000001\",\"params\":{}}\n",
        ),
        (
            array(),
            "{\"requests\":[{\"custom_id\":\"t-001-000000\",\"params\":{\"글\":\"겨울 예약\"}},\
             {\"custom_id\":\"t-001-000001\",\"params\":{}}]}",
        ),
    ];
    for (frame, expected) in cases {
        let writing = writing(frame.clone(), &spec(&frame, &lines), lines.clone());
        assert!(writing.is_untouched() && !writing.is_whole());
        let body: Vec<Bytes> = writing.pieces().try_collect().await.unwrap();
        assert_eq!(String::from_utf8(body.concat()).unwrap(), expected);
        assert_eq!(writing.length(), u64::try_from(expected.len()).unwrap());
        assert!(writing.is_whole() && !writing.is_untouched());
        assert!(writing.trouble("p").is_none());
        assert!(writing.pieces().try_collect::<Vec<_>>().await.is_err(), "the lines are gone");
    }
}

#[tokio::test]
async fn pieces_are_large_and_few() {
    let lines: Vec<BatchLine> =
        (0..5000).map(|n| line(&format!("t-{n:06}"), &format!("{{\"a\":\"{n:0200}\"}}"))).collect();
    let spec = spec(&Frame::file("custom_id"), &lines);
    let pieces: Vec<Bytes> = writing(Frame::file("custom_id"), &spec, lines).pieces().try_collect().await.unwrap();
    assert_eq!(pieces.iter().map(|piece| u64::try_from(piece.len()).unwrap()).sum::<u64>(), spec.bytes);
    let (last, others) = pieces.split_last().unwrap();
    assert!(others.iter().all(|piece| (PIECE..PIECE + 300).contains(&piece.len())) && last.len() < PIECE + 300);
}

#[tokio::test]
async fn what_was_not_promised_never_becomes_whole() {
    let good = vec![line("t-000000", "{\"a\":1}"), line("t-000001", "{\"b\":22}")];
    let frame = Frame::file("custom_id");
    let right = spec(&frame, &good);
    let cases: &[(BatchSpec, Vec<BatchLine>, &str)] = &[
        (right.clone(), good[..1].to_vec(), "1 lines of 31 bytes were read of the promised 2 of 63"),
        (right.clone(), [good.clone(), good.clone()].concat(), "t-000000 is in the batch twice"),
        (right.clone(), vec![good[0].clone(), line("t-000001", "{\"b\":1}")], "2 lines of 62 bytes"),
        (right.clone(), vec![good[0].clone(), line("t-000001", "{\"b\":333}")], "more than the promised 2 lines"),
        (BatchSpec { items: 1, ..right.clone() }, good.clone(), "more than the promised 1 lines"),
        (right.clone(), vec![line("t 1", "{\"a\":1}")], "\"t 1\" is no custom_id"),
        (right.clone(), vec![line("", "{\"a\":1}")], "\"\" is no custom_id"),
        (right.clone(), vec![line(&"t".repeat(65), "{\"a\":1}")], "is no custom_id"),
        (right.clone(), vec![line("t", "{\"a\":1")], "not one line of JSON"),
        (right.clone(), vec![line("t", "[1]")], "not one line of JSON"),
        (right.clone(), vec![line("t", "{}")], "not one line of JSON"),
        (right, vec![line("t", "{\"a\":\n1}")], "not one line of JSON"),
    ];
    for (spec, lines, reason) in cases {
        let writing = writing(frame.clone(), spec, lines.clone());
        let result: Result<Vec<Bytes>, _> = writing.pieces().try_collect().await;
        assert!(result.is_err() && !writing.is_whole(), "{reason}");
        let error = writing.trouble("openai").unwrap();
        assert!(error.reason.contains(reason) && error.class == Class::Fail, "{error} is not {reason}");
    }
    let broken: BatchLines =
        Box::pin(stream::iter([Ok(good[0].clone()), Err("no database key=sk-abcdef0123456789".into())]));
    let writing = Writing::new(frame.clone(), &spec(&frame, &good), broken);
    assert!(writing.pieces().try_collect::<Vec<_>>().await.is_err());
    let error = writing.trouble("openai").unwrap();
    assert_eq!(error.class, Class::Retry { after: None }, "the lines may be there the next time");
    assert_eq!(error.reason, "the lines of the batch broke off: no database key=[key]");
}
