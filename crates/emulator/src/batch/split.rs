//! Finds the elements of the top-level array `requests` in a JSON body that comes in pieces, so that a body of 256 MB
//! is never parsed as a whole. Refuses to judge the elements: what is around them is kept to be parsed by itself.

/// The array's name.
const NAME: &[u8] = b"requests";
/// What may stand around the elements.
const AROUND: usize = 4 << 20;

/// Where an element lies in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) at: u64,
    pub(crate) length: u32,
}

/// Reads a body piece by piece.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    /// The elements found so far.
    pub(crate) found: Vec<Range>,
    /// The body with a `0` for each element.
    pub(crate) around: Vec<u8>,
    at: u64,
    depth: u32,
    text: bool,
    escaped: bool,
    /// The last string outside the array, as far as it is of interest.
    word: Vec<u8>,
    listed: bool,
    /// Start and end of the element that is being read.
    element: Option<(u64, u64)>,
}

impl Splitter {
    /// Reads on; false when more stands around the elements than can be right.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            self.step(*byte);
            self.at += 1;
        }
        self.around.len() <= AROUND
    }

    fn step(&mut self, byte: u8) {
        if self.text {
            self.inside_text(byte);
            return;
        }
        let inside = self.listed && self.depth >= 2;
        match byte {
            b'"' => {
                self.text = true;
                self.word.clear();
            }
            b'{' | b'[' => {
                let opens = byte == b'[' && self.depth == 1 && !self.listed && self.word == NAME;
                if inside {
                    self.extend();
                }
                self.depth += 1;
                if opens {
                    self.listed = true;
                    self.around.push(byte);
                    return;
                }
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if inside && self.depth == 1 {
                    self.end();
                    self.listed = false;
                    self.word.clear();
                    self.around.push(byte);
                    return;
                }
            }
            b',' if inside && self.depth == 2 => {
                self.end();
                self.around.push(byte);
                return;
            }
            b' ' | b'\t' | b'\r' | b'\n' if inside => return,
            _ => {}
        }
        if inside {
            self.extend();
        } else {
            self.around.push(byte);
        }
    }

    fn inside_text(&mut self, byte: u8) {
        if self.escaped {
            self.escaped = false;
        } else if byte == b'\\' {
            self.escaped = true;
        } else if byte == b'"' {
            self.text = false;
        }
        if self.listed {
            self.extend();
            return;
        }
        self.around.push(byte);
        if self.text && self.word.len() <= NAME.len() {
            self.word.push(byte);
        }
    }

    fn extend(&mut self) {
        let start = self.element.map_or(self.at, |(start, _)| start);
        self.element = Some((start, self.at + 1));
    }

    fn end(&mut self) {
        if let Some((at, end)) = self.element.take() {
            self.found.push(Range { at, length: u32::try_from(end - at).unwrap_or(u32::MAX) });
            self.around.push(b'0');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(body: &str, size: usize) -> (Vec<String>, String) {
        let mut splitter = Splitter::default();
        for chunk in body.as_bytes().chunks(size) {
            assert!(splitter.feed(chunk));
        }
        let cut = |range: &Range| {
            let at = usize::try_from(range.at).unwrap();
            body[at..at + usize::try_from(range.length).unwrap()].to_owned()
        };
        (splitter.found.iter().map(cut).collect(), String::from_utf8(splitter.around).unwrap())
    }

    #[test]
    fn elements_are_found_however_the_body_is_cut() {
        let body = r#" {"a":{"requests":[1]},"requests" : [ {"x":"겨울 \"],[{ 예약","requests":[[]]} , "가,나" ,3, null ] ,"b":[1,2]} "#;
        for size in [1, 2, 3, 7, 1_000] {
            let (found, around) = split(body, size);
            assert_eq!(found, [r#"{"x":"겨울 \"],[{ 예약","requests":[[]]}"#, r#""가,나""#, "3", "null"], "{size}");
            assert_eq!(around, r#" {"a":{"requests":[1]},"requests" : [0,0,0,0] ,"b":[1,2]} "#);
        }
    }

    #[test]
    fn an_empty_list_no_list_and_what_is_not_json() {
        assert_eq!(split(r#"{"requests":[]}"#, 4), (vec![], r#"{"requests":[]}"#.to_owned()));
        assert_eq!(split(r#"[{"requests":[1]}]"#, 4).0, Vec::<String>::new());
        assert_eq!(split(r#"{"requests":[1,,2"#, 4).1, r#"{"requests":[0,,"#);
        let mut splitter = Splitter::default();
        assert!(!splitter.feed(&vec![b'x'; AROUND + 1]));
    }
}
