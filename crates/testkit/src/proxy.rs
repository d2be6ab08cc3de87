//! A TCP proxy that can be cut and healed, to stand before Redis or Postgres. Refuses to look at
//! what passes through.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A proxy on a free port of this machine; ends with its last owner.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    upstream: String,
    whole: watch::Sender<bool>,
    /// Held for its drop, which ends the proxy and closes its connections.
    _serving: JoinSet<()>,
}

impl Proxy {
    /// Starts to forward to `upstream`, `host:port`.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let whole = watch::Sender::new(true);
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, upstream.to_owned(), whole.subscribe()));
        Self { address, upstream: upstream.to_owned(), whole, _serving: serving }
    }

    /// Starts to forward to the server of a URL such as `redis://host:port/0`.
    ///
    /// # Panics
    /// When the URL names no host and port.
    pub async fn before(url: &str) -> Self {
        let (_, rest) = url.split_once("://").expect("a URL has a scheme");
        let authority = rest.split(['/', '?']).next().expect("a split has a first part");
        Self::start(authority.rsplit('@').next().expect("a split has a first part")).await
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// A URL of the upstream, led through this proxy.
    #[must_use]
    pub fn through(&self, url: &str) -> String {
        url.replacen(&self.upstream, &self.address.to_string(), 1)
    }

    /// Closes every connection, and from now on each new one at once.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Forwards again.
    pub fn heal(&self) {
        self.whole.send_replace(true);
    }
}

async fn serve(listener: TcpListener, upstream: String, whole: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((near, _)) = accepted
                    && *whole.borrow()
                {
                    connections.spawn(forward(near, upstream.clone(), whole.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn forward(mut near: TcpStream, upstream: String, mut whole: watch::Receiver<bool>) {
    let Ok(mut far) = TcpStream::connect(upstream).await else { return };
    near.set_nodelay(true).expect("a live socket takes options");
    far.set_nodelay(true).expect("a live socket takes options");
    tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => {}
        _ = whole.wait_for(|whole| !whole) => {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_cut_closes_and_a_heal_forwards_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = listener.local_addr().unwrap().to_string();
        let mut echoing = JoinSet::new();
        echoing.spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut byte = [0];
                while socket.read(&mut byte).await.is_ok_and(|read| read > 0) {
                    socket.write_all(&byte).await.unwrap();
                }
            }
        });
        let proxy = Proxy::before(&format!("redis://user:secret@{upstream}/0")).await;
        let echoes = async || {
            let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
            let mut byte = [7];
            let sent = socket.write_all(&byte).await;
            (sent.is_ok() && socket.read(&mut byte).await.is_ok_and(|read| read == 1)).then_some(socket)
        };
        let mut socket = echoes().await.unwrap();
        proxy.cut();
        assert_eq!(socket.read(&mut [0]).await.unwrap_or(0), 0);
        assert!(echoes().await.is_none());
        proxy.heal();
        assert!(echoes().await.is_some());
        assert_eq!(proxy.through(&format!("redis://{upstream}/0")), format!("redis://{}/0", proxy.addr()));
    }
}
