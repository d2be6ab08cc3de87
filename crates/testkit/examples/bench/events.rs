//! The events of orders, as one client that stays connected sees them. Refuses to build JSON trees: it looks for
//! the two words it needs.

use crate::http::{Connection, request};
use anyhow::{Context as _, bail};
use std::{net::SocketAddr, str::from_utf8};
use tokio::{io::AsyncReadExt as _, net::TcpStream};
use uuid::Uuid;

/// How much is read at once.
const PIECE: usize = 64 << 10;

/// What the stream told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// An order ended; the flag says whether well.
    Ended(Uuid, bool),
    /// The stream cannot go on as it was: it ends, or something in it was lost.
    Broken(String),
}

/// The open stream.
#[derive(Debug)]
pub(crate) struct Events {
    stream: TcpStream,
    raw: Vec<u8>,
    text: Vec<u8>,
    /// The last event's id, to come back with.
    pub(crate) last: Option<String>,
}

impl Events {
    /// Opens the stream of orders' events and waits for its first message, after which nothing is missed.
    pub(crate) async fn open(address: SocketAddr, bearer: &str, after: Option<String>) -> anyhow::Result<Self> {
        let mut headers = vec![("authorization", bearer), ("accept", "text/event-stream")];
        headers.extend(after.as_deref().map(|id| ("last-event-id", id)));
        let asked = request("/api/events?roots=true", &headers, None);
        let (stream, raw) = Connection::open(address).await?.open_stream(&asked).await?;
        let mut events = Self { stream, raw, text: Vec::new(), last: after };
        loop {
            events.unpack()?;
            if let Some(message) = events.message() {
                anyhow::ensure!(message.contains("event: ready"), "the stream began with {message:?}");
                return Ok(events);
            }
            events.fill().await?;
        }
    }

    /// Waits for bytes and adds what they tell.
    pub(crate) async fn read(&mut self, told: &mut Vec<Told>) -> anyhow::Result<()> {
        self.tell(told);
        while told.is_empty() {
            self.fill().await?;
            self.unpack()?;
            self.tell(told);
        }
        Ok(())
    }

    fn tell(&mut self, told: &mut Vec<Told>) {
        while let Some(message) = self.message() {
            let line = |name: &str| message.lines().find_map(|line| line.strip_prefix(name));
            if let Some(id) = line("id: ") {
                self.last = Some(id.to_owned());
            }
            let task = || {
                let (_, rest) = line("data: ")?.split_once(r#""task":""#)?;
                rest.get(..36)?.parse().ok()
            };
            match line("event: ") {
                Some("task.completed") => told.extend(task().map(|task| Told::Ended(task, true))),
                Some("task.failed" | "task.cancelled") => told.extend(task().map(|task| Told::Ended(task, false))),
                Some("reset" | "too_slow" | "away" | "stopping") => told.push(Told::Broken(message)),
                _ => {}
            }
        }
    }

    /// Takes the next whole message off the text.
    fn message(&mut self) -> Option<String> {
        let end = self.text.windows(2).position(|window| window == b"\n\n")?;
        let message: Vec<u8> = self.text.drain(..end + 2).collect();
        Some(String::from_utf8_lossy(&message).into_owned())
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        self.raw.reserve(PIECE);
        if self.stream.read_buf(&mut self.raw).await? == 0 {
            bail!("the stream of events was closed");
        }
        Ok(())
    }

    /// Takes the whole chunks off what was read.
    fn unpack(&mut self) -> anyhow::Result<()> {
        while let Some(end) = self.raw.windows(2).position(|window| window == b"\r\n") {
            let size = from_utf8(self.raw.get(..end).unwrap_or_default()).context("a chunk's size is text")?;
            let size = usize::from_str_radix(size.trim(), 16).with_context(|| format!("a chunk's size is {size:?}"))?;
            if size == 0 {
                bail!("the stream of events ended");
            }
            let Some(chunk) = self.raw.get(end + 2..end + 2 + size) else { return Ok(()) };
            if self.raw.len() < end + size + 4 {
                return Ok(());
            }
            self.text.extend_from_slice(chunk);
            self.raw.drain(..end + size + 4);
        }
        Ok(())
    }
}
