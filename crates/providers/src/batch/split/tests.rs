//! Items cut out of bytes that arrive in any pieces.

use super::*;

/// Feeds `bytes` in pieces of `size`; gives the items (those too long end in `…`) and how it ended.
fn split(mut split: Split, bytes: &[u8], size: usize) -> (Vec<String>, String) {
    let mut items = Vec::new();
    for piece in bytes.chunks(size) {
        split.feed(Bytes::copy_from_slice(piece));
        while let Some(item) = split.next() {
            items.push(match item {
                Item::Whole(item) => String::from_utf8(item.to_vec()).unwrap(),
                Item::TooLong(head) => format!("{}…", String::from_utf8_lossy(head)),
            });
        }
    }
    let end = match split.end() {
        End::Clean => "clean".to_owned(),
        End::Cut => "cut".to_owned(),
        End::Open(line) => String::from_utf8_lossy(line).into_owned(),
    };
    (items, end)
}

fn check(make: fn() -> Split, text: &str, items: &[&str], end: &str) {
    for size in 1..=text.len() {
        let (got, ended) = split(make(), text.as_bytes(), size);
        assert_eq!(
            (got.iter().map(String::as_str).collect::<Vec<_>>(), ended.as_str()),
            (items.to_vec(), end),
            "{size}"
        );
    }
}

#[test]
fn lines_end_in_either_way() {
    check(Split::lines, "{\"가\":1}\n{\"나\":2}\r\n\r\n \n{}\n", &["{\"가\":1}", "{\"나\":2}", "{}"], "clean");
    check(Split::lines, "\u{feff}{}\n{\"half", &["{}"], "{\"half");
    check(Split::lines, "{}\n{}", &["{}"], "{}");
    check(Split::lines, "\n", &[], "clean");
}

#[test]
fn a_line_above_the_cap_costs_no_more_than_the_cap() {
    let make = || Split::capped(64, None);
    let long = "가".repeat(30);
    check(
        make,
        &format!("{{\"a\":1}}\n{long}\n{{\"b\":2}}\n"),
        &["{\"a\":1}", &format!("{long}…"), "{\"b\":2}"],
        "clean",
    );
    let mut split = Split::capped(1000, None);
    split.feed(Bytes::from(vec![b'x'; 1 << 20]));
    assert_eq!(split.next(), None);
    split.feed(Bytes::from_static(b"\n{}\n"));
    assert!(matches!(split.next(), Some(Item::TooLong(head)) if head.len() == HEAD));
    assert_eq!(split.next(), Some(Item::Whole(b"{}")));
}

#[test]
fn elements_of_the_one_array() {
    let elements = r#"[ {"metadata":{"key":"a"},"response":{"t":"}],\"inlinedResponses\":[{\\"}} ,{"k":[[{}]]},
        {"error":{"message":"안 됨 \" ]"}}]"#;
    let expected = [
        r#"{"metadata":{"key":"a"},"response":{"t":"}],\"inlinedResponses\":[{\\"}}"#,
        r#"{"k":[[{}]]}"#,
        r#"{"error":{"message":"안 됨 \" ]"}}"#,
    ];
    // Gemini says everything twice; once is enough.
    let doubled = format!(
        r#"{{"name":"batches/1","metadata":{{"x":[{{"y":["inlinedResponses"]}}],"output":{{"inlinedResponses":{{"inlinedResponses":{elements}}}}}}},"done":true,"response":{{"inlinedResponses":{{"inlinedResponses":{elements}}}}}}}"#
    );
    check(Split::array, &doubled, &expected, "clean");
    let snake = format!(r#"{{"response":{{"inlined_responses" : {elements}}}}}"#);
    check(Split::array, &snake, &expected, "clean");
    check(Split::array, r#"{"response":{"inlinedResponses":[]},"a":[{}]}"#, &[], "clean");
    check(Split::array, r#"{"response":{},"a":[{}]}"#, &[], "clean");
    check(Split::array, r#"{"inlinedResponses":[{"a":1},{"b":"#, &[r#"{"a":1}"#], "cut");
}
