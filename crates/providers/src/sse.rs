//! Server-sent events from bytes as they arrive, cut anywhere, even inside a character.
//! Refuses to know what an event means.

/// The most bytes that one event may hold.
const EVENT_CAP: usize = 16 << 20;
/// The most bytes kept of lines that are no event: enough for an error's JSON.
const STRAY_CAP: usize = 64 << 10;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its `event:` field; empty when it had none.
    pub(crate) name: String,
    /// Its `data:` lines, joined by line feeds.
    pub(crate) data: String,
}

/// An event grew past what any provider sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Takes bytes, gives events.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    name: String,
    data: Option<String>,
    stray: Vec<u8>,
    begun: bool,
    after_return: bool,
}

impl Parser {
    /// Takes the next bytes and appends the events that they complete.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], events: &mut Vec<Event>) -> Result<(), TooLong> {
        while let Some((&first, rest)) = bytes.split_first() {
            // A line feed that a previous carriage return announced ends no second line.
            if std::mem::take(&mut self.after_return) && first == b'\n' {
                bytes = rest;
                continue;
            }
            let Some(at) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                self.line.extend_from_slice(bytes);
                break;
            };
            let (head, tail) = bytes.split_at(at);
            self.after_return = tail.first() == Some(&b'\r');
            bytes = tail.get(1..).unwrap_or_default();
            if self.line.is_empty() {
                self.take_line(head, events);
            } else {
                self.line.extend_from_slice(head);
                let line = std::mem::take(&mut self.line);
                self.take_line(&line, events);
                self.line = line;
                self.line.clear();
            }
        }
        let held = self.line.len() + self.data.as_ref().map_or(0, String::len);
        if held > EVENT_CAP { Err(TooLong) } else { Ok(()) }
    }

    /// Ends the stream: an event that lacks its blank line is given all the same, and with it the
    /// lines that were no event (some servers break a stream off with a bare JSON error).
    pub(crate) fn end(mut self, events: &mut Vec<Event>) -> Vec<u8> {
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            self.take_line(&line, events);
        }
        self.dispatch(events);
        self.stray
    }

    fn take_line(&mut self, line: &[u8], events: &mut Vec<Event>) {
        let line = if self.begun { line } else { line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line) };
        self.begun = true;
        if line.is_empty() {
            self.dispatch(events);
            return;
        }
        let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
        let (field, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                let value = String::from_utf8_lossy(value);
                match &mut self.data {
                    Some(data) => {
                        data.push('\n');
                        data.push_str(&value);
                    }
                    None => self.data = Some(value.into_owned()),
                }
            }
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            // A comment keeps the connection alive; ids and retry times do not concern us.
            b"" | b"id" | b"retry" => {}
            _ if self.stray.len() + line.len() <= STRAY_CAP => {
                self.stray.extend_from_slice(line);
                self.stray.push(b'\n');
            }
            _ => {}
        }
    }

    fn dispatch(&mut self, events: &mut Vec<Event>) {
        let name = std::mem::take(&mut self.name);
        if let Some(data) = self.data.take() {
            events.push(Event { name, data });
        }
    }
}

#[cfg(test)]
mod tests;
