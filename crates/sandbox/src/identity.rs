//! A uid for one run alone: its limits count only this run, and its processes can be killed at one
//! stroke. Refuses to touch a process of any other uid.
//!
//! The uid is `base + keeper's pid`, so no two runs of one pid namespace can have the same; an
//! abstract socket named after it is its lock where the range is small (a user namespace). For the
//! stroke, `kill(-1)` is sent with the *effective* uid of the run and a *real* uid that nobody has:
//! the run's processes are all within reach, and the killer is out of theirs.

use crate::{
    Layer,
    message::{Message, Owner},
};
use rustix::{
    io::Errno,
    process::{Gid, Pid, Signal, Uid, getegid, geteuid, getgid, getpid, getuid, kill_process_group},
    thread::{
        CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_thread_groups, set_thread_res_gid,
        set_thread_res_uid, set_thread_uid,
    },
};
use std::os::{
    linux::net::SocketAddrExt,
    unix::net::{SocketAddr, UnixListener},
};

/// The first uid of a range that no convention has given to anyone.
const BASE: u32 = 1_900_000_000;
/// As many as there can be pids.
const SPAN: u32 = 1 << 22;
/// No run gets a uid below this, whatever a user namespace maps.
const LEAST: u32 = 1_000;

/// Uids `base .. base + span` for commands; `base + span .. base + 2 * span` for their killers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    base: u32,
    span: u32,
}

/// A chosen uid, locked until dropped.
#[derive(Debug)]
pub(crate) struct Identity {
    /// The uid and gid of the command.
    pub(crate) owner: Owner,
    killer: u32,
    _lock: UnixListener,
}

/// Chooses a uid for this keeper's run; none when not root.
pub(crate) fn choose() -> Result<Option<Identity>, Message> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let refuse = |why: &str| Message::refused(Layer::Identity, why);
    let range = |map: &str| mapped(&std::fs::read_to_string(map).unwrap_or_default());
    let few = "this root has too few uids of its own to give one away (see /proc/self/uid_map)";
    let uids = range("/proc/self/uid_map").ok_or_else(|| refuse(few))?;
    let gids = range("/proc/self/gid_map").ok_or_else(|| refuse(few))?;
    let pid = u32::try_from(getpid().as_raw_pid()).unwrap_or_default();
    for step in 0..64 {
        let offset = pid.wrapping_add(step) % uids.span;
        let uid = uids.base + offset;
        let name = SocketAddr::from_abstract_name(format!("chavion-sandbox-{uid}"));
        if let Ok(lock) = name.and_then(|name| UnixListener::bind_addr(&name)) {
            let owner = Owner { uid, gid: gids.base + pid % gids.span };
            return Ok(Some(Identity { owner, killer: uid + uids.span, _lock: lock }));
        }
    }
    Err(refuse("no uid of the range is free"))
}

/// Finds room for commands and killers in a uid map: the usual range, or the middle of the largest.
fn mapped(map: &str) -> Option<Range> {
    let mut largest = (0_u64, 0_u64);
    for line in map.lines() {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        let (Some(Ok(first)), Some(Ok(_)), Some(Ok(count))) = (numbers.next(), numbers.next(), numbers.next()) else {
            continue;
        };
        if first <= u64::from(BASE) && u64::from(BASE + 2 * SPAN) <= first + count {
            return Some(Range { base: BASE, span: SPAN });
        }
        if count > largest.1 {
            largest = (first, count);
        }
    }
    let (first, count) = largest;
    let base = u32::try_from(first + count / 4).ok()?;
    let span = u32::try_from(count / 4).ok()?.min(SPAN);
    (base >= LEAST && span >= 256).then_some(Range { base, span })
}

