//! Starts the example service as a process of its own and watches it from outside.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};

/// A running specimen, its log as far as it was read, and its admin port.
pub(crate) struct Specimen {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    log: String,
    pub(crate) admin: Option<String>,
}

/// What a process said and how it ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

fn binary() -> PathBuf {
    // The test binary lies in target/<profile>/deps, the examples beside that folder.
    let own = std::env::current_exe().unwrap();
    own.parent().unwrap().parent().unwrap().join("examples/specimen")
}

fn command(vars: &[(&str, &str)]) -> Command {
    let mut command = Command::new(binary());
    command.env_clear().kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs(vars.iter().copied());
    command
}

/// Runs the specimen to its end.
pub(crate) async fn ended(arguments: &[&str], vars: &[(&str, &str)]) -> Ended {
    let run = command(vars).args(arguments).output();
    let output = tokio::time::timeout(testkit::PATIENCE, run).await.expect("it ends").unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Specimen {
    /// Starts the specimen on a free admin port and waits for its first log line.
    pub(crate) async fn start(vars: &[(&str, &str)]) -> Self {
        let mut command = command(&[("TOKEN", "열려라"), ("REPLICA", "시험-1"), ("ADMIN_ADDR", "127.0.0.1:0")]);
        let mut child = command.envs(vars.iter().copied()).spawn().expect("cargo builds the examples for tests");
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut specimen = Self { child, lines, log: String::new(), admin: None };
        let first = specimen.until_log("\"started\"").await;
        let first: serde_json::Value = serde_json::from_str(&first).unwrap();
        specimen.admin = first["fields"]["admin"].as_str().map(str::to_owned);
        specimen
    }

    /// Reads the log until a line holds `text`, and returns that line.
    pub(crate) async fn until_log(&mut self, text: &str) -> String {
        let search = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.log.push_str(&line);
                self.log.push('\n');
                if line.contains(text) {
                    return Some(line);
                }
            }
            None
        };
        let found = tokio::time::timeout(testkit::PATIENCE, search).await.expect("the line comes in time");
        found.unwrap_or_else(|| panic!("{text:?} never came in\n{}", self.log))
    }

    /// Waits until `/ready` answers 200.
    pub(crate) async fn until_ready(&self) {
        testkit::until("the specimen is ready", || async { self.get("/ready").await.0 == 200 }).await;
    }

    /// Asks the admin port and returns the status and the body.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin.as_ref().unwrap()).await.unwrap();
        let path: String =
            path.bytes().map(|b| if b.is_ascii() { char::from(b).to_string() } else { format!("%{b:02X}") }).collect();
        let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Sends a signal by its short name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = std::process::Command::new("kill").args([format!("-{name}"), pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end and returns the exit code and the whole log.
    pub(crate) async fn end(mut self) -> (Option<i32>, String) {
        let rest = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.log.push_str(&line);
                self.log.push('\n');
            }
            self.child.wait().await.unwrap()
        };
        let status: ExitStatus = tokio::time::timeout(testkit::PATIENCE, rest).await.expect("it ends in time");
        (status.code(), self.log)
    }
}
