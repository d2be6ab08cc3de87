//! Streams cut at every byte, in all three line endings.

use super::*;

fn events(chunks: &[&[u8]]) -> (Vec<Event>, Vec<u8>) {
    let mut parser = Parser::default();
    let mut events = Vec::new();
    for chunk in chunks {
        parser.feed(chunk, &mut events).unwrap();
    }
    let stray = parser.end(&mut events);
    (events, stray)
}

fn event(name: &str, data: &str) -> Event {
    Event { name: name.to_owned(), data: data.to_owned() }
}

#[test]
fn a_stream_may_be_cut_anywhere() {
    let stream = "\u{feff}: keep-alive\n\nevent: delta\ndata: {\"text\":\"애견호텔 🐕\"}\n\n: OPENROUTER PROCESSING\n\
        id: 7\nretry: 10\ndata:first\ndata: second\ndata\n\nevent: ping\n\ndata:  두 칸\n\n\n\ndata: [DONE]\n\n";
    let expected = [
        event("delta", "{\"text\":\"애견호텔 🐕\"}"),
        event("", "first\nsecond\n"),
        event("", " 두 칸"),
        event("", "[DONE]"),
    ];
    for ending in ["\n", "\r\n", "\r"] {
        let bytes = stream.replace('\n', ending).into_bytes();
        for size in 1..=bytes.len() {
            let chunks: Vec<&[u8]> = bytes.chunks(size).collect();
            assert_eq!(events(&chunks), (expected.to_vec(), Vec::new()), "{ending:?} in pieces of {size}");
        }
        for at in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(at);
            assert_eq!(events(&[head, b"", tail]).0, expected, "{ending:?} cut at {at}");
        }
    }
}

#[test]
fn the_end_gives_what_is_left() {
    assert_eq!(events(&[b"data: last"]).0, [event("", "last")]);
    assert_eq!(events(&[b"event: e\r\ndata: last\r"]).0, [event("e", "last")]);
    let (none, stray) = events(&[b"{\"error\":\n", b"{\"code\":503}}"]);
    assert_eq!((none.len(), stray.as_slice()), (0, b"{\"error\":\n{\"code\":503}}\n".as_slice()));
    let (none, stray) = events(&[b": only a comment\n\n\n"]);
    assert!(none.is_empty() && stray.is_empty());
}

#[test]
fn bytes_that_are_no_text_do_no_harm() {
    assert_eq!(events(&[b"data: a\xFF\xFEb\n\n"]).0, [event("", "a\u{fffd}\u{fffd}b")]);
}

#[test]
fn an_endless_event_is_refused() {
    let mut parser = Parser::default();
    let mut events = Vec::new();
    let piece = vec![b'x'; 1 << 20];
    parser.feed(b"data: ", &mut events).unwrap();
    let taken = std::iter::repeat_with(|| parser.feed(&piece, &mut events)).take_while(Result::is_ok).count();
    assert_eq!(taken, 15, "the sixteenth MiB, with its field's name, is above the cap");
    let mut parser = Parser::default();
    let line = [b"data: ".as_slice(), &piece, b"\n"].concat();
    let taken = std::iter::repeat_with(|| parser.feed(&line, &mut events)).take(20).take_while(Result::is_ok).count();
    assert!(taken < 17, "many lines of one event count together");
}
