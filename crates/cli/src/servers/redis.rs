//! The private Redis: streams of names and nothing that must survive, so it keeps no file.

use super::{Place, leftover, place::Guard, programs::need, until_ready};
use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use std::{path::PathBuf, process::Stdio};
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
    let password = place.guard.as_ref().map(|guard| guard.password.expose_secret());
    match (place.ports, password) {
        (None, None) => format!("redis+unix://{}", socket(place).display()),
        (None, Some(password)) => format!("redis+unix://{}?pass={password}", socket(place).display()),
        (Some((_, port)), None) => format!("redis://127.0.0.1:{port}"),
        (Some((_, port)), Some(password)) => format!("redis://default:{password}@127.0.0.1:{port}"),
    }
}

/// Starts the server on a unix socket that only its user and root may open.
pub(super) async fn start(place: &Place) -> anyhow::Result<(Child, PathBuf)> {
    let redis = need("redis-server")?;
    let (home, socket) = (place.folder.join("redis"), socket(place));
    let pid_file = home.join("redis.pid");
    leftover::until_gone("redis-server", &pid_file, &home).await?;
    // Left by a server that was killed; the folder's lock says that nobody else uses it.
    let _ = std::fs::remove_file(&socket);
    let (log, sink) = place.log("redis.log")?;
    let mut command = place.command(&redis);
    command
        .args(["--bind", "127.0.0.1", "--port", &place.ports.map_or(0, |(_, port)| port).to_string()])
        .args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--maxmemory-policy", "noeviction"])
        // Its arguments stay to be seen, so that a later start knows it again.
        .args(["--unixsocketperm", "700", "--loglevel", "warning", "--set-proc-title", "no"])
        .arg("--dir")
        .arg(&home)
        .arg("--pidfile")
        .arg(&pid_file)
        .arg("--unixsocket")
        .arg(&socket);
    if place.guard.is_some() {
        // Command lines are for all to read: the password comes by standard input.
        command.arg("-").stdin(Stdio::piped());
    }
    let mut child = command.stdout(sink).stderr(Stdio::null()).spawn().context("redis-server cannot be started")?;
    if let (Some(guard), Some(mut input)) = (&place.guard, child.stdin.take()) {
        let line = format!("requirepass {}\n", guard.password.expose_secret());
        // Where it has ended already, its log tells why.
        let _ = input.write_all(line.as_bytes()).await;
    }
    until_ready(&mut child, &log, "redis-server", || async { Ok(answers(place).await.is_some()) }).await?;
    Ok((child, log))
}

async fn answers(place: &Place) -> Option<()> {
    let mut stream = UnixStream::connect(socket(place)).await.ok()?;
    let enter = |guard: &Guard| format!("AUTH {}\r\n", guard.password.expose_secret());
    let question = place.guard.as_ref().map(enter).unwrap_or_default() + "PING\r\n";
    stream.write_all(question.as_bytes()).await.ok()?;
    let expected: &[u8] = if place.guard.is_some() { b"+OK\r\n+PONG\r\n" } else { b"+PONG\r\n" };
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).await.ok()?;
    (answer == expected).then_some(())
}
