//! The real process: ready, stopped, misconfigured, and without its servers.

use crate::world::{MODELS, World, asks};
use domain::task::State;
use std::{collections::BTreeMap, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStderr, Command},
};

/// A running batch-poller, its log as far as it was read, and its admin port.
struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    log: String,
    admin: String,
}

fn command(vars: &BTreeMap<String, String>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_batch-poller"));
    command.env_clear().envs(vars).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Process {
    async fn start(vars: &BTreeMap<String, String>) -> Self {
        let mut child = command(vars).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let first = tokio::time::timeout(testkit::PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
        let started: serde_json::Value = serde_json::from_str(&first).unwrap();
        let admin = started["fields"]["admin"].as_str().unwrap().to_owned();
        Self { child, lines, log: first, admin }
    }

    async fn ready(&self) -> (bool, String) {
        let mut stream = TcpStream::connect(&self.admin).await.unwrap();
        stream.write_all(b"GET /ready HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        (answer.starts_with("HTTP/1.1 200 "), answer)
    }

    async fn terminate(mut self) -> (Option<i32>, String) {
        let pid = self.child.id().expect("it runs").to_string();
        assert!(std::process::Command::new("kill").arg(pid).status().unwrap().success());
        self.end().await
    }

    async fn end(&mut self) -> (Option<i32>, String) {
        let rest = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.log.push('\n');
                self.log.push_str(&line);
            }
            self.child.wait().await.unwrap()
        };
        let status = tokio::time::timeout(testkit::PATIENCE, rest).await.expect("it ends in time");
        (status.code(), self.log.clone())
    }
}

#[tokio::test]
async fn serves_drains_and_exits_0() {
    let world = World::new().await;
    let process = Process::start(&world.vars).await;
    testkit::until("it is ready", || async { process.ready().await.0 }).await;
    let ids = world.order(&asks(MODELS[1], 200)).await;
    let (code, log) = process.terminate().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("asked to stop") && log.contains("\"stopped\""), "{log}");

    // What it took it finished, and what it did not take waits for the next one.
    let next = Process::start(&world.vars).await;
    assert!(world.ended(&ids).await.iter().all(|task| task.state == State::Completed));
    world.until_quiet().await;
    assert_eq!(next.terminate().await.0, Some(0));
}

#[tokio::test]
async fn without_its_servers_it_waits_and_says_for_what() {
    let mut world = World::new().await;
    let (closed, _held) = testkit::process::closed_address();
    world.vars.insert("DATABASE_URL".to_owned(), format!("postgres://a:hunter2@{closed}/x"));
    world.vars.insert("REDIS_URL".to_owned(), format!("redis://:hunter2@{closed}"));
    let process = Process::start(&world.vars).await;
    testkit::until("it names what is missing", || async {
        let (ready, answer) = process.ready().await;
        assert!(!ready, "{answer}");
        answer.contains("\"missing\":[\"postgres\",\"redis\"]")
    })
    .await;
    let (code, log) = process.terminate().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn a_database_of_another_version_is_a_failed_start() {
    let world = World::unmigrated().await;
    let (code, log) = Process::start(&world.vars).await.end().await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("ended by a failure"), "{log}");
}

#[tokio::test]
async fn a_bad_config_exits_64_and_names_every_variable() {
    let vars = BTreeMap::from([("LEASE_SECONDS".to_owned(), "영원".to_owned())]);
    let output = command(&vars).arg("--check-config").output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let named: Vec<_> = said.lines().filter_map(|line| line.split(": ").next()).collect();
    assert_eq!((output.status.code(), named), (Some(64), vec!["DATABASE_URL", "REDIS_URL", "LEASE_SECONDS"]));
}
