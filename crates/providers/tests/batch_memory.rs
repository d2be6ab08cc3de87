//! Twenty thousand lines pass through, and what cannot be passed on is not taken in.

#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

#[expect(unreachable_pub, dead_code, reason = "each test binary uses its part")]
mod batches;
#[expect(unreachable_pub, dead_code, reason = "each test binary uses its part of the server")]
mod server;

use batches::{TOKEN, job};
use futures_util::{StreamExt, stream};
use providers::{BatchLine, BatchLines, BatchSpec, Catalogue, Class, Providers};
use secrecy::SecretString;
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

const LINES: usize = 20_000;
/// More than the buffers of any two sockets, far less than all lines together.
const HELD: usize = 24 << 20;

async fn at(listener: &TcpListener) -> Providers {
    let base = format!("http://{}", listener.local_addr().unwrap());
    let vars = move |name: &str| match name {
        name if name.ends_with("_BASE_URL") => Some(SecretString::from(base.as_str())),
        name if name.ends_with("_API_KEY") => Some(SecretString::from("k")),
        _ => None,
    };
    Providers::new(Catalogue::built_in().unwrap(), &vars, &prometheus::Registry::new()).unwrap()
}

/// Waits until a count has stood still for a while: nothing moves any more.
async fn settled(count: &AtomicUsize) -> usize {
    let mut last = usize::MAX;
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = count.load(Ordering::Relaxed);
        if now == last && now > 0 {
            return now;
        }
        last = now;
    }
}

/// Reads a request's head and returns its length and what of the body came with it.
async fn head(stream: &mut TcpStream) -> (usize, usize) {
    let mut buffer = Vec::new();
    loop {
        stream.read_buf(&mut buffer).await.unwrap();
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(buffer.get(..end).unwrap().to_vec()).unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            return (length, buffer.len() - end - 4);
        }
    }
}

/// Sends a batch of 100 MB to a server that does not read until it is told to.
async fn sent(provider: &str, model: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let batches = at(&listener).await.batches(provider).unwrap();
    let body = batches.body(&server::request(model)).unwrap();
    let body = body.replace("겨울", &"겨울".repeat(900));
    let id = |at: usize| format!("{TOKEN}-{at:06}");
    let line = batches.line_bytes(id(0).len(), body.len());
    let spec = BatchSpec {
        token: TOKEN.to_owned(),
        model: Some(model.to_owned()),
        items: u32::try_from(LINES).unwrap(),
        bytes: line * u64::try_from(LINES).unwrap(),
    };
    assert!(spec.bytes > 100_000_000);
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    let lines: BatchLines = Box::pin(stream::iter(0..LINES).map(move |at| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(BatchLine { custom_id: id(at), body: body.clone() })
    }));
    let (go, gate) = oneshot::channel::<()>();
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (length, mut got) = head(&mut stream).await;
        gate.await.unwrap();
        let mut buffer = vec![0; 1 << 20];
        while got < length {
            got += stream.read(&mut buffer).await.unwrap();
        }
        assert_eq!(got, length);
        let body = json!({"id": "file-1"}).to_string();
        let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(reply.as_bytes()).await.unwrap();
    };
    let watching = async {
        let waiting = settled(&taken).await;
        assert!(
            waiting * usize::try_from(line).unwrap() < HELD,
            "{waiting} lines were taken for a server that reads none"
        );
        go.send(()).unwrap();
    };
    let sending = async {
        if provider == "anthropic" {
            assert_eq!(batches.create(&spec, None, lines).await.unwrap().id, "file-1");
        } else {
            assert_eq!(batches.upload(&spec, lines).await.unwrap().as_deref(), Some("file-1"));
        }
    };
    tokio::join!(serving, watching, sending);
    assert_eq!(taken.load(Ordering::Relaxed), LINES);
}

#[tokio::test]
async fn lines_are_taken_as_fast_as_they_are_sent() {
    sent("openai", "openai/gpt-6.1-sol").await;
    sent("anthropic", "anthropic/claude-opus-5-5").await;
}

#[tokio::test]
async fn results_are_taken_as_fast_as_they_are_read() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let batches = at(&listener).await.batches("anthropic").unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let text = "겨울 ".repeat(700);
    let line = |at: usize| {
        let result = json!({"type": "succeeded", "message": server::message(&text)});
        json!({"custom_id": format!("{TOKEN}-{at:06}"), "result": result}).to_string() + "\n"
    };
    let length = line(0).len() * LINES;
    assert!(length > 100_000_000);
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        head(&mut stream).await;
        stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes()).await.unwrap();
        for at in 0..LINES {
            let line = line(at);
            stream.write_all(line.as_bytes()).await.unwrap();
            sent.fetch_add(line.len(), Ordering::Relaxed);
        }
    };
    let reading = async {
        let mut results = batches.results(&job("msgbatch_1", None, None), batches::DAY).await.unwrap();
        results.next().await.unwrap().unwrap();
        let waiting = settled(&sent).await;
        assert!(waiting < HELD, "{waiting} bytes were taken for a reader of one line");
        let mut read = 1;
        while let Some(result) = results.next().await {
            result.unwrap();
            read += 1;
        }
        read
    };
    let ((), read) = tokio::join!(serving, reading);
    assert_eq!(read, LINES);
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_an_upload_is_heard() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let batches = at(&listener).await.batches("openai").unwrap();
    let mut request = server::request("openai/gpt-6.1-sol");
    request.system = Some("겨울 ".repeat(150_000));
    let (spec, asks) = batches::asks(&batches, &vec![request; 40]);
    assert!(spec.bytes > 40_000_000);
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (length, got) = head(&mut stream).await;
        assert!(got < length);
        stream.write_all(b"HTTP/1.1 401 X\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}").await.unwrap();
        // The rest is not read; the connection stays until the other side gives up.
        while stream.read(&mut vec![0; 1 << 20]).await.is_ok_and(|got| got > 0) {}
    };
    let (uploaded, ()) = tokio::join!(batches.upload(&spec, batches::lines(&asks)), serving);
    let error = uploaded.unwrap_err();
    assert_eq!((error.status, error.class), (Some(401), Class::Hold));
}
