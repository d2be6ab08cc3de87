//! A small HTTP client that shows the bytes: status, headers, body, and how the connection ended.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The order that all tests give.
pub(crate) const ORDER: &str = "우리 애견호텔의 겨울 예약을 늘릴 방법을 보고서로 써줘";

/// One answer as it came.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// The pieces in which a chunked body came.
    pub(crate) chunks: Vec<Vec<u8>>,
    /// Whether the body came whole.
    pub(crate) whole: bool,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The `data:` of each event, parsed where it is JSON.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.text()
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .map(|data| serde_json::from_str(data).unwrap_or_else(|_| Value::String(data.to_owned())))
            .collect()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// The three providers' endpoints, with the headers of their clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    Messages,
    Chat,
    Responses,
    Generate,
}

pub(crate) const APIS: [Api; 4] = [Api::Messages, Api::Chat, Api::Responses, Api::Generate];

impl Api {
    pub(crate) fn path(self, stream: bool) -> &'static str {
        match self {
            Self::Messages => "/v1/messages",
            Self::Chat => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
            Self::Generate if stream => "/v1beta/models/gemini-3.8-flash:streamGenerateContent?alt=sse",
            Self::Generate => "/v1beta/models/gemini-3.8-flash:generateContent",
        }
    }

    pub(crate) fn headers(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Messages => vec![("x-api-key", "k"), ("anthropic-version", "2023-06-01")],
            Self::Chat | Self::Responses => vec![("authorization", "Bearer k")],
            Self::Generate => vec![("x-goog-api-key", "k")],
        }
    }

    /// A body that asks `text`, with a system prompt, and a schema when one is given.
    pub(crate) fn body(self, text: &str, stream: bool, schema: Option<&Value>) -> Value {
        let system = "You plan campaigns.";
        let user = serde_json::json!([{"role": "user", "content": text}]);
        let mut body = match self {
            Self::Messages => serde_json::json!({
                "model": "claude-sonnet-5-5", "max_tokens": 4000, "system": system, "messages": user
            }),
            Self::Chat => serde_json::json!({
                "model": "gpt-6.1-terra",
                "messages": [{"role": "developer", "content": system}, {"role": "user", "content": text}],
                "stream_options": {"include_usage": true}
            }),
            Self::Responses => {
                serde_json::json!({"model": "gpt-6.1-terra", "instructions": system, "input": text})
            }
            Self::Generate => serde_json::json!({
                "system_instruction": {"parts": [{"text": system}]},
                "contents": [{"role": "user", "parts": [{"text": text}]}],
                "generationConfig": {}
            }),
        };
        if self != Self::Generate {
            body["stream"] = stream.into();
        }
        if let Some(schema) = schema {
            let format = serde_json::json!({"type": "json_schema", "name": "s", "schema": schema, "strict": false});
            match self {
                Self::Messages => body["output_config"] = serde_json::json!({"format": format}),
                Self::Chat => {
                    body["response_format"] = serde_json::json!({"type": "json_schema", "json_schema": format});
                }
                Self::Responses => body["text"] = serde_json::json!({"format": format}),
                Self::Generate => body["generationConfig"]["responseJsonSchema"] = schema.clone(),
            }
        }
        body
    }

    /// The text of an answer, plain or streamed.
    pub(crate) fn answered(self, reply: &Reply) -> String {
        let parts = if reply.header("content-type").starts_with("text/event-stream") {
            reply.events()
        } else {
            vec![reply.json()]
        };
        parts.iter().map(|part| self.text_of(part)).collect()
    }

    fn text_of(self, part: &Value) -> String {
        let pointers: &[&str] = match self {
            Self::Messages => &["/content/0/text", "/delta/text"],
            Self::Chat => &["/choices/0/message/content", "/choices/0/delta/content"],
            Self::Responses => &["/output/0/content/0/text"],
            Self::Generate => &["/candidates/0/content/parts/0/text"],
        };
        let delta = part["type"] == "response.output_text.delta";
        let found = pointers.iter().find_map(|pointer| part.pointer(pointer)).or(delta.then(|| &part["delta"]));
        found.and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

/// Asks one of the endpoints.
pub(crate) async fn ask(addr: SocketAddr, api: Api, text: &str, stream: bool) -> io::Result<Reply> {
    let body = api.body(text, stream, None);
    send(addr, "POST", api.path(stream), &api.headers(), &body.to_string()).await
}

/// Sends a request on a connection of its own and reads until it is closed.
pub(crate) async fn send(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(addr).await?;
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    if headers.iter().all(|(name, _)| *name != "content-type") {
        request.push_str("content-type: application/json\r\n");
    }
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{request}\r\n{body}").as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    Ok(parse(&bytes))
}

fn parse(bytes: &[u8]) -> Reply {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let rest = &bytes[end + 4..];
    let (chunks, whole) = if headers.get("transfer-encoding").is_some_and(|value| value == "chunked") {
        dechunk(rest)
    } else {
        let length: usize = headers.get("content-length").map_or(0, |value| value.parse().unwrap());
        (vec![rest.to_vec()], rest.len() == length)
    };
    Reply { status, headers, body: chunks.concat(), chunks, whole }
}

fn dechunk(mut rest: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut chunks = Vec::new();
    while let Some(line) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        rest = &rest[line + 2..];
        if size == 0 {
            return (chunks, true);
        }
        if rest.len() < size + 2 {
            break;
        }
        chunks.push(rest[..size].to_vec());
        rest = &rest[size + 2..];
    }
    (chunks, false)
}
