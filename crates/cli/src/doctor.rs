//! `chavion doctor`: what is installed, which ports are taken, which providers answer, in one screen.

use crate::{
    UNREACHABLE,
    args::Place,
    client::{self, Client, Done, done},
    output, servers,
    vars::{Filled, given},
};
use boot::Vars as _;
use providers::{Catalogue, Providers};
use serde_json::{Value, json};
use std::{net::TcpListener, path::Path, time::Duration};
use tokio::process::Command;

/// The programs that Chavion can use, and the Debian packages that hold them.
const PROGRAMS: [(&str, &str, &str); 4] = [
    ("postgres", "postgresql", "the private Postgres of `chavion up`"),
    ("redis-server", "redis-server", "the private Redis of `chavion up`"),
    ("setpriv", "util-linux", "ends the private servers with their master"),
    ("docker", "docker.io", "containers on a server"),
];
/// The ports of the four services (DESIGN §3).
const PORTS: [(u16, &str); 5] =
    [(5002, "gateway"), (5003, "gateway admin"), (5004, "orchestrator"), (5051, "executor"), (5006, "batch-poller")];

/// One thing that was looked at.
struct Finding {
    about: String,
    good: bool,
    said: String,
}

/// Looks at everything; exit code 3 when a thing that is needed is missing.
pub(crate) async fn run(place: &Place, as_json: bool) -> Done {
    let mut findings = vec![system()];
    for (program, package, purpose) in PROGRAMS {
        findings.push(program_found(program, package, purpose).await);
    }
    findings.push(folder(&place.folder()));
    findings.extend(PORTS.iter().map(|(port, service)| taken(*port, service)));
    findings.push(server(place).await);
    findings.extend(providers().await);
    let all_good = findings.iter().all(|finding| finding.good);
    if as_json {
        let list: Vec<Value> =
            findings.iter().map(|it| json!({ "about": it.about, "good": it.good, "said": it.said })).collect();
        output::json(&json!({ "good": all_good, "findings": list }));
    } else {
        for finding in &findings {
            let mark = if finding.good { "✓" } else { "✗" };
            output::say(&format!("{mark} {:<24} {}", finding.about, finding.said));
        }
    }
    if all_good { done() } else { Ok(UNREACHABLE) }
}

fn finding(about: impl Into<String>, good: bool, said: impl Into<String>) -> Finding {
    Finding { about: about.into(), good, said: said.into() }
}

fn system() -> Finding {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("an unknown system");
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap_or("?").trim().to_owned();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    finding("system", true, format!("{}, {cores} cores, {free} free", name.trim_matches('"')))
}

async fn program_found(program: &str, package: &str, purpose: &str) -> Finding {
    // Docker is one way of several; the others are needed for `chavion up` unless servers are named.
    let optional = program == "docker" || given("DATABASE_URL").is_some();
    let Some(path) = servers::find(program) else {
        return finding(program, optional, format!("not installed ({purpose}): apt-get install {package}"));
    };
    let version = Command::new(&path).arg("--version").output().await.map(|out| out.stdout).unwrap_or_default();
    let version = String::from_utf8_lossy(&version).lines().next().unwrap_or_default().to_owned();
    finding(program, true, format!("{} ({version})", path.display()))
}

fn folder(folder: &Path) -> Finding {
    if !folder.exists() {
        return finding("data folder", true, format!("{} (made at the first `chavion up`)", folder.display()));
    }
    match rustix::fs::statvfs(folder) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize) >> 20;
            finding("data folder", free > 500, format!("{}, {free} MiB free", folder.display()))
        }
        Err(error) => finding("data folder", false, format!("{} cannot be used: {error}", folder.display())),
    }
}

fn taken(port: u16, service: &str) -> Finding {
    let about = format!("port {port}");
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => finding(about, true, format!("free ({service})")),
        Err(error) => finding(about, true, format!("taken ({service}): {error}")),
    }
}

async fn server(place: &Place) -> Finding {
    let base = place.server();
    let answer = match Client::with(base.clone(), String::new()) {
        Ok(client) => client.get("/health").await,
        Err(trouble) => Err(trouble),
    };
    match answer {
        Ok(_) => finding("server", true, format!("{base} answers")),
        Err(_) => finding("server", true, format!("{base} does not answer (start it with `chavion up`)")),
    }
}

async fn providers() -> Vec<Finding> {
    let bad = |words: String| vec![finding("providers", false, words)];
    let catalogue = match given("PROVIDERS_FILE") {
        Some(file) => match std::fs::read_to_string(&file) {
            Ok(text) => Catalogue::parse(&file, &text),
            Err(error) => return bad(format!("PROVIDERS_FILE {file} cannot be read: {error}")),
        },
        None => Catalogue::built_in(),
    };
    let catalogue = match catalogue {
        Ok(catalogue) => catalogue,
        Err(error) => return bad(error.to_string()),
    };
    let vars = Filled::default();
    let keys = |name: &str| vars.get(name).map(Into::into);
    let known = match Providers::new(catalogue, &keys, &prometheus::Registry::new()) {
        Ok(known) => known,
        Err(error) => return bad(error.to_string()),
    };
    let mut findings = Vec::new();
    for status in known.status().into_iter().filter(|status| status.on) {
        let base = status.base_url.unwrap_or_default();
        let (good, said) = reach(&base).await;
        findings.push(finding(format!("provider {}", status.provider), good, said));
    }
    if findings.is_empty() {
        findings.push(finding("providers", true, "no key is set: `chavion up` starts the emulator and says so"));
    }
    findings
}

/// Asks a provider's host for anything: any answer shows that it can be reached. Costs nothing and sends no key.
async fn reach(base: &str) -> (bool, String) {
    let client = match client::http() {
        Ok(client) => client,
        Err(trouble) => return (false, trouble.words),
    };
    match client.get(base).timeout(Duration::from_secs(5)).send().await {
        Ok(answer) => (true, format!("{base} answers (HTTP {}); its key is checked by the first ask", answer.status().as_u16())),
        Err(error) if error.is_timeout() => (false, format!("{base} did not answer within 5 s")),
        Err(_) => (false, format!("{base} cannot be reached")),
    }
}
