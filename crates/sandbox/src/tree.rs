//! Finds all descendants of a process in `/proc`, and what they hold. Because the keeper is a
//! subreaper, an orphan of the tree stays in the tree.

use std::{collections::HashMap, fs, time::Duration};

/// A picture of the tree below a process.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Its processes, without the root.
    pub(crate) pids: Vec<i32>,
    /// Anonymous and shared memory that they hold in RAM together, in bytes.
    pub(crate) held_bytes: u64,
    /// Processor time of those that still run, and of the children they have reaped.
    pub(crate) cpu: Duration,
}

/// Takes a picture of the tree below `root`.
pub(crate) fn below(root: i32) -> Tree {
    let mut children: HashMap<i32, Vec<(i32, u64)>> = HashMap::new();
    for (pid, parent, ticks) in processes() {
        children.entry(parent).or_default().push((pid, ticks));
    }
    let mut tree = Tree::default();
    let mut ticks = 0_u64;
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        for (child, used) in children.remove(&pid).unwrap_or_default() {
            open.push(child);
            tree.pids.push(child);
            tree.held_bytes = tree.held_bytes.saturating_add(held(child));
            ticks = ticks.saturating_add(used);
        }
    }
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    tree.cpu = Duration::from_millis(ticks.saturating_mul(1000) / per_second);
    tree
}

/// Counts the threads of all processes with this real uid.
pub(crate) fn threads_of(uid: u32) -> u64 {
    let mut count = 0_u64;
    for pid in pids() {
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
        if field(&status, "Uid:") == Some(u64::from(uid)) {
            count += field(&status, "Threads:").unwrap_or(1);
        }
    }
    count
}

fn pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Lists pid, parent and processor ticks of every process.
fn processes() -> impl Iterator<Item = (i32, i32, u64)> {
    pids().filter_map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (parent, ticks) = parse_stat(&stat)?;
        Some((pid, parent, ticks))
    })
}

/// Reads parent and processor ticks; a program's name may hold spaces and brackets.
fn parse_stat(stat: &str) -> Option<(i32, u64)> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let ticks = fields.skip(9).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    Some((parent, ticks))
}

/// Returns the bytes of memory that would be free without this process.
fn held(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kibibytes = |name| field(&status, name).unwrap_or(0);
    kibibytes("RssAnon:").saturating_add(kibibytes("RssShmem:")).saturating_mul(1024)
}

fn field(status: &str, name: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_mislead() {
        let stat = "42 (a) b (c) S 7 42 42 0 -1 4194560 100 0 0 0 11 22 33 44 20 0 1 0 5";
        assert_eq!(parse_stat(stat), Some((7, 110)));
        assert_eq!(parse_stat("42 (cut"), None);
    }

    #[test]
    fn this_process_has_threads_and_memory() {
        let pid = rustix::process::getpid().as_raw_pid();
        assert!(threads_of(rustix::process::getuid().as_raw()) > 0);
        assert!(held(pid) > 0);
        let parent = rustix::process::getppid().unwrap().as_raw_pid();
        assert!(below(parent).pids.contains(&pid));
    }
}
