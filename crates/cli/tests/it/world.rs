//! A world for one test: a data folder, the command, and a running `up` that ends with the test.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// The longest that a test waits for a condition.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a command ended with and said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// Reads the one JSON document that `--json` promises.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks the exit code and what was said, on either output.
    pub(crate) fn expect(&self, code: i32, words: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            assert!(self.out.contains(word) || self.err.contains(word), "{word}: {self:?}");
        }
        self
    }
}

pub(crate) struct World {
    pub(crate) folder: PathBuf,
    /// Variables besides the few that every command gets.
    pub(crate) vars: Vec<(String, String)>,
    up: Option<Child>,
    starts: usize,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("chavion-cli-{}", uuid::Uuid::now_v7().simple()));
        fs::create_dir(&folder).unwrap();
        // The servers' user and the sandbox's must be able to pass.
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        Self { folder, vars: Vec::new(), up: None, starts: 0 }
    }

    /// Sets a variable for every command from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.vars.retain(|(known, _)| known != name);
        self.vars.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("자료")
    }

    /// The command with these words, and an environment of its own.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chavion"));
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", &self.folder);
        command.env("GATEWAY_ADDR", "127.0.0.1:0").env("ADMIN_ADDR", "127.0.0.1:0").env("CHAVION_DATA", self.data());
        command.envs(self.vars.iter().cloned()).args(words).stdin(Stdio::null());
        command
    }

    /// Runs the command to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        let ended = self.command(words).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended { code: ended.status.code(), out: text(ended.stdout), err: text(ended.stderr) }
    }

    /// Runs the command with `--json` and returns its answer; it must be well.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let mut words = words.to_vec();
        words.push("--json");
        let ended = self.run(&words);
        assert_eq!(ended.code, Some(0), "{words:?}: {ended:?}");
        ended.json()
    }

    /// Starts `up` and waits until it is ready; the other commands then find it. Returns what it says of itself.
    pub(crate) fn up(&mut self) -> Value {
        self.starts += 1;
        let (out, err) = (self.log("out"), self.log("err"));
        let mut command = self.command(&["up", "--json"]);
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let mut child = command.spawn().unwrap();
        let start = Instant::now();
        let told = loop {
            if let Ok(told) = serde_json::from_str::<Value>(&fs::read_to_string(&out).unwrap()) {
                break told;
            }
            let ended = child.try_wait().unwrap();
            assert!(
                ended.is_none() && start.elapsed() < PATIENCE,
                "up is not ready ({ended:?}): {}",
                fs::read_to_string(&err).unwrap()
            );
            std::thread::sleep(Duration::from_millis(10));
        };
        self.up = Some(child);
        self.set("CHAVION_URL", told["url"].as_str().unwrap());
        told
    }

    /// What the last `up` wrote to standard error.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.log("err")).unwrap()
    }

    /// Sends `up` a signal, waits for its end, and for that of all that it had started.
    pub(crate) fn end(&mut self, signal: Signal) -> ExitStatus {
        send(self.up.as_ref().unwrap(), signal);
        self.ended()
    }

    /// Waits for the end of `up`, and for that of all that it had started.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let status = self.up.take().unwrap().wait().unwrap();
        self.until_alone();
        status
    }

    /// Waits until no process is left that names this world's folder.
    pub(crate) fn until_alone(&self) {
        until("no process is left", || self.left().is_empty());
    }

    fn left(&self) -> Vec<String> {
        Self::processes("cmdline").into_iter().filter(|words| words.contains(&*self.folder.to_string_lossy())).collect()
    }

    /// What the kernel tells of every process in one of its files.
    pub(crate) fn processes(file: &str) -> Vec<String> {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let words = processes.map(|process| fs::read(process.path().join(file)).unwrap_or_default());
        words.map(|words| String::from_utf8_lossy(&words).replace('\0', " ")).collect()
    }

    fn log(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("up-{}.{ending}", self.starts))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut up) = self.up.take() {
            send(&up, Signal::TERM);
            let _ = up.wait();
        }
        if std::thread::panicking() {
            eprintln!("kept: {}", self.folder.display());
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Sends a signal to a child of ours.
pub(crate) fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Waits until `condition` holds.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
