//! What this machine has: system, memory, room, clock, programs, and a kernel that confines.

use super::{
    Finding,
    ask::{ask, version},
    stack::Stack,
};
use crate::{servers, vars::is_given};
use procfs::{Current as _, Meminfo};
use sandbox::{Layer, Sandbox, Spec};
use std::{
    collections::BTreeMap,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};
use tokio_util::sync::CancellationToken;

/// The programs of `chavion up`'s private servers, and the Debian packages that hold them.
const PROGRAMS: [(&str, &str); 3] =
    [("postgres", "postgresql"), ("redis-server", "redis-server"), ("setpriv", "util-linux")];
/// Less room than this is too little for anything, in MiB.
const ROOM: u64 = 500;
/// What the stack's images and first days take, in MiB.
const ROOM_STACK: u64 = 5 << 10;
/// What the stack takes when it has little to do, and what leaves room for work, in MiB.
const MEMORY_STACK: (u64, u64) = (1 << 10, 3 << 10);

/// Writes a number of MiB for people.
fn shown(mib: u64) -> String {
    if mib < 10 << 10 { format!("{mib} MiB") } else { format!("{} GiB", mib >> 10) }
}

/// Shows the system, its kernel and its cores.
pub(super) fn system() -> Finding {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("an unknown system");
    let kernel = rustix::system::uname();
    let (release, machine) = (kernel.release().to_string_lossy(), kernel.machine().to_string_lossy());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let who = if rustix::process::geteuid().is_root() { "as root" } else { "not as root: some of it stays unseen" };
    let version = env!("CARGO_PKG_VERSION");
    let name = name.trim_matches('"');
    Finding::good("system", format!("{name}, Linux {release} {machine}, {cores} cores; chavion {version}, {who}"))
}

/// Shows memory and swap; the stack needs some.
pub(super) fn memory(is_stack: bool) -> Finding {
    let Ok(memory) = Meminfo::current() else {
        return Finding::note("memory", "/proc/meminfo cannot be read", "look with: free -h");
    };
    let (all, free) = (memory.mem_total >> 20, memory.mem_available.unwrap_or(memory.mem_free) >> 20);
    let swap = match memory.swap_total >> 20 {
        0 => "no swap".to_owned(),
        swap => format!("{} of {} swap free", shown(memory.swap_free >> 20), shown(swap)),
    };
    let said = format!("{} of {} free, {swap}", shown(free), shown(all));
    let (least, enough) = MEMORY_STACK;
    // What runs already has taken its share of what is free.
    if is_stack && all < least {
        return Finding::bad("memory", said, format!("the stack needs {}, better {}", shown(least), shown(enough)));
    }
    if is_stack && all < enough && memory.swap_total == 0 {
        let cure = "add swap: fallocate -l 2G /swap && chmod 600 /swap && mkswap /swap && swapon /swap";
        return Finding::note("memory", said, cure);
    }
    Finding::good("memory", said)
}

/// Shows the room on the disks that Chavion writes to, each disk once.
pub(super) fn disks(data: &Path, stack: Option<&Stack>, docker: Option<&Path>) -> Vec<Finding> {
    let mut wanted: Vec<(&str, &Path, u64)> = Vec::new();
    match stack {
        Some(stack) => {
            wanted.push(("backups", &stack.folder, ROOM));
            wanted.extend(docker.map(|root| ("Docker", root, ROOM_STACK)));
        }
        None => wanted.push(("data", data, ROOM)),
    }
    let mut disks: BTreeMap<u64, (Vec<String>, PathBuf, u64)> = BTreeMap::new();
    let mut findings = Vec::new();
    for (what, folder, room) in wanted {
        let there = folder.ancestors().find_map(|path| Some((path, path.metadata().ok()?)));
        let Some((there, meta)) = there else {
            let cure = "name another folder with --data";
            findings.push(Finding::bad("disk", format!("{} cannot be made", folder.display()), cure));
            continue;
        };
        let note = if there == folder { "" } else { " (to be made)" };
        let disk = disks.entry(meta.dev()).or_insert_with(|| (Vec::new(), there.to_path_buf(), room));
        disk.0.push(format!("{what} {}{note}", folder.display()));
        disk.2 = disk.2.max(room);
    }
    findings.extend(disks.into_values().map(|(names, path, room)| disk(&names.join(", "), &path, room)));
    findings
}

