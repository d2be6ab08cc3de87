//! What is watched: Prometheus' rules and Grafana's dashboards are checked by themselves, and then each of their
//! queries is asked of a real Prometheus that has scraped the real services under load.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests stop at the first surprise"
)]

mod dashboards;
mod facts;
mod idle;
mod live;
mod load;
mod mailbox;
mod promql;
mod rules;
#[path = "../faults/stack/mod.rs"]
#[expect(dead_code, reason = "the fault tests need more of it")]
mod stack;
mod watchers;

use std::path::{Path, PathBuf};

/// The repository's top level.
fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The files of a folder with this ending, in the order of their names.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(top().join(folder)).unwrap().flatten().map(|entry| entry.path());
    let mut found: Vec<_> = entries.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    found.sort();
    assert!(!found.is_empty(), "{folder} has no {ending}");
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}