/// Becomes the owner for good: no groups, no capabilities, no way back. Then kills whatever an
/// earlier run with the same uid may have left.
pub(crate) fn become_owner(owner: Owner) -> Result<(), Message> {
    let refused = |what: &str, why: Errno| {
        Message::refused(Layer::Identity, format!("{what}: {why} (root needs CAP_SETUID and CAP_SETGID)"))
    };
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    set_thread_groups(&[]).map_err(|error| refused("setgroups", error))?;
    set_thread_res_gid(gid, gid, gid).map_err(|error| refused("setresgid", error))?;
    set_thread_res_uid(uid, uid, uid).map_err(|error| refused("setresuid", error))?;
    drop_capabilities()?;
    let ours = [getuid(), geteuid()] == [uid, uid] && [getgid(), getegid()] == [gid, gid];
    if !ours || set_thread_uid(Uid::ROOT).is_ok() {
        return Err(Message::refused(Layer::Identity, "the uid was not given up for good"));
    }
    strike(owner.uid).map_err(|error| Message::refused(Layer::Tree, error))
}

/// Gives up all capabilities; a process without any succeeds too.
pub(crate) fn drop_capabilities() -> Result<(), Message> {
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
        .map_err(|error| Message::refused(Layer::Privileges, format!("capset: {error}")))
}

impl Identity {
    /// Turns this thread into the killer of the run, for good.
    pub(crate) fn become_killer(&self) -> Result<(), Message> {
        become_killer(self.owner.uid, self.killer)
    }

    /// Kills every process of the run at one stroke. Only after [`Identity::become_killer`].
    pub(crate) fn strike(&self) -> Result<(), String> {
        strike(self.owner.uid)
    }
}

fn become_killer(uid: u32, killer: u32) -> Result<(), Message> {
    let (of_run, of_nobody) = (Uid::from_raw(uid), Uid::from_raw(killer));
    set_thread_res_uid(of_nobody, of_run, of_nobody)
        .map_err(|error| Message::refused(Layer::Tree, format!("setresuid: {error}")))?;
    drop_capabilities()
}

/// Sends SIGKILL to all that this thread may signal, after making sure that this is the run alone:
/// with root's uid or CAP_KILL the same call would take down the machine.
fn strike(uid: u32) -> Result<(), String> {
    let (real, effective) = (getuid(), geteuid());
    let powers = capabilities(None).map_err(|error| format!("capget: {error}"))?;
    let harmless = uid >= LEAST
        && effective.as_raw() == uid
        && real.as_raw() >= LEAST
        && powers.effective.is_empty()
        && powers.permitted.is_empty();
    if !harmless {
        return Err("refused to kill with more reach than the run".to_owned());
    }
    // The group of pid 1 stands for kill(-1): every process within reach but init and ourselves.
    match kill_process_group(Pid::INIT, Signal::KILL) {
        Ok(()) | Err(Errno::SRCH | Errno::PERM) => Ok(()),
        Err(error) => Err(format!("kill: {error}")),
    }
}

/// The entry `purge`: kills all that runs as a uid of our range, after its keeper was lost.
pub(crate) fn purge(uid: Option<u32>) -> i32 {
    let range = mapped(&std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default());
    let (Some(uid), Some(range)) = (uid, range) else { return 64 };
    if !geteuid().is_root() || !(range.base..range.base + range.span).contains(&uid) {
        return 64;
    }
    let done = become_killer(uid, uid + range.span).is_ok() && strike(uid).is_ok();
    i32::from(!done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_map_decides_the_range() {
        let usual = Some(Range { base: BASE, span: SPAN });
        assert_eq!(mapped("         0          0 4294967295\n"), usual);
        assert_eq!(mapped("0 100000 65536\n"), Some(Range { base: 16_384, span: 16_384 }));
        assert_eq!(mapped("0 1000 1\n1 100000 65536\n"), Some(Range { base: 16_385, span: 16_384 }));
        assert_eq!(mapped("0 1000 1\n"), None);
        assert_eq!(mapped(""), None);
        assert_eq!(mapped("no numbers here"), None);
    }

    #[test]
    fn no_stroke_without_giving_up_power() {
        if geteuid().is_root() {
            assert!(strike(0).is_err());
            assert!(strike(BASE).is_err());
        }
        assert!(strike(geteuid().as_raw().max(1) - 1).is_err());
    }
}
