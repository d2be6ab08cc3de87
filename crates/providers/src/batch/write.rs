//! Lines on their way to a provider: framed, counted, gathered into pieces of 64 KiB.
//! Refuses to hold more than a piece and a line, and to let a body become whole that is not what was promised.

use super::{BatchLine, BatchLines, BatchSpec};
use crate::{
    error::{Class, Error},
    redact,
};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{
    Stream, StreamExt,
    stream::{self},
};
use std::{
    collections::{HashSet, hash_map::RandomState},
    hash::BuildHasher,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How many bytes are gathered before they are handed on.
const PIECE: usize = 64 << 10;

/// What surrounds the lines.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// The field that holds an item's id.
    pub(super) id: &'static str,
    /// What ends a line: a line feed in a file, a comma in a JSON array.
    pub(super) end: u8,
    /// The last line has its end as well.
    pub(super) ends_last: bool,
    pub(super) before: Bytes,
    pub(super) after: Bytes,
}

impl Frame {
    /// Lines of a file and nothing else.
    pub(super) const fn file(id: &'static str) -> Self {
        Self { id, end: b'\n', ends_last: true, before: Bytes::new(), after: Bytes::new() }
    }

    /// Returns how many bytes a line takes: `{"id":"…",` and the body without its brace, and the end.
    pub(super) const fn line(&self, custom_id: usize, body: usize) -> usize {
        // {"":"", makes 7; the brace of the body makes room for the end.
        self.id.len().saturating_add(7).saturating_add(custom_id).saturating_add(body)
    }

    /// Returns how many bytes everything together takes.
    pub(super) fn length(&self, spec: &BatchSpec) -> u64 {
        let around = u64::try_from(self.before.len() + self.after.len()).unwrap_or(u64::MAX);
        spec.bytes.saturating_add(around).saturating_sub(u64::from(!self.ends_last))
    }
}

/// Tells whether a text may be a `custom_id` or a token: every provider takes these letters.
pub(super) fn is_name(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=64).contains(&text.len()) && text.bytes().all(letter)
}

/// Lines that are written once, and what became of that.
#[derive(Clone)]
pub(super) struct Writing {
    frame: Frame,
    spec: BatchSpec,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    lines: Option<BatchLines>,
    trouble: Option<(Class, String)>,
    whole: bool,
    first: Bytes,
}

impl Writing {
    pub(super) fn new(frame: Frame, spec: &BatchSpec, lines: BatchLines) -> Self {
        let shared = Shared { lines: Some(lines), ..Shared::default() };
        Self { frame, spec: spec.clone(), shared: Arc::new(Mutex::new(shared)) }
    }

    /// Returns how many bytes the pieces have together.
    pub(super) fn length(&self) -> u64 {
        self.frame.length(&self.spec)
    }

    /// Returns the pieces. The lines are touched when the first piece is asked for, and only once.
    pub(super) fn pieces(&self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        let mut buffer = BytesMut::with_capacity(PIECE * 2);
        buffer.put_slice(&self.frame.before);
        let pieces = Pieces {
            writing: self.clone(),
            lines: None,
            buffer,
            ids: HashSet::new(),
            hasher: RandomState::new(),
            items: 0,
            bytes: 0,
            over: false,
        };
        stream::unfold(pieces, |mut pieces| async move {
            let piece = pieces.next().await?;
            Some((piece, pieces))
        })
    }

    /// Tells whether the lines were not asked for yet: they may still be sent.
    pub(super) fn is_untouched(&self) -> bool {
        self.shared().lines.is_some()
    }

    /// Tells whether the last piece was handed out: only then can the other side have everything.
    pub(super) fn is_whole(&self) -> bool {
        self.shared().whole
    }

    /// Returns the first piece, not to be quoted in errors.
    pub(super) fn first(&self) -> Bytes {
        self.shared().first.clone()
    }

