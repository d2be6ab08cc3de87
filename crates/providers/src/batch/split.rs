//! Results cut into items as the bytes arrive: lines of a file, or the elements of the one array in
//! which Gemini hands small batches over. Refuses to hold more than one item of at most 32 MiB.

use bytes::Bytes;
use std::io::BufRead;

/// The most bytes of one item.
pub(super) const ITEM_CAP: usize = 32 << 20;
/// What is kept of an item above that: enough to find out whose it is.
const HEAD: usize = 4 << 10;
/// The array, as both spellings have it.
const ARRAYS: [&[u8]; 2] = [b"inlinedResponses", b"inlined_responses"];

/// One item.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// The beginning of one that is above the cap.
    TooLong(&'a [u8]),
}

/// Takes bytes, gives items.
#[derive(Debug)]
pub(super) struct Split {
    cap: usize,
    chunk: Bytes,
    /// The part of an item that came with earlier chunks.
    held: Vec<u8>,
    too_long: bool,
    /// What is held was given out.
    given: bool,
    array: Option<Array>,
}

/// How the bytes ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End<'a> {
    Clean,
    /// In the middle of a line, or at the end of one that lacks its line feed.
    Open(&'a [u8]),
    /// In the middle of the array.
    Cut,
}

impl Split {
    /// Splits lines, ended by LF or CRLF; empty ones are left out.
    pub(super) const fn lines() -> Self {
        Self::capped(ITEM_CAP, None)
    }

    /// Splits the elements of the first array called `inlinedResponses`.
    pub(super) fn array() -> Self {
        Self::capped(ITEM_CAP, Some(Array::default()))
    }

    const fn capped(cap: usize, array: Option<Array>) -> Self {
        Self { cap, chunk: Bytes::new(), held: Vec::new(), too_long: false, given: false, array }
    }

    /// Takes the next bytes; all items of the former ones have been taken out.
    pub(super) fn feed(&mut self, chunk: Bytes) {
        self.chunk = chunk;
    }

    /// Gives the next item, or nothing when more bytes are needed.
    pub(super) fn next(&mut self) -> Option<Item<'_>> {
        if std::mem::take(&mut self.given) {
            self.held.clear();
            // One giant must not be remembered for ever.
            self.held.shrink_to(1 << 20);
            self.too_long = false;
        }
        loop {
            let (taken, ended) = match &mut self.array {
                None => line(&self.chunk),
                Some(array) => array.scan(&self.chunk),
            };
            let skips = self.array.as_ref().is_some_and(|array| !array.is_inside(ended));
            let piece = self.chunk.split_to(taken.min(self.chunk.len()));
            if !skips {
                self.hold(&piece);
            }
            if !ended {
                if self.chunk.is_empty() {
                    return None;
                }
                continue;
            }
            if self.too_long {
                self.given = true;
                return Some(Item::TooLong(trimmed(&self.held)));
            }
            if trimmed(&self.held).is_empty() {
                self.held.clear();
                continue;
            }
            self.given = true;
            return Some(Item::Whole(trimmed(&self.held)));
        }
    }

    /// Ends the bytes.
    pub(super) fn end(&mut self) -> End<'_> {
        match &self.array {
            Some(array) if array.depth > 0 => End::Cut,
            Some(_) => End::Clean,
            None if self.given || trimmed(&self.held).is_empty() => End::Clean,
            None => End::Open(trimmed(&self.held)),
        }
    }

    fn hold(&mut self, piece: &[u8]) {
        if self.held.len() + piece.len() > self.cap {
            self.too_long = true;
            let room = HEAD.saturating_sub(self.held.len());
            self.held.extend_from_slice(piece.get(..room).unwrap_or(piece));
            self.held.truncate(HEAD);
        } else if !self.too_long {
            self.held.extend_from_slice(piece);
        }
    }
}

/// Returns how many bytes belong to the line, and whether it ends there.
fn line(chunk: &[u8]) -> (usize, bool) {
    let mut rest = chunk;
    // The standard library's search for a byte, at the speed of memory; a slice cannot fail.
    let taken = rest.skip_until(b'\n').unwrap_or(chunk.len());
    (taken, taken > 0 && chunk.get(taken - 1) == Some(&b'\n'))
}

fn trimmed(line: &[u8]) -> &[u8] {
    line.trim_ascii().strip_prefix(b"\xEF\xBB\xBF").unwrap_or_else(|| line.trim_ascii())
}

/// Where a scan of JSON stands. It counts brackets and minds strings; it does not check.
#[derive(Debug, Default)]
struct Array {
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// The last string, as far as it may be the array's name.
    string: Vec<u8>,
    /// The depth of the array's elements, once it is open.
    at: Option<u32>,
    over: bool,
    inside: bool,
}

impl Array {
    /// Tells whether the bytes just scanned belong to an element.
    const fn is_inside(&self, ended: bool) -> bool {
        self.inside || ended
    }

    /// Scans up to the next border of an element; returns the bytes scanned and whether one ends there.
    fn scan(&mut self, chunk: &[u8]) -> (usize, bool) {
        for (at, &byte) in chunk.iter().enumerate() {
            if self.in_string {
                self.string(byte);
                continue;
            }
            match byte {
                b'"' => {
                    self.in_string = true;
                    self.string.clear();
                }
                b'{' | b'[' => {
                    let opens = byte == b'[' && self.at.is_none() && !self.over;
                    if !self.inside && self.at == Some(self.depth) {
                        // What stands before the element is no part of it.
                        if at > 0 {
                            return (at, false);
                        }
                        self.inside = true;
                    }
                    self.depth += 1;
                    if opens && ARRAYS.contains(&self.string.as_slice()) {
                        self.at = Some(self.depth);
                    }
                    self.string.clear();
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.inside && self.at == Some(self.depth) {
                        self.inside = false;
                        return (at + 1, true);
                    }
                    if self.at.is_some_and(|elements| self.depth < elements) {
                        self.at = None;
                        self.over = true;
                    }
                }
                _ => {}
            }
        }
        (chunk.len(), false)
    }

    fn string(&mut self, byte: u8) {
        if self.escaped {
            self.escaped = false;
        } else if byte == b'\\' {
            self.escaped = true;
        } else if byte == b'"' {
            self.in_string = false;
            return;
        }
        if !self.inside && self.string.len() <= 32 {
            self.string.push(byte);
        }
    }
}

#[cfg(test)]
mod tests;
