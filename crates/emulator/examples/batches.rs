//! Batches against a running emulator that was started with `--batch-ms 0`: `batches ADDR ITEMS [PID]` sends one batch
//! to each provider and reads its results, and prints items a second for both, and with a process id the CPU time that
//! one item cost it and the most memory it had. Refuses to parse answers: it counts lines.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const TEXT: &str = "우리 애견호텔의 겨울 예약을 늘릴 방법을 보고서로 써줘";
const CREATE: &str = "/v1beta/models/gemini-3.8-flash-brief:batchGenerateContent";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [addr, items, rest @ ..] = arguments.as_slice() else { bail!("usage: batches ADDR ITEMS [PID]") };
    let client = Client { addr, pid: rest.first().map(String::as_str) };
    let items: usize = items.parse().context("ITEMS must be a number")?;
    anthropic(&client, items).await?;
    openai(&client, items.min(50_000)).await?;
    gemini(&client, items).await
}

async fn anthropic(client: &Client<'_>, items: usize) -> anyhow::Result<()> {
    let mut body = "{\"requests\":[".to_owned();
    for at in 0..items {
        let comma = if at > 0 { "," } else { "" };
        write!(
            body,
            r#"{comma}{{"custom_id":"0123456789abcdef0123456789abcdef-001-{at:06}","params":{{"model":"claude-haiku-5-5-brief","max_tokens":256,"system":"You plan campaigns.","messages":[{{"role":"user","content":"{TEXT} {at}"}}]}}}}"#
        )?;
    }
    body.push_str("]}");
    let key = ["x-api-key: k", "anthropic-version: 2023-06-01"];
    let start = client.start()?;
    let batch = client.send("POST", "/v1/messages/batches", &key, &body).await?;
    client.tell("anthropic", "taken", items, start)?;
    let path = format!("/v1/messages/batches/{}/results", text(&batch, "\"id\":\"")?);
    client.results("anthropic", &path, &key, items).await
}

async fn openai(client: &Client<'_>, items: usize) -> anyhow::Result<()> {
    let mut lines = String::new();
    for at in 0..items {
        writeln!(
            lines,
            r#"{{"custom_id":"0123456789abcdef0123456789abcdef-001-{at:06}","method":"POST","url":"/v1/chat/completions","body":{{"model":"gpt-6.1-terra-brief","messages":[{{"role":"developer","content":"You plan campaigns."}},{{"role":"user","content":"{TEXT} {at}"}}]}}}}"#
        )?;
    }
    let form = format!(
        "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--b\r\n\
         Content-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n{lines}\r\n--b--\r\n"
    );
    let key = ["authorization: Bearer k"];
    let start = client.start()?;
    let headers = [key[0], "content-type: multipart/form-data; boundary=b"];
    let file = client.send("POST", "/v1/files", &headers, &form).await?;
    let id = text(&file, "\"id\":\"")?;
    let wish = format!(r#"{{"input_file_id":"{id}","endpoint":"/v1/chat/completions","completion_window":"24h"}}"#);
    let batch = client.send("POST", "/v1/batches", &key, &wish).await?;
    client.tell("openai", "taken", items, start)?;
    let path = format!("/v1/files/{}/content", text(&batch, "\"output_file_id\":\"")?);
    client.results("openai", &path, &key, items).await
}

async fn gemini(client: &Client<'_>, items: usize) -> anyhow::Result<()> {
    let mut lines = String::new();
    for at in 0..items {
        writeln!(
            lines,
            r#"{{"key":"0123456789abcdef0123456789abcdef-001-{at:06}","request":{{"systemInstruction":{{"parts":[{{"text":"You plan campaigns."}}]}},"contents":[{{"role":"user","parts":[{{"text":"{TEXT} {at}"}}]}}]}}}}"#
        )?;
    }
    let key = ["x-goog-api-key: k"];
    let start = client.start()?;
    let begin = [key[0], "x-goog-upload-protocol: resumable", "x-goog-upload-command: start"];
    let begun = client.send("POST", "/upload/v1beta/files", &begin, "{}").await?;
    let query = text(&begun, "?upload_id=").or_else(|_| text(&begun, "upload_id="))?;
    let path = format!("/upload/v1beta/files?upload_id={}", query.split('&').next().unwrap_or_default());
    let finish = ["x-goog-upload-command: upload, finalize", "x-goog-upload-offset: 0"];
    let file = client.send("POST", &path, &finish, &lines).await?;
    let name = text(&file, "\"name\":\"")?;
    let wish = format!(r#"{{"batch":{{"displayName":"a","inputConfig":{{"fileName":"{name}"}}}}}}"#);
    let created = client.send("POST", CREATE, &key, &wish).await?;
    client.tell("gemini", "taken", items, start)?;
    let path = format!("/v1beta/{}", text(&created, "{\"name\":\"")?);
    let batch = client.send("GET", &path, &key, "").await?;
    let path = format!("/v1beta/{}:download?alt=media", text(&batch, "\"responsesFile\":\"")?);
    client.results("gemini", &path, &key, items).await
}

/// What stands between a mark and the next quote or line end.
fn text<'a>(answer: &'a str, mark: &str) -> anyhow::Result<&'a str> {
    let (_, rest) = answer.split_once(mark).with_context(|| format!("no {mark} in {answer}"))?;
    Ok(rest.split(['"', '\r']).next().unwrap_or_default())
}

