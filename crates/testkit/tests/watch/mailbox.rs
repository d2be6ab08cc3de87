//! Takes whatever is posted to it: reports by webhook, alerts by Alertmanager.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// How long a caller may be silent before what it has sent is all.
const SILENCE: Duration = Duration::from_millis(200);

/// A listener that says yes to everything and keeps it.
pub(crate) struct Mailbox {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    taken: Arc<Mutex<String>>,
    _listener: JoinSet<()>,
}

impl Mailbox {
    /// Listens until it is dropped.
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Arc::new(Mutex::new(String::new()));
        let mut tasks = JoinSet::new();
        let kept = Arc::clone(&taken);
        tasks.spawn(async move {
            let mut callers = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                callers.spawn(async move {
                    let text = answered(stream).await;
                    kept.lock().unwrap().push_str(&text);
                });
            }
        });
        Self { address, taken, _listener: tasks }
    }

    /// Everything that was posted so far.
    pub(crate) fn taken(&self) -> String {
        self.taken.lock().unwrap().clone()
    }
}

async fn answered(mut stream: TcpStream) -> String {
    let mut all = Vec::new();
    let mut some = [0; 65_536];
    while let Ok(Ok(count @ 1..)) = tokio::time::timeout(SILENCE, stream.read(&mut some)).await {
        all.extend_from_slice(&some[..count]);
    }
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await;
    String::from_utf8_lossy(&all).into_owned()
}
