//! Turns texts and events into the bytes of a response: framing, pace, cuts, odd pieces. Refuses to know what the
//! bytes say.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody, SizedStream};
use bytes::Bytes;
use futures_util::stream::{self, Stream};

use crate::batch::{Blob, Results};
use crate::fault::{Effect, Fault};
use crate::seed;
use crate::state::State;
use crate::wire::Event;

/// About how many bytes of a long body go out at a time.
const CHUNK: usize = 64 * 1024;

/// One piece of a body, and how long to wait before it is sent.
#[derive(Debug)]
struct Piece {
    wait: Duration,
    /// `None` breaks the connection.
    bytes: Option<Bytes>,
}

/// How fast a stream goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) tokens_per_second: Option<NonZeroU32>,
    pub(crate) seed: u64,
}

impl Pace {
    /// The time that a number of tokens takes, ten percent more or less.
    fn wait(&self, tokens: u64, place: usize) -> Duration {
        let Some(rate) = self.tokens_per_second else { return Duration::ZERO };
        let swing = seed::mix(self.seed ^ u64::try_from(place).unwrap_or(0)) % 21 + 90;
        Duration::from_micros(tokens.saturating_mul(10_000 * swing) / u64::from(rate.get()))
    }
}

/// The body of a plain answer, with the fault that concerns its bytes.
pub(crate) fn plain(text: String, fault: Option<&Fault>) -> BoxBody {
    let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
    let bytes = Bytes::from(text);
    let Some(fault) = fault else { return bytes.boxed() };
    let half = bytes.len() / 2;
    let pieces = match fault.effect {
        Effect::CutBody | Effect::CutStream => vec![now(bytes.slice(..half)), broken()],
        Effect::SlowBody => slowly(&bytes, fault.wait),
        Effect::SplitUtf8 => split(&bytes, Duration::from_millis(1)),
        _ => return bytes.boxed(),
    };
    SizedStream::new(length, send(pieces)).boxed()
}

/// The body of a streamed answer; `end` is the line end.
pub(crate) fn streamed(events: &[Event], end: &str, fault: Option<&Fault>, pace: Pace) -> impl MessageBody + use<> {
    let mut pieces = Vec::with_capacity(events.len());
    let mut joined = Vec::new();
    for (place, event) in events.iter().enumerate() {
        let wait = pace.wait(event.tokens, place);
        let frame = frame(event, end);
        // Without a pace the whole stream is one piece, as a fast server's would be.
        if pace.tokens_per_second.is_none() && fault.is_none() {
            joined.extend_from_slice(frame.as_bytes());
        } else {
            pieces.push(Piece { wait, bytes: Some(frame.into()) });
        }
    }
    if !joined.is_empty() {
        pieces.push(now(joined.into()));
    }
    if let Some(fault) = fault {
        pieces = faulty(pieces, fault);
    }
    actix_web::body::BodyStream::new(send(pieces))
}

/// The pieces as the fault wants them.
fn faulty(mut pieces: Vec<Piece>, fault: &Fault) -> Vec<Piece> {
    match fault.effect {
        Effect::CutStream => {
            pieces.truncate(fault.after);
            pieces.push(broken());
        }
        Effect::CutBody => {
            // In the middle of a line, so that a reader of lines notices as well.
            pieces.truncate(pieces.len() / 2 + 1);
            if let Some(last) = pieces.last_mut()
                && let Some(bytes) = &mut last.bytes
            {
                bytes.truncate(bytes.len() / 2);
            }
            pieces.push(broken());
        }
        Effect::SlowBody => {
            for piece in &mut pieces {
                piece.wait += fault.wait;
            }
        }
        Effect::SplitUtf8 => {
            let all: Vec<u8> = pieces.iter().filter_map(|piece| piece.bytes.as_deref()).flatten().copied().collect();
            pieces = split(&all.into(), Duration::ZERO);
        }
        _ => {}
    }
    pieces
}

/// An event as lines.
fn frame(event: &Event, end: &str) -> String {
    let name = event.name.unwrap_or_default();
    let mut frame = String::with_capacity(event.data.len() + name.len() + 20);
    if !name.is_empty() {
        frame.extend(["event: ", name, end]);
    }
    frame.extend(["data: ", &event.data, end, end]);
    frame
}

fn now(bytes: Bytes) -> Piece {
    Piece { wait: Duration::ZERO, bytes: Some(bytes) }
}

fn broken() -> Piece {
    Piece { wait: Duration::ZERO, bytes: None }
}

/// Eight pieces, each after its wait.
fn slowly(bytes: &Bytes, wait: Duration) -> Vec<Piece> {
    let size = bytes.len().div_ceil(8).max(1);
    (0..bytes.len())
        .step_by(size)
        .map(|at| Piece { wait, bytes: Some(bytes.slice(at..bytes.len().min(at + size))) })
        .collect()
}

/// The lines of a batch's results as they are made, with the fault that concerns their bytes.
pub(crate) fn lines(results: Results, state: Arc<State>, fault: Option<Fault>) -> BoxBody {
    let lined = Lined { results, state, fault, pieces: VecDeque::new(), sent: 0, is_over: false };
    let stream = Box::pin(stream::unfold(lined, |mut lined| async move {
        while lined.pieces.is_empty() && !lined.is_over {
            lined.fill();
        }
        let piece = lined.pieces.pop_front()?;
        if piece.wait.is_zero() {
            // Others want to be served as well, and a break would take along what came before.
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(piece.wait).await;
        }
        let item = piece.bytes.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted));
        Some((item, lined))
    }));
    actix_web::body::BodyStream::new(stream).boxed()
}

