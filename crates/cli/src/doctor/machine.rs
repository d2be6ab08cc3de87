//! What this machine has: programs, room, ports, and a kernel that confines.

use super::{Finding, finding};
use crate::{servers, vars::is_given};
use sandbox::{Sandbox, Spec};
use std::{net::TcpListener, path::Path, time::Duration};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

/// The programs that Chavion can use, and the Debian packages that hold them.
const PROGRAMS: [(&str, &str, &str); 4] = [
    ("postgres", "postgresql", "the private Postgres of `chavion up`"),
    ("redis-server", "redis-server", "the private Redis of `chavion up`"),
    ("setpriv", "util-linux", "ends the private servers with their master"),
    ("docker", "docker.io", "containers on a server; optional"),
];
/// The ports of the four services, for people.
const PORTS: [(u16, &str); 5] =
    [(5002, "gateway"), (5003, "gateway admin"), (5004, "orchestrator"), (5051, "executor"), (5006, "batch-poller")];
/// Less room than this is too little, in MiB.
const ROOM: u64 = 500;

/// Shows the system, its cores and its memory.
pub(super) fn system() -> Finding {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("an unknown system");
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let free = free.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default() >> 10;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let version = env!("CARGO_PKG_VERSION");
    finding("system", true, format!("chavion {version} on {}, {cores} cores, {free} MiB free", name.trim_matches('"')))
}

/// Looks for the programs; those of the private servers are needed unless others are named.
pub(super) async fn programs() -> Vec<Finding> {
    let mut findings = Vec::new();
    for (program, package, purpose) in PROGRAMS {
        let optional = program == "docker" || is_given("DATABASE_URL");
        let Some(path) = servers::find(program) else {
            let said = format!("not installed ({purpose}): apt-get install {package}");
            findings.push(finding(program, optional, said));
            continue;
        };
        let asked = Command::new(&path).arg("--version").output();
        let told = tokio::time::timeout(Duration::from_secs(5), asked).await;
        let version = told.ok().and_then(Result::ok).map(|out| out.stdout).unwrap_or_default();
        let version = String::from_utf8_lossy(&version).lines().next().unwrap_or_default().to_owned();
        findings.push(finding(program, true, format!("{} ({version})", path.display())));
    }
    findings
}

/// Runs a command that does nothing in the sandbox, to see which layers this kernel has.
pub(super) async fn sandbox(folder: &Path) -> Finding {
    let room = std::env::temp_dir().join(format!("chavion-doctor-{}", uuid::Uuid::now_v7().simple()));
    if let Err(error) = std::fs::create_dir(&room) {
        return finding("sandbox", false, format!("{} cannot be made: {error}", room.display()));
    }
    let spec = Spec::script(&room, "true");
    let told = Sandbox::with_launcher("/proc/self/exe").run(&spec, &CancellationToken::new()).await;
    // Best effort: the system empties its folder for temporary files.
    let _ = std::fs::remove_dir_all(&room);
    match told {
        Ok(ended) => {
            let layers: Vec<&str> = ended.layers.iter().map(|layer| layer.as_str()).collect();
            finding(
                "sandbox",
                true,
                format!("holds commands in {} by {}", folder.join("work").display(), layers.join(", ")),
            )
        }
        Err(error) => finding("sandbox", false, format!("no command will be run: {error}")),
    }
}

/// Looks at the data folder and the room on its disk.
pub(super) fn folder(folder: &Path) -> Finding {
    let shown = folder.display();
    let Some(there) = folder.ancestors().find(|path| path.exists()) else {
        return finding("data folder", false, format!("{shown} cannot be made"));
    };
    let note = if there == folder { "" } else { " (made at the first `chavion up`)" };
    match rustix::fs::statvfs(there) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize) >> 20;
            finding("data folder", free > ROOM, format!("{shown}{note}, {free} MiB free"))
        }
        Err(error) => finding("data folder", false, format!("{shown} cannot be used: {error}")),
    }
}

/// Tells which ports are taken; a running Chavion takes them too.
pub(super) fn ports() -> Finding {
    let (free, taken): (Vec<_>, Vec<_>) =
        PORTS.into_iter().partition(|(port, _)| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    let list = |ports: &[(u16, &str)]| {
        let words: Vec<String> = ports.iter().map(|(port, service)| format!("{port} {service}")).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(", ") }
    };
    finding("ports", true, format!("free: {}; taken: {}", list(&free), list(&taken)))
}
