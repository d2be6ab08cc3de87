//! Where the machine keeps the programs of the private servers. Refuses to install anything.

use crate::vars::given;
use anyhow::{Context as _, bail};
use std::{cmp::Reverse, path::PathBuf};

/// What the private servers are made of: programs, and the Debian packages that hold them.
const NEEDED: [(&str, &str); 3] =
    [("postgres", "postgresql"), ("initdb", "postgresql"), ("redis-server", "redis-server")];

/// Refuses to begin when a program is missing, and names all that are.
///
/// # Errors
/// Which programs, which packages, and what else can be done.
pub(super) fn check_installed() -> anyhow::Result<()> {
    let missing: Vec<(&str, &str)> = NEEDED.into_iter().filter(|(program, _)| find(program).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let programs: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
    let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    packages.dedup();
    bail!(
        "not installed: {}; install with `apt-get install {}`, or set DATABASE_URL and REDIS_URL to servers of your own",
        programs.join(", "),
        packages.join(" ")
    )
}

/// Returns where a program is.
///
/// # Errors
/// When it is not installed.
pub(super) fn need(program: &str) -> anyhow::Result<PathBuf> {
    find(program).with_context(|| format!("{program} is not installed"))
}

/// Finds a program where Debian puts programs, the newest Postgres first, or in the search path.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let mut places: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|listing| listing.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    places.sort_by_key(|path| {
        Reverse(path.parent().and_then(|p| p.file_name()).and_then(|n| n.to_str()).and_then(|n| n.parse::<u32>().ok()))
    });
    places.extend(["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from));
    places.extend(std::env::split_paths(&given("PATH").unwrap_or_default()).filter(|place| place.is_absolute()));
    places.into_iter().map(|place| place.join(program)).find(|path| path.is_file())
}
