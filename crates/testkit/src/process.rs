//! Real processes under test: started from the build's own folder, killed with -9 or stopped with SIGTERM, and
//! ended with the test whatever happens. Refuses to know what they do.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::BTreeMap,
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A child process that dies with its handle.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
    variables: BTreeMap<String, String>,
}

impl Process {
    /// Starts a binary of this build, with these variables and no others, its output in a log file.
    ///
    /// # Panics
    /// When the binary was not built or cannot be started.
    #[must_use]
    pub fn start(name: &str, variables: &BTreeMap<String, String>, log: &Path) -> Self {
        let child = spawn(name, variables, log);
        Self { child, name: name.to_owned(), log: log.to_owned(), variables: variables.clone() }
    }

    /// Returns the process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it with -9 and starts it again with the same variables.
    pub fn kill_and_restart(&mut self) {
        self.kill();
        self.child = spawn(&self.name, &self.variables, &self.log);
    }

    /// Kills it with -9.
    pub fn kill(&mut self) {
        // An error means that it has ended already, and then wait returns at once.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends SIGTERM and waits for its end.
    ///
    /// # Panics
    /// When it has not ended within [`crate::PATIENCE`].
    pub async fn stop(&mut self) -> ExitStatus {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let start = std::time::Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(start.elapsed() < crate::PATIENCE, "{} did not end after SIGTERM: {}", self.name, self.said());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Tells whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_none())
    }

    /// Returns what it has written so far.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(name: &str, variables: &BTreeMap<String, String>, log: &Path) -> Child {
    let out = File::options().create(true).append(true).open(log).expect("the log can be written");
    let errors = out.try_clone().expect("a file handle can be doubled");
    Command::new(binary(name))
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        .envs(variables)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(errors)
        .spawn()
        .unwrap_or_else(|error| panic!("{name} cannot be started ({error}); build it with: cargo build --workspace"))
}

/// Finds a binary of the build that this test belongs to: `target/debug` or `target/release`.
///
/// # Panics
/// When the test runs from nowhere.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("this test has a file");
    own.ancestors().skip(1).map(|folder| folder.join(name)).find(|path| path.is_file()).unwrap_or_else(|| {
        panic!("{name} is not built; build it with: cargo build --workspace");
    })
}

/// The ports that are handed out: below those that Linux gives to outgoing connections (32,768 and up, by default), so
/// that no connection takes one between its choice and its use.
const PORTS: std::ops::Range<u32> = 12_000..32_000;
/// How far apart two processes begin: tests run beside each other, each in a process of its own.
const STRIDE: u32 = 97;
/// The ports that this process was given, each held over UDP, which no service speaks.
static HELD: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// Finds a port that is free now and that nobody else is given while this process lives: not even while its service is
/// down and starts again. The kernel gives it back with the process.
///
/// # Panics
/// When the machine has none.
#[must_use]
pub fn free_address() -> SocketAddr {
    let begin = std::process::id().wrapping_mul(STRIDE);
    for offset in PORTS {
        let place = begin.wrapping_add(offset) % (PORTS.end - PORTS.start);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(PORTS.start + place).unwrap_or(u16::MAX)));
        let Ok(hold) = UdpSocket::bind(address) else { continue };
        if TcpListener::bind(address).is_ok() {
            HELD.lock().unwrap_or_else(PoisonError::into_inner).push(hold);
            return address;
        }
    }
    panic!("no port of {PORTS:?} is free");
}

/// An address at which nobody listens, and nobody will while it is kept: it is bound, and refuses every connection.
///
/// # Panics
/// When no port can be had.
#[must_use]
pub fn closed_address() -> (SocketAddr, tokio::net::TcpSocket) {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket can be made");
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
    (socket.local_addr().expect("a bound socket has an address"), socket)
}

/// Asks an admin port for a path and returns the status and the body; `None` when nobody answers.
pub async fn ask(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").as_bytes())
        .await
        .ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split_whitespace().nth(1)?.parse().ok()?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())?;
    Some((status, body))
}

/// Waits until an admin port says that its service is ready.
///
/// # Panics
/// When it does not within [`crate::PATIENCE`].
pub async fn until_ready(address: SocketAddr) {
    crate::until("the service is ready", || async { matches!(ask(address, "/ready").await, Some((200, _))) }).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_port_is_given_twice_or_to_an_outgoing_connection_or_to_another_process() {
        let given: HashSet<SocketAddr> = (0..200).map(|_| free_address()).collect();
        assert_eq!(given.len(), 200);
        assert!(given.iter().all(|address| PORTS.contains(&u32::from(address.port()))));
        // Another process asks as this one does: for the port over UDP.
        assert!(given.iter().all(|address| UdpSocket::bind(address).is_err()));
    }

    #[tokio::test]
    async fn a_closed_address_refuses() {
        let (address, _held) = closed_address();
        let refused = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        assert!(TcpListener::bind(address).is_err(), "nobody else can have it");
    }
}
