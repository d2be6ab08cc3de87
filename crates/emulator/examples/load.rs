//! A small load loop against a running emulator: `load ADDR CONNECTIONS SECONDS [PID]` prints requests a second,
//! latencies, and with a process id the CPU time that one request cost it. Refuses to parse answers: it counts bytes.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const BODY: &str = r#"{"model":"claude-haiku-5-5-brief","max_tokens":256,"system":"You plan campaigns.","messages":[{"role":"user","content":"우리 애견호텔의 겨울 예약을 늘릴 방법을 보고서로 써줘"}]}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [addr, connections, seconds, rest @ ..] = arguments.as_slice() else {
        bail!("usage: load ADDR CONNECTIONS SECONDS [PID]");
    };
    let connections: usize = connections.parse().context("CONNECTIONS must be a number")?;
    let length = Duration::from_secs(seconds.parse().context("SECONDS must be a number")?);
    let before = rest.first().map(|pid| ticks(pid)).transpose()?;
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        clients.spawn(client(addr.clone(), start + length));
    }
    let mut times = Vec::new();
    while let Some(ended) = clients.join_next().await {
        times.extend(ended??);
    }
    let passed = start.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    let count = u32::try_from(times.len()).context("too many requests")?;
    let mut out = std::io::stdout().lock();
    write!(out, "{count} asks, {:.0}/s, p50 {:?}, p99 {:?}", f64::from(count) / passed, at(50), at(99))?;
    if let (Some(before), Some(pid)) = (before, rest.first()) {
        // The kernel counts in hundredths of a second.
        let used = f64::from(ticks(pid)? - before) / 100.0;
        write!(
            out,
            ", {:.0} % of a core, {:.0} µs of CPU an ask",
            used / passed * 100.0,
            used / f64::from(count) * 1e6
        )?;
    }
    writeln!(out)?;
    Ok(())
}

async fn client(addr: String, end: Instant) -> anyhow::Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(&addr).await?;
    stream.set_nodelay(true)?;
    let request = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: {addr}\r\nx-api-key: k\r\nanthropic-version: 2023-06-01\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let mut times = Vec::new();
    let mut answer = vec![0; 16_384];
    while Instant::now() < end {
        let start = Instant::now();
        stream.write_all(request.as_bytes()).await?;
        read(&mut stream, &mut answer).await?;
        times.push(start.elapsed());
    }
    Ok(times)
}

/// Reads one answer with a content length.
async fn read(stream: &mut TcpStream, answer: &mut [u8]) -> anyhow::Result<()> {
    let mut filled = 0;
    loop {
        let room = answer.get_mut(filled..).context("an answer is larger than the buffer")?;
        let more = stream.read(room).await?;
        if more == 0 {
            bail!("the emulator closed the connection");
        }
        filled += more;
        let head = std::str::from_utf8(answer.get(..filled).unwrap_or_default()).unwrap_or_default();
        let Some((head, body)) = head.split_once("\r\n\r\n") else { continue };
        if !head.starts_with("HTTP/1.1 200") {
            bail!("not answered: {head}");
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).context("no length")?;
        if body.len() >= length.parse()? {
            return Ok(());
        }
    }
}

/// User and system time of a process, in hundredths of a second.
fn ticks(pid: &str) -> anyhow::Result<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("no such process")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let field = |at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok()).unwrap_or(0);
    Ok(field(11) + field(12))
}
