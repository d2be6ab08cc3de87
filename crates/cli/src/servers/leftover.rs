//! Servers that a killed master left behind. Refuses to signal a process that is not of this folder.

use super::PATIENCE;
use anyhow::bail;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// Ends the server whose number is in `pid_file` and waits until it is gone. The folder's lock says that nobody
/// else may have it.
///
/// # Errors
/// When it does not end.
pub(super) async fn until_gone(program: &str, pid_file: &Path, home: &Path) -> anyhow::Result<()> {
    let start = Instant::now();
    loop {
        let file = std::fs::read_to_string(pid_file).unwrap_or_default();
        let pid = file.lines().next().and_then(|line| line.trim().parse().ok()).and_then(Pid::from_raw);
        let Some(pid) = pid.filter(|pid| is_ours(*pid, program, home)) else { return Ok(()) };
        // An error means that it has just ended.
        let _ = kill_process(pid, Signal::INT);
        if start.elapsed() > PATIENCE {
            bail!("the {program} of an earlier start (process {}) does not end", pid.as_raw_nonzero());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Tells whether a process is a server of this folder; its number may long be another's.
fn is_ours(pid: Pid, program: &str, home: &Path) -> bool {
    let command = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).into_owned();
    command.contains(program) && command.split('\0').any(|word| Path::new(word) == home)
}
