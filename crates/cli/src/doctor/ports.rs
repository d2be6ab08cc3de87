//! Which ports are in use, and by whom.

use super::{Finding, stack::Stack};
use procfs::{
    net::{TcpNetEntry, TcpState, tcp, tcp6},
    process::{FDTarget, all_processes},
};
use std::collections::{BTreeMap, BTreeSet};

/// Where `chavion up` and the four services listen when nothing else is said.
const SERVICES: [u16; 5] = [5002, 5003, 5004, 5006, 5051];
/// Who may have them.
const OURS: [&str; 5] = ["chavion", "gateway", "orchestrator", "executor", "batch-poller"];
/// Who may have the two published ports: the engine does it for nginx.
const DOORS: [&str; 3] = ["docker-proxy", "dockerd", "rootlesskit"];
/// How many ports are named before the rest is counted.
const SHOWN: usize = 12;

/// A port on which somebody listens.
#[derive(Default)]
struct Port {
    /// Whether others than this machine may come in.
    is_open: bool,
    /// The programs, as far as this user may see them.
    owners: BTreeSet<String>,
}

impl Port {
    fn owner(&self) -> String {
        if self.owners.is_empty() {
            let is_root = rustix::process::geteuid().is_root();
            return if is_root { "somebody unseen" } else { "somebody (root sees who)" }.to_owned();
        }
        self.owners.iter().cloned().collect::<Vec<_>>().join("+")
    }

    fn is_of(&self, names: &[&str]) -> bool {
        self.owners.iter().any(|owner| names.iter().any(|name| owner.starts_with(name)))
    }
}

/// Looks at every port that somebody listens on.
pub(super) fn look(stack: Option<&Stack>) -> Vec<Finding> {
    let taken = match listening() {
        Ok(taken) => taken,
        Err(error) => {
            return vec![Finding::note("ports", format!("cannot be listed: {error}"), "look with: ss -ltnp")];
        }
    };
    let mut findings = match stack {
        Some(stack) => doors(stack, &taken),
        None => services(&taken),
    };
    findings.push(open(&taken));
    findings
}

/// The two ports that the stack publishes must be free, or Docker's already.
fn doors(stack: &Stack, taken: &BTreeMap<u16, Port>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut said = Vec::new();
    for (port, variable) in stack.ports().into_iter().zip(["HTTP_PORT", "HTTPS_PORT"]) {
        match taken.get(&port) {
            None => said.push(format!("{port} free")),
            Some(who) if who.is_of(&DOORS) => said.push(format!("{port} {}", who.owner())),
            Some(who) => {
                let cure = format!("stop it, or set {variable} to another port in .env");
                findings.push(Finding::bad("ports", format!("{port} is taken by {}", who.owner()), cure));
            }
        }
    }
    if !said.is_empty() {
        findings.insert(0, Finding::good("ports", said.join(", ")));
    }
    findings
}

fn services(taken: &BTreeMap<u16, Port>) -> Vec<Finding> {
    let list = |ports: &[u16]| ports.iter().map(u16::to_string).collect::<Vec<_>>().join(" ");
    let free: Vec<u16> = SERVICES.into_iter().filter(|port| !taken.contains_key(port)).collect();
    let others = SERVICES.into_iter().filter_map(|port| Some((port, taken.get(&port)?)));
    let (ours, others): (Vec<_>, Vec<_>) = others.partition(|(_, who)| who.is_of(&OURS) || who.owners.is_empty());
    let name = |ports: &[(u16, &Port)]| {
        ports.iter().map(|(port, who)| format!("{port} {}", who.owner())).collect::<Vec<_>>().join(", ")
    };
    let mut said = format!("free: {}", if free.is_empty() { "none".to_owned() } else { list(&free) });
    if !ours.is_empty() {
        said += &format!("; in use: {}", name(&ours));
    }
    if others.is_empty() {
        return vec![Finding::good("ports", said)];
    }
    let cure = "stop it, or give ours another one with GATEWAY_ADDR or ADMIN_ADDR";
    vec![Finding::note("ports", format!("{said}; in use by others: {}", name(&others)), cure)]
}

/// What others than this machine can reach, as far as no firewall stands before it.
fn open(taken: &BTreeMap<u16, Port>) -> Finding {
    let open: Vec<String> =
        taken.iter().filter(|(_, who)| who.is_open).map(|(port, who)| format!("{port} {}", who.owner())).collect();
    let rest = open.len().saturating_sub(SHOWN);
    let mut said = open.into_iter().take(SHOWN).collect::<Vec<_>>().join(", ");
    if rest > 0 {
        said += &format!(", and {rest} more");
    }
    Finding::good("open ports", if said.is_empty() { "none but this machine's own".to_owned() } else { said })
}

/// Lists the listening TCP ports. IPv6 may be off.
fn listening() -> procfs::ProcResult<BTreeMap<u16, Port>> {
    let mut entries: Vec<TcpNetEntry> = tcp()?;
    entries.extend(tcp6().unwrap_or_default());
    entries.retain(|entry| entry.state == TcpState::Listen);
    let wanted: BTreeSet<u64> = entries.iter().map(|entry| entry.inode).collect();
    let owners = owners(&wanted);
    let mut ports: BTreeMap<u16, Port> = BTreeMap::new();
    for entry in entries {
        let port = ports.entry(entry.local_address.port()).or_default();
        port.is_open |= !entry.local_address.ip().to_canonical().is_loopback();
        port.owners.extend(owners.get(&entry.inode).cloned());
    }
    Ok(ports)
}

/// Finds the programs that hold these sockets; a plain user sees only their own.
fn owners(sockets: &BTreeSet<u64>) -> BTreeMap<u64, String> {
    let mut owners = BTreeMap::new();
    for process in all_processes().into_iter().flatten().flatten() {
        // A process that is gone meanwhile, or that is another's, has nothing to say.
        let Ok(files) = process.fd() else { continue };
        for file in files.flatten() {
            if let FDTarget::Socket(inode) = file.target
                && sockets.contains(&inode)
                && let Ok(stat) = process.stat()
            {
                owners.entry(inode).or_insert_with(|| stat.comm.clone());
            }
        }
    }
    owners
}