/// Results on their way out.
struct Lined {
    results: Results,
    state: Arc<State>,
    fault: Option<Fault>,
    pieces: VecDeque<Piece>,
    /// Lines that went out.
    sent: usize,
    is_over: bool,
}

impl Lined {
    /// Makes the next pieces.
    fn fill(&mut self) {
        let items = self.results.batch.items.len();
        let effect = self.fault.as_ref().map(|fault| fault.effect);
        let most = match effect {
            Some(Effect::SlowBody) => items.div_ceil(8).max(1),
            _ => usize::MAX,
        };
        let cut = match (effect, &self.fault) {
            (Some(Effect::CutStream), Some(fault)) => fault.after,
            (Some(Effect::CutBody), _) => items / 2,
            _ => usize::MAX,
        };
        let end = if effect == Some(Effect::Crlf) { "\r\n" } else { "\n" };
        let mut bytes = Vec::with_capacity(CHUNK + CHUNK / 4);
        let mut taken = 0;
        while bytes.len() < CHUNK && taken < most && self.sent < cut && !self.is_over {
            match self.results.next(&self.state) {
                Ok(Some(line)) => {
                    bytes.extend_from_slice(line.as_bytes());
                    bytes.extend_from_slice(end.as_bytes());
                    taken += 1;
                    self.sent += 1;
                }
                Ok(None) => self.is_over = true,
                Err(_) => {
                    self.is_over = true;
                    self.pieces.push_back(broken());
                    return;
                }
            }
        }
        let is_cut = self.sent >= cut;
        if is_cut && effect == Some(Effect::CutBody) {
            let half = self.results.next(&self.state).ok().flatten().unwrap_or_default();
            bytes.extend(half.bytes().take(half.len() / 2));
        }
        self.push(bytes.into(), effect);
        if is_cut {
            self.is_over = true;
            self.pieces.push_back(broken());
        }
    }

    fn push(&mut self, bytes: Bytes, effect: Option<Effect>) {
        if bytes.is_empty() {
            return;
        }
        let wait = self.fault.as_ref().map(|fault| fault.wait).unwrap_or_default();
        match effect {
            Some(Effect::SplitUtf8) => self.pieces.extend(split(&bytes, Duration::ZERO)),
            Some(Effect::SlowBody) => self.pieces.push_back(Piece { wait, bytes: Some(bytes) }),
            _ => self.pieces.push_back(now(bytes)),
        }
    }
}

/// The bytes of a blob as they are.
pub(crate) fn raw(blob: Arc<Blob>) -> BoxBody {
    let length = blob.len();
    let stream = stream::unfold((blob, 0), |(blob, at)| async move {
        let mut window = vec![0; CHUNK];
        match blob.read(at, &mut window) {
            Ok(0) => None,
            Ok(read) => {
                window.truncate(read);
                tokio::task::yield_now().await;
                Some((Ok(Bytes::from(window)), (blob, at + u64::try_from(read).unwrap_or(u64::MAX))))
            }
            Err(error) => Some((Err(error), (blob, u64::MAX))),
        }
    });
    SizedStream::new(length, Box::pin(stream)).boxed()
}

/// Pieces that end inside a character wherever there is one of several bytes; pieces of 64 bytes elsewhere.
fn split(bytes: &Bytes, wait: Duration) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for at in 1..bytes.len() {
        let inside = bytes.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
        if (inside && at - start >= 4) || at - start >= 64 {
            pieces.push(Piece { wait, bytes: Some(bytes.slice(start..at)) });
            start = at;
        }
    }
    pieces.push(now(bytes.slice(start..)));
    pieces
}

fn send(pieces: Vec<Piece>) -> impl Stream<Item = io::Result<Bytes>> {
    Box::pin(stream::unfold(pieces.into_iter(), |mut pieces| async move {
        let piece = pieces.next()?;
        if piece.wait.is_zero() {
            // What came before goes out on its own: a break would take it along.
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(piece.wait).await;
        }
        let item = piece.bytes.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted));
        Some((item, pieces))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_takes_the_time_of_its_tokens_ten_percent_more_or_less() {
        let pace = Pace { tokens_per_second: NonZeroU32::new(100), seed: 3 };
        for place in 0..100 {
            let wait = pace.wait(5, place).as_millis();
            assert!((45..=55).contains(&wait), "{wait}");
        }
        let free = Pace { tokens_per_second: None, seed: 3 };
        assert_eq!(free.wait(5, 1), Duration::ZERO);
    }

    #[test]
    fn split_pieces_end_inside_characters_and_join_to_the_whole() {
        let bytes = Bytes::from_static("애견호텔 and Latin 겨울".as_bytes());
        let pieces: Vec<Bytes> = split(&bytes, Duration::ZERO).into_iter().filter_map(|piece| piece.bytes).collect();
        assert!(pieces.iter().any(|piece| std::str::from_utf8(piece).is_err()));
        assert_eq!(pieces.concat(), bytes);
    }
}