    /// Returns what was wrong with the lines themselves.
    pub(super) fn trouble(&self, provider: &str) -> Option<Error> {
        let (class, reason) = self.shared().trouble.clone()?;
        Some(Error::new(class, provider, reason))
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Pieces {
    writing: Writing,
    lines: Option<BatchLines>,
    buffer: BytesMut,
    /// Hashes of the ids seen: of 100,000, two collide once in two billion batches.
    ids: HashSet<u64>,
    hasher: RandomState,
    items: u32,
    bytes: u64,
    over: bool,
}

impl Pieces {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if self.over {
            return None;
        }
        let piece = self.gather().await;
        self.over |= piece.is_err();
        Some(piece.map_err(|(class, reason)| {
            self.writing.shared().trouble = Some((class, reason));
            io::Error::other("the lines of the batch")
        }))
    }

    async fn gather(&mut self) -> Result<Bytes, (Class, String)> {
        if self.lines.is_none() {
            self.lines = self.writing.shared().lines.take();
        }
        let Some(mut lines) = self.lines.take() else {
            return Err((Class::Fail, "the lines of the batch were read already".to_owned()));
        };
        let promised = self.writing.spec.bytes;
        // What would make the body whole is held back until the lines have ended as promised.
        while self.buffer.len() < PIECE || self.bytes >= promised {
            match lines.next().await {
                Some(Ok(line)) => self.put(&line)?,
                Some(Err(error)) => {
                    let cause = redact::clean(&error.to_string(), None, b"");
                    return Err((Class::Retry { after: None }, format!("the lines of the batch broke off: {cause}")));
                }
                None => return self.end(),
            }
        }
        self.lines = Some(lines);
        Ok(self.hand_on())
    }

    fn put(&mut self, BatchLine { custom_id, body }: &BatchLine) -> Result<(), (Class, String)> {
        let refuse = |reason: String| Err((Class::Fail, reason));
        if !is_name(custom_id) {
            return refuse(format!("{custom_id:?} is no custom_id: it has 1 to 64 letters of [A-Za-z0-9_-]"));
        }
        let inner = body.strip_prefix('{').filter(|inner| inner.len() > 1 && body.ends_with('}'));
        let Some(inner) = inner.filter(|inner| !inner.contains('\n')) else {
            return refuse(format!("the body of {custom_id} is not one line of JSON"));
        };
        if !self.ids.insert(self.hasher.hash_one(custom_id)) {
            return refuse(format!("{custom_id} is in the batch twice"));
        }
        let Writing { frame, spec, .. } = &self.writing;
        let length = u64::try_from(frame.line(custom_id.len(), body.len())).unwrap_or(u64::MAX);
        self.items = self.items.saturating_add(1);
        self.bytes = self.bytes.saturating_add(length);
        if self.items > spec.items || self.bytes > spec.bytes {
            return refuse(format!("there are more than the promised {} lines of {} bytes", spec.items, spec.bytes));
        }
        for part in ["{\"", frame.id, "\":\"", custom_id, "\",", inner] {
            self.buffer.put_slice(part.as_bytes());
        }
        if frame.ends_last || self.items < spec.items {
            self.buffer.put_u8(frame.end);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<Bytes, (Class, String)> {
        let Writing { frame, spec, .. } = &self.writing;
        if (self.items, self.bytes) != (spec.items, spec.bytes) {
            let (items, bytes) = (self.items, self.bytes);
            let reason =
                format!("{items} lines of {bytes} bytes were read of the promised {} of {}", spec.items, spec.bytes);
            return Err((Class::Fail, reason));
        }
        self.buffer.put_slice(&frame.after);
        self.over = true;
        self.writing.shared().whole = true;
        Ok(self.hand_on())
    }

    fn hand_on(&mut self) -> Bytes {
        let piece = self.buffer.split().freeze();
        let mut shared = self.writing.shared();
        if shared.first.is_empty() {
            shared.first = piece.clone();
        }
        piece
    }
}

#[cfg(test)]
mod tests;
