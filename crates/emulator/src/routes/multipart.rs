//! Reads a `multipart/form-data` body as it comes: small fields whole, the file into a blob. Refuses bodies that are
//! none.

use crate::batch::Blob;

/// Most bytes of a part's headers or of a field.
const SMALL: usize = 64 * 1024;

/// What is being read.
#[derive(Debug, Default)]
enum Where {
    #[default]
    Before,
    Headers,
    Field(String),
    File,
    After,
}

/// A form, as far as it was read.
#[derive(Debug)]
pub(super) struct Form {
    /// Names and values, in their order.
    pub(super) fields: Vec<(String, String)>,
    pub(super) filename: Option<String>,
    pub(super) file: Blob,
    /// What separates the parts, with the line end before it.
    delimiter: Vec<u8>,
    buffer: Vec<u8>,
    place: Where,
}

/// Why a form cannot be read.
#[derive(Debug)]
pub(super) enum Fault {
    Form,
    Kept,
}

impl Form {
    /// A form of that content type, which must name its boundary.
    pub(super) fn new(content_type: &str) -> Option<Self> {
        let (_, boundary) = content_type.strip_prefix("multipart/form-data")?.split_once("boundary=")?;
        let boundary = boundary.split(';').next()?.trim().trim_matches('"');
        (!boundary.is_empty()).then(|| Self {
            fields: Vec::new(),
            filename: None,
            file: Blob::default(),
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            // The first boundary has no line end before it.
            buffer: b"\r\n".to_vec(),
            place: Where::Before,
        })
    }

    /// Reads on.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.buffer.extend_from_slice(bytes);
        while self.step()? {}
        Ok(())
    }

    /// Whether the closing boundary came.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.place, Where::After)
    }

    /// The value of a field.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Takes one part of the buffer; false when it needs more.
    fn step(&mut self) -> Result<bool, Fault> {
        match self.place {
            Where::After => {
                self.buffer.clear();
                Ok(false)
            }
            Where::Headers => {
                let Some(end) = find(&self.buffer, b"\r\n\r\n") else {
                    return if self.buffer.len() > SMALL { Err(Fault::Form) } else { Ok(false) };
                };
                let head = String::from_utf8_lossy(self.buffer.get(..end).unwrap_or_default()).into_owned();
                self.buffer.drain(..end + 4);
                self.begin(&head)?;
                Ok(true)
            }
            Where::Before | Where::Field(_) | Where::File => self.content(),
        }
    }

    /// Reads the headers of a part.
    fn begin(&mut self, head: &str) -> Result<(), Fault> {
        let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"));
        let line = line.ok_or(Fault::Form)?;
        let name = parameter(line, "name").ok_or(Fault::Form)?;
        self.place = match parameter(line, "filename") {
            Some(filename) => {
                self.filename = Some(filename);
                Where::File
            }
            None => Where::Field(name),
        };
        Ok(())
    }

    /// Takes the content of a part up to the next boundary.
    fn content(&mut self) -> Result<bool, Fault> {
        let found = find(&self.buffer, &self.delimiter);
        // What may be the start of a boundary stays; two bytes after it tell what it is.
        let end = match found {
            Some(end) if self.buffer.len() < end + self.delimiter.len() + 2 => return Ok(false),
            Some(end) => end,
            None => self.buffer.len().saturating_sub(self.delimiter.len()),
        };
        let content = self.buffer.get(..end).unwrap_or_default();
        match &self.place {
            Where::File => self.file.push(content).map_err(|_| Fault::Kept)?,
            Where::Field(_) if found.is_none() => {
                return if self.buffer.len() > SMALL { Err(Fault::Form) } else { Ok(false) };
            }
            Where::Field(name) => {
                let value = String::from_utf8_lossy(content).into_owned();
                self.fields.push((name.clone(), value));
            }
            _ => {}
        }
        if found.is_none() {
            self.buffer.drain(..end);
            return Ok(false);
        }
        let after = self.buffer.get(end + self.delimiter.len()..).unwrap_or_default();
        self.place = match after {
            [b'-', b'-', ..] => Where::After,
            [b'\r', b'\n', ..] => Where::Headers,
            _ => return Err(Fault::Form),
        };
        self.buffer.drain(..end + self.delimiter.len() + 2);
        Ok(true)
    }
}

/// Where a needle that starts with a line end is found.
fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + hay.get(from..)?.iter().position(|byte| *byte == b'\r')?;
        if hay.get(at..)?.starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// A parameter of a header, without its quotes.
fn parameter(line: &str, name: &str) -> Option<String> {
    line.split(';').map(str::trim).find_map(|part| {
        let (key, value) = part.split_once('=')?;
        (key.trim() == name).then(|| value.trim().trim_matches('"').replace("%22", "\""))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--b\r\n\
        Content-Disposition: form-data; name=\"file\"; filename=\"겨울.jsonl\"\r\n\
        Content-Type: application/octet-stream\r\n\r\n{\"a\":\"예약\"}\r\n--bad\n\r\n--b--\r\n";

    #[test]
    fn a_form_is_read_however_it_is_cut() {
        for size in [1, 2, 3, 5, 17, 1_000] {
            let mut form = Form::new("multipart/form-data; boundary=\"b\"").unwrap();
            let broken = BODY.as_bytes().chunks(size).any(|chunk| form.feed(chunk).is_err());
            assert!(broken, "a line that starts as a boundary does is one: {size}");
            let body = BODY.replace("--bad", "-- bad");
            let mut form = Form::new("multipart/form-data; boundary=b; charset=x").unwrap();
            body.as_bytes().chunks(size).for_each(|chunk| form.feed(chunk).unwrap());
            assert!(form.is_whole());
            assert_eq!(form.field("purpose"), Some("batch"));
            assert_eq!(form.filename.as_deref(), Some("겨울.jsonl"));
            let mut file = Vec::new();
            form.file.fill(0, u32::try_from(form.file.len()).unwrap(), &mut file).unwrap();
            assert_eq!(String::from_utf8(file).unwrap(), "{\"a\":\"예약\"}\r\n-- bad\n");
        }
    }

    #[test]
    fn what_is_no_form_is_refused() {
        assert!(Form::new("application/json").is_none());
        assert!(Form::new("multipart/form-data").is_none());
        let mut form = Form::new("multipart/form-data; boundary=b").unwrap();
        form.feed(b"nothing").unwrap();
        assert!(!form.is_whole());
    }
}
