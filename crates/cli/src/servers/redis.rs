//! The private Redis: streams of names and nothing that must survive, so it keeps no file.

use super::{Place, need, until_ready};
use anyhow::Context as _;
use std::path::PathBuf;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    process::Child,
};

fn socket(place: &Place) -> PathBuf {
    place.sockets.join("redis.sock")
}

/// What `REDIS_URL` would say.
pub(super) fn url(place: &Place) -> String {
    match place.ports {
        None => format!("redis+unix://{}", socket(place).display()),
        Some((_, port)) => format!("redis://127.0.0.1:{port}"),
    }
}

/// Starts the server on a unix socket that only its user and root may open.
pub(super) async fn start(place: &Place) -> anyhow::Result<Child> {
    let redis = need("redis-server", "redis-server")?;
    let socket = socket(place);
    // Left by a server that was killed; the folder's lock says that nobody else uses it.
    let _ = std::fs::remove_file(&socket);
    let (log, sink) = place.log("redis.log")?;
    let mut child = place
        .command(&redis)
        .args(["--bind", "127.0.0.1", "--port", &place.ports.map_or(0, |(_, port)| port).to_string()])
        .args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--maxmemory-policy", "noeviction"])
        .args(["--unixsocketperm", "700", "--loglevel", "warning"])
        .arg("--dir")
        .arg(place.folder.join("redis"))
        .arg("--unixsocket")
        .arg(&socket)
        .stdout(sink)
        .stderr(std::process::Stdio::null())
        .spawn()
        .context("redis-server cannot be started")?;
    until_ready(&mut child, &log, "redis-server", || async {
        let Ok(mut stream) = UnixStream::connect(&socket).await else { return false };
        let mut answer = [0; 5];
        stream.write_all(b"PING\r\n").await.is_ok() && stream.read_exact(&mut answer).await.is_ok() && &answer == b"+PONG"
    })
    .await?;
    Ok(child)
}