fn disk(names: &str, path: &Path, room: u64) -> Finding {
    let disk = match rustix::fs::statvfs(path) {
        Ok(disk) => disk,
        Err(error) => return Finding::bad("disk", format!("{names}: {error}"), "look at: df -h"),
    };
    let size = |blocks: u64| blocks.saturating_mul(disk.f_frsize) >> 20;
    let (free, all) = (size(disk.f_bavail), size(disk.f_blocks));
    let said = format!("{} of {} free: {names}", shown(free), shown(all));
    // Some file systems do not count files at all.
    if disk.f_files > 0 && disk.f_favail < 1000 {
        return Finding::bad("disk", format!("{said}; no inodes are left"), "remove many small files: df -i");
    }
    if free < ROOM {
        Finding::bad("disk", said, "make room: docker system prune, old backups, journalctl --vacuum-size=200M")
    } else if free < room {
        Finding::note("disk", said, format!("make room: {} are better", shown(room)))
    } else {
        Finding::good("disk", said)
    }
}

/// Tells whether the clock is set by the network: certificates, batches and deadlines go by it.
pub(super) async fn clock() -> Finding {
    let now = time::OffsetDateTime::now_utc();
    let now = format!("{} {:02}:{:02} UTC", now.date(), now.hour(), now.minute());
    let asked = ask("timedatectl", &["show", "--property=NTPSynchronized", "--value"]).await;
    let cure = "apt-get install systemd-timesyncd; timedatectl set-ntp true";
    match asked.filter(|answer| answer.ok).map(|answer| answer.out).as_deref() {
        Some("yes") => Finding::good("clock", format!("{now}, set by the network")),
        Some("no") => Finding::note("clock", format!("{now}, not set by the network"), cure),
        _ => Finding::good("clock", format!("{now}; who sets it cannot be told (no systemd answers)")),
    }
}

/// Looks for the programs of the private servers; they are needed where neither containers nor URLs are used.
pub(super) async fn programs(is_stack: bool) -> Finding {
    let (mut found, mut missing, mut packages) = (Vec::new(), Vec::new(), Vec::new());
    for (program, package) in PROGRAMS {
        let Some(path) = servers::find(program) else {
            missing.push(program);
            packages.push(package);
            continue;
        };
        let told = ask(&path.display().to_string(), &["--version"]).await.unwrap_or_default();
        found.push(format!("{program} {}", version(&told.out).unwrap_or("?")));
    }
    if missing.is_empty() {
        return Finding::good("programs", found.join(", "));
    }
    let said = format!("not installed: {}", missing.join(", "));
    if is_stack || is_given("DATABASE_URL") {
        return Finding::good("programs", format!("{said} (only `chavion up` on its own uses them)"));
    }
    Finding::bad("programs", said, format!("apt-get install {}", packages.join(" ")))
}

/// Runs a command that does nothing in the sandbox, to see which layers this kernel has.
pub(super) async fn sandbox() -> Finding {
    let room = std::env::temp_dir().join(format!("chavion-doctor-{}", uuid::Uuid::now_v7().simple()));
    if let Err(error) = std::fs::create_dir(&room) {
        let said = format!("{} cannot be made: {error}", room.display());
        return Finding::bad("sandbox", said, "make room in the folder for temporary files, or set TMPDIR");
    }
    let spec = Spec::script(&room, "true");
    let told = Sandbox::with_launcher("/proc/self/exe").run(&spec, &CancellationToken::new()).await;
    // Best effort: the system empties its folder for temporary files.
    let _ = std::fs::remove_dir_all(&room);
    match told {
        Ok(ended) => {
            let layers: Vec<&str> = ended.layers.iter().map(|layer| layer.as_str()).collect();
            // What the layers rest on: network rules came with Landlock's ABI 4, scopes with 6.
            let abi = match () {
                () if ended.layers.contains(&Layer::Scope) => "6 or newer",
                () if ended.layers.contains(&Layer::Network) => "4 or 5",
                () => "1 to 3",
            };
            let said = format!("holds by {}; kernel: Landlock ABI {abi}{}", layers.join(", "), others());
            if ended.layers.contains(&Layer::Network) {
                Finding::good("sandbox", said)
            } else {
                let cure = "Linux 6.7 or newer also keeps commands from the network; without it SANDBOX_REQUIRE=network refuses them";
                Finding::note("sandbox", said, cure)
            }
        }
        Err(error) => {
            let cure = "use Linux 5.13 or newer with landlock in the kernel's lsm= list: cat /sys/kernel/security/lsm";
            Finding::bad("sandbox", format!("no command will be run: {error}"), cure)
        }
    }
}

/// The kernel's other ways to confine, which engines use.
fn others() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let seccomp = if Path::new("/proc/sys/kernel/seccomp").exists() { ", seccomp" } else { ", no seccomp" };
    let most = read("/proc/sys/user/max_user_namespaces");
    let for_root_alone = read("/proc/sys/kernel/unprivileged_userns_clone") == "0"
        || read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1";
    let namespaces = match &*most {
        "" | "0" => "no user namespaces",
        _ if for_root_alone => "user namespaces for root",
        _ => "user namespaces",
    };
    format!("{seccomp}, {namespaces}")
}
