//! Keeps the beginning and the end of a stream in constant memory, and counts what it cut between.

use std::collections::VecDeque;

/// What was kept of one output stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    /// The beginning and the end, joined; all of it when nothing was cut.
    pub bytes: Vec<u8>,
    /// How many bytes were cut out.
    pub cut: u64,
    /// Where in `bytes` they were cut out.
    pub cut_at: usize,
}

impl Captured {
    /// Returns the stream as text. What is not UTF-8, and NUL, become U+FFFD; a line says what was cut.
    #[must_use]
    pub fn text(&self) -> String {
        let (head, tail) = self.bytes.split_at(self.cut_at.min(self.bytes.len()));
        let mut text = String::from_utf8_lossy(head).into_owned();
        if self.cut > 0 {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&format!("[… {} bytes cut …]\n", self.cut));
        }
        text.push_str(&String::from_utf8_lossy(tail));
        text.replace('\0', "\u{fffd}")
    }
}

/// Takes in a stream piece by piece.
#[derive(Debug)]
pub(crate) struct Capture {
    head_room: usize,
    tail_room: usize,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total: u64,
}

impl Capture {
    /// Keeps at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        let head_room = limit / 2;
        Self { head_room, tail_room: limit - head_room, head: Vec::new(), tail: VecDeque::new(), total: 0 }
    }

    /// Takes in the next piece.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.total = self.total.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        let (first, rest) = piece.split_at(piece.len().min(self.head_room - self.head.len()));
        self.head.extend_from_slice(first);
        let rest = rest.split_at(rest.len().saturating_sub(self.tail_room)).1;
        let surplus = (self.tail.len() + rest.len()).saturating_sub(self.tail_room);
        self.tail.drain(..surplus);
        self.tail.extend(rest);
    }

    /// Joins what was kept. A cut never falls inside a character.
    pub(crate) fn finish(self) -> Captured {
        let Self { mut head, tail, total, .. } = self;
        let tail = Vec::from(tail);
        let kept = |parts: usize| u64::try_from(parts).unwrap_or(u64::MAX);
        if kept(head.len() + tail.len()) == total {
            let cut_at = head.len() + tail.len();
            head.extend_from_slice(&tail);
            return Captured { bytes: head, cut: 0, cut_at };
        }
        head.truncate(whole_characters(&head));
        let tail = tail.split_at(tail.iter().take(3).take_while(|byte| is_continuation(**byte)).count()).1;
        let cut_at = head.len();
        head.extend_from_slice(tail);
        Captured { cut: total.saturating_sub(kept(head.len())), bytes: head, cut_at }
    }
}

const fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

/// Returns the length of `bytes` without a character begun at its end and not finished.
fn whole_characters(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(4) {
        let at = bytes.len() - back;
        let Some(byte) = bytes.get(at).copied() else { break };
        if is_continuation(byte) {
            continue;
        }
        let length = match byte {
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF7 => 4,
            _ => 1,
        };
        return if length > back { at } else { bytes.len() };
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(limit: usize, pieces: &[&[u8]]) -> Captured {
        let mut capture = Capture::new(limit);
        pieces.iter().for_each(|piece| capture.push(piece));
        capture.finish()
    }

    #[test]
    fn what_fits_is_kept_whole() {
        let whole = captured(10, &[b"0123", b"456", b"789"]);
        assert_eq!(whole, Captured { bytes: b"0123456789".to_vec(), cut: 0, cut_at: 10 });
        assert_eq!(whole.text(), "0123456789");
        assert_eq!(captured(0, &[]).text(), "");
    }

    #[test]
    fn beginning_and_end_stay() {
        let cut = captured(6, &[b"abcdef", b"ghijkl", b"mnopqrstuvwxyz"]);
        assert_eq!(cut.bytes, b"abcxyz");
        assert_eq!((cut.cut, cut.cut_at), (20, 3));
        assert_eq!(cut.text(), "abc\n[… 20 bytes cut …]\nxyz");
    }

    #[test]
    fn no_cut_falls_inside_a_character() {
        let text = "가나다라마바사아자차카타파하".as_bytes();
        for limit in 0..text.len() {
            for piece in [1, 2, 5, text.len()] {
                let cut = captured(limit, &text.chunks(piece).collect::<Vec<_>>());
                let shown = cut.text();
                assert!(!shown.contains('\u{fffd}'), "limit {limit}, pieces of {piece}: {shown}");
                assert_eq!(cut.cut + u64::try_from(cut.bytes.len()).unwrap(), u64::try_from(text.len()).unwrap());
                assert!(cut.bytes.len() <= limit && cut.bytes.len() + 5 > limit);
            }
        }
    }

    #[test]
    fn what_is_not_text_is_shown_as_such() {
        let odd = captured(64, &[b"\xff\xfe ok \0 \xea\xb0"]);
        assert_eq!(odd.text(), "\u{fffd}\u{fffd} ok \u{fffd} \u{fffd}");
        let cut = captured(8, &[&[0x80; 100]]);
        assert!(cut.bytes.len() <= 8 && cut.cut >= 92);
        assert!(cut.text().contains("bytes cut"));
    }
}
