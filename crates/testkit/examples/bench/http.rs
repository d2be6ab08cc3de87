//! HTTP/1.1 by hand, so that the load generator takes little of the machine that it measures: requests are written
//! as prepared bytes, answers are read by their length. Refuses everything that our servers do not send.

use anyhow::{Context as _, bail, ensure};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// How much is read at once.
const PIECE: usize = 16 << 10;

/// A connection that is kept for the next request.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer, in the connection's own buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    /// The status.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: &'a [u8],
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("{address} cannot be reached"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(PIECE) })
    }

    /// Sends a prepared request and reads its answer.
    pub(crate) async fn send(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            self.read().await?;
            if let Some(end) = end_of_head(&self.buffer) {
                break end;
            }
        };
        let text = std::str::from_utf8(self.buffer.get(..head).unwrap_or_default()).context("a head is text")?;
        let status = status_of(text)?;
        let length = field(text, "content-length").context("the answer has no length")?.parse::<usize>()?;
        while self.buffer.len() < head + length {
            self.read().await?;
        }
        ensure!(self.buffer.len() == head + length, "the server said more than its answer");
        Ok(Answer { status, body: self.buffer.get(head..).unwrap_or_default() })
    }

    /// Sends a request whose answer never ends; returns the head and leaves what came after it in the buffer.
    pub(crate) async fn open_stream(mut self, request: &[u8]) -> anyhow::Result<(TcpStream, Vec<u8>)> {
        self.stream.write_all(request).await?;
        let head = loop {
            self.read().await?;
            if let Some(end) = end_of_head(&self.buffer) {
                break end;
            }
        };
        let rest = self.buffer.split_off(head);
        let text = String::from_utf8_lossy(&self.buffer).into_owned();
        let status = status_of(&text)?;
        ensure!(status == 200, "the stream was answered with {status}");
        ensure!(field(&text, "transfer-encoding") == Some("chunked"), "the stream is not in chunks");
        Ok((self.stream, rest))
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        self.buffer.reserve(PIECE);
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }
}

/// Prepares a request with a JSON body; without a body it is a GET.
pub(crate) fn request(path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Vec<u8> {
    let method = if body.is_some() { "POST" } else { "GET" };
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: bench\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(body) = body {
        text.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    text.push_str(body.unwrap_or_default());
    text.into_bytes()
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

pub(crate) fn status_of(head: &str) -> anyhow::Result<u16> {
    let status = head.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    status.context("the answer has no status")
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
