//! A provider in a few lines: answers each request with the next reply of a script, byte by byte if
//! need be, and keeps what it was sent.

use prometheus::Registry;
use providers::{Catalogue, Message, Providers, Request, Role};
use secrecy::SecretString;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
};

/// The key that every test uses and that nothing may ever show.
pub const KEY: &str = "sk-test-s3cret-0123456789";

/// One step of a reply.
#[derive(Clone)]
pub enum Step {
    /// These bytes, in a write of their own.
    Bytes(Vec<u8>),
    /// Closes the connection.
    Close,
    /// Says nothing more until the server ends.
    Hang,
    /// Waits until the test opens the gate.
    Gate,
}

/// What the server was sent.
#[derive(Clone, Debug)]
pub struct Seen {
    pub head: String,
    pub body: String,
}

pub struct Server {
    pub base: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    pub gate: Arc<Notify>,
    _running: JoinSet<()>,
}

type Script = Arc<Mutex<VecDeque<Vec<Step>>>>;

impl Server {
    pub async fn start(script: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let gate = Arc::new(Notify::new());
        let script: Script = Arc::new(Mutex::new(script.into()));
        let mut running = JoinSet::new();
        let (log, opened) = (Arc::clone(&seen), Arc::clone(&gate));
        running.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&script), Arc::clone(&log), Arc::clone(&opened)));
            }
        });
        Self { base, seen, gate, _running: running }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// All providers, with every base URL at this server and every key set.
    pub fn providers(&self) -> Providers {
        self.providers_of(Catalogue::built_in().unwrap())
    }

    /// OpenAI's Responses at this server: a dialect that the catalogue keeps for OpenAI's own host.
    pub fn responses(&self) -> Providers {
        let toml = "dated = 2026-11-20\n[[provider]]\nname = \"openai\"\nbase_url_variable = \"OPENAI_BASE_URL\"\n\
            key_variable = \"OPENAI_API_KEY\"\nbatch = \"openai\"\nbatch_price = { num = 1, den = 2 }\n\
            dialect = { wire = \"responses\" }\n[[provider.model]]\nname = \"gpt-6.1-sol\"\n\
            prices = [{ input = \"2\", output = \"10\", cache_read = \"0.1\" }]";
        self.providers_of(Catalogue::parse("test.toml", toml).unwrap())
    }

    fn providers_of(&self, catalogue: Catalogue) -> Providers {
        let base = self.base.clone();
        let vars = move |name: &str| match name {
            "OPENAI_BASE_URL" => Some(SecretString::from(format!("{base}/v1"))),
            name if name.ends_with("_BASE_URL") => Some(SecretString::from(base.as_str())),
            name if name.ends_with("_API_KEY") => Some(SecretString::from(KEY)),
            _ => None,
        };
        Providers::new(catalogue, &vars, &Registry::new()).unwrap()
    }
}

async fn serve(mut stream: TcpStream, script: Script, seen: Arc<Mutex<Vec<Seen>>>, gate: Arc<Notify>) {
    let mut buffer = Vec::new();
    while let Some(request) = receive(&mut stream, &mut buffer).await {
        seen.lock().unwrap().push(request);
        let steps = script.lock().unwrap().pop_front();
        for step in steps.unwrap_or_else(|| whole(418, "", "the script is over")) {
            match step {
                Step::Bytes(bytes) => {
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                    // The other side sees each write on its own.
                    tokio::task::yield_now().await;
                }
                Step::Close => return,
                Step::Hang => std::future::pending().await,
                Step::Gate => gate.notified().await,
            }
        }
    }
}

async fn receive(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Seen> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(buffer.get(..end)?.to_vec()).unwrap();
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok())
                .unwrap_or(0);
            if buffer.len() >= end + 4 + length {
                let rest = buffer.split_off(end + 4 + length);
                let body = String::from_utf8(buffer.split_off(end + 4)).unwrap();
                *buffer = rest;
                return Some(Seen { head, body });
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// A whole reply; `headers` are lines that end in `\r\n`.
pub fn whole(status: u16, headers: &str, body: &str) -> Vec<Step> {
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len());
    vec![Step::Bytes(head.into_bytes())]
}

/// A good JSON reply.
pub fn ok(body: &serde_json::Value) -> Vec<Step> {
    whole(200, "content-type: application/json\r\n", &body.to_string())
}

/// A stream of events without an announced length; the connection is closed after the last piece.
pub fn events(pieces: &[&[u8]]) -> Vec<Step> {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n".to_vec();
    let pieces = pieces.iter().map(|piece| Step::Bytes(piece.to_vec()));
    std::iter::once(Step::Bytes(head)).chain(pieces).chain([Step::Close]).collect()
}

/// Anthropic's answer with this text.
pub fn message(text: &str) -> serde_json::Value {
    serde_json::json!({"type": "message", "model": "claude-opus-5-5", "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn", "usage": {"input_tokens": 10, "output_tokens": 5}})
}

pub fn request(model: &str) -> Request {
    Request {
        model: model.to_owned(),
        system: Some("당신은 애견호텔의 영업 전문가입니다.".to_owned()),
        messages: vec![Message {
            role: Role::User, text: "겨울 예약을 늘릴 방법을 보고서로 써줘".to_owned()
        }],
        schema: None,
        max_tokens: 1000,
        flex: false,
        timeout: Duration::from_secs(30),
        request_id: "0198-1".to_owned(),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
    }
}