struct Client<'a> {
    addr: &'a str,
    pid: Option<&'a str>,
}

impl Client<'_> {
    fn start(&self) -> anyhow::Result<(Instant, f64)> {
        Ok((Instant::now(), self.used()?))
    }

    /// Reads the results and counts their lines.
    async fn results(&self, provider: &str, path: &str, headers: &[&str], items: usize) -> anyhow::Result<()> {
        let start = self.start()?;
        let answer = self.send("GET", path, headers, "").await?;
        self.tell(provider, "given", items, start)?;
        let lines = answer.lines().filter(|line| line.starts_with('{')).count();
        ensure!(lines >= items, "{lines} lines for {items} items");
        Ok(())
    }

    /// Sends a request on a connection of its own and returns the whole answer, head and all.
    async fn send(&self, method: &str, path: &str, headers: &[&str], body: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(self.addr).await?;
        let length = body.len();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.addr);
        for header in headers {
            write!(head, "{header}\r\n")?;
        }
        write!(head, "content-length: {length}\r\n\r\n")?;
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        // A chunk may end inside a character.
        let answer = String::from_utf8_lossy(&answer).into_owned();
        ensure!(answer.starts_with("HTTP/1.1 200"), "not answered: {}", answer.chars().take(2_000).collect::<String>());
        Ok(answer)
    }

    fn tell(&self, provider: &str, what: &str, items: usize, start: (Instant, f64)) -> anyhow::Result<()> {
        let passed = start.0.elapsed().as_secs_f64();
        let count = f64::from(u32::try_from(items)?);
        let mut out = std::io::stdout().lock();
        write!(out, "{provider} {what}: {items} items, {:.0}/s", count / passed)?;
        if self.pid.is_some() {
            write!(out, ", {:.1} µs of CPU an item, {}", (self.used()? - start.1) / count * 1e6, self.peak()?)?;
        }
        writeln!(out)?;
        Ok(())
    }

    /// User and system time of the emulator, in seconds.
    fn used(&self) -> anyhow::Result<f64> {
        let Some(pid) = self.pid else { return Ok(0.0) };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("no such process")?;
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let field = |at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok()).unwrap_or(0);
        // The kernel counts in hundredths of a second.
        Ok(f64::from(field(11) + field(12)) / 100.0)
    }

    /// The most memory that the emulator had, as the kernel tells it.
    fn peak(&self) -> anyhow::Result<String> {
        let Some(pid) = self.pid else { return Ok(String::new()) };
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("no such process")?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
        Ok(line.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}
