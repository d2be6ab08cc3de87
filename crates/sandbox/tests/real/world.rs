//! A world for one test: a folder that anyone may pass, work folders in it, and the launcher.

use sandbox::{Ended, Error, Sandbox, Spec};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// The launcher: our own small binary, since a test harness has no `main` of ours.
pub(crate) const LAUNCHER: &str = env!("CARGO_BIN_EXE_chavion-sandbox");
/// A uid that no one else has, for tests of an executor that is not root: each test runs in a process of its own, and
/// what one uid runs may be killed and counted by another of the same.
pub(crate) fn someone() -> u32 {
    // Also a root that has no more than the usual 65,536 of them has these.
    20_000 + std::process::id() % 40_000
}

pub(crate) struct World {
    pub(crate) root: PathBuf,
}

impl World {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("chavion-sandbox-{}-{count}", std::process::id()));
        // A killed test of the same pid may have left one behind.
        let _ = fs::remove_dir_all(&root);
        fs::create_dir(&root).unwrap();
        open_to(&root, 0o755);
        Self { root }
    }

    /// Makes a folder, open to all.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.root.join(name);
        fs::create_dir(&folder).unwrap();
        open_to(&folder, 0o777);
        folder
    }

    pub(crate) fn spec(&self, script: &str) -> Spec {
        let work = self.root.join("work");
        if !work.exists() {
            self.folder("work");
        }
        let mut spec = Spec::script(work, script);
        // A bound for what hangs: on a busy machine a gigabyte takes most of a minute.
        spec.limits.wall = Duration::from_mins(5);
        spec
    }

    pub(crate) async fn run(&self, spec: &Spec) -> Result<Ended, Error> {
        Sandbox::with_launcher(LAUNCHER).run(spec, &CancellationToken::new()).await
    }

    /// Runs a script that is expected to be run.
    pub(crate) async fn sh(&self, script: &str) -> Ended {
        self.run(&self.spec(script)).await.unwrap()
    }

    /// Writes a launcher that execs the real one after `prelude`, lines of shell or Perl.
    pub(crate) fn launcher(&self, interpreter: &str, prelude: &str, exec: &str) -> Sandbox {
        let real = self.root.join("real-launcher");
        fs::copy(LAUNCHER, &real).unwrap();
        open_to(&real, 0o755);
        let script = self.root.join("launcher");
        let exec = exec.replace("REAL", real.to_str().unwrap());
        fs::write(&script, format!("#!{interpreter}\n{prelude}\n{exec}\n")).unwrap();
        open_to(&script, 0o755);
        Sandbox::with_launcher(script)
    }

    /// A launcher that is not root, and a work folder of its own.
    pub(crate) fn as_someone(&self, script: &str) -> (Sandbox, Spec) {
        let someone = someone();
        let who = format!("--reuid={someone} --regid={someone} --clear-groups");
        let sandbox = self.launcher("/bin/sh", "", &format!("exec setpriv {who} REAL \"$@\""));
        let spec = self.spec(script);
        std::os::unix::fs::chown(&spec.workdir, Some(someone), Some(someone)).unwrap();
        (sandbox, spec)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

pub(crate) fn open_to(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Tells whether a process runs; a zombie does not.
pub(crate) fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// Reads the pids that a script has left in a file, once it has left `count`.
pub(crate) async fn pids(file: &Path, count: usize) -> Vec<u32> {
    let read = || -> Vec<u32> {
        fs::read_to_string(file).unwrap_or_default().split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    };
    until("the script has written its pids", || read().len() >= count).await;
    read()
}

pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Tells, loudly, that this machine cannot show what a test is about.
#[must_use]
pub(crate) fn lacks(what: &str, there: bool) -> bool {
    if !there {
        eprintln!("SKIPPED: this machine has no {what}, so the test shows nothing");
    }
    !there
}

/// Whether the kernel has Landlock: asked from the kernel by a run, since only a run counts.
pub(crate) async fn landlock(world: &World) -> bool {
    let probe = Spec::script(world.folder("probe"), "true");
    match world.run(&probe).await {
        Ok(_) => true,
        Err(Error::Refused { why, .. }) => {
            eprintln!("refused, as it must be: {why}");
            false
        }
        Err(error) => panic!("neither run nor refused: {error}"),
    }
}

/// A Perl script that becomes a daemon by the book, leaves its pid in `pids`, and stays.
pub(crate) const DAEMON: &str = r#"perl -e '
    use POSIX "setsid";
    exit 0 if fork; setsid(); exit 0 if fork;
    $SIG{$_} = "IGNORE" for qw(TERM HUP INT QUIT);
    open F, ">>", "pids"; syswrite F, "$$\n"; close F;
    sleep 1 while 1'"#;
