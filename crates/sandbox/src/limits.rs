//! The hard limits of the kernel, put on by the process that they bind.

use crate::{Layer, message::Message, spec::Limits, tree};
use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getrlimit, getuid, nice, setrlimit},
};

/// How much less than its executor a command is worth to the scheduler.
const NICER: i32 = 5;
/// How gladly the kernel kills a command when the machine is out of memory, of 1000.
const OUT_OF_MEMORY_FIRST: &str = "800";

/// Limits this process and all that it starts, for good.
pub(crate) fn put_on(limits: &Limits, own_uid: bool) -> Result<(), Message> {
    // First the one that may always be set: a kernel without limits says so here.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).map_err(|error| refused(Resource::Core, error))?;
    // Hints, not walls: a kernel that does not take them makes nothing unsafe.
    let _ = std::fs::write("/proc/self/oom_score_adj", OUT_OF_MEMORY_FIRST);
    let _ = nice(NICER);
    // The kernel counts all processes of a uid. Without a uid of its own, the command may have so
    // many more than are there already.
    let there = if own_uid { 0 } else { tree::threads_of(getuid().as_raw()) };
    let cpu = limits.cpu_seconds.max(1);
    lower(Resource::Cpu, cpu, cpu.saturating_add(1))?;
    for (resource, most) in [
        (Resource::Nproc, limits.processes.saturating_add(there)),
        (Resource::Data, limits.memory_bytes),
        (Resource::Fsize, limits.file_bytes),
        (Resource::Nofile, limits.open_files),
        (Resource::Msgqueue, 0),
        (Resource::Memlock, 64 << 10),
        (Resource::Sigpending, 1024),
        (Resource::Rtprio, 0),
    ] {
        lower(resource, most, most)?;
    }
    Ok(())
}

/// Sets a limit, never above the one already in force: only a privileged process could raise it.
fn lower(resource: Resource, soft: u64, hard: u64) -> Result<(), Message> {
    let ceiling = getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let wanted = Rlimit { current: Some(soft.min(ceiling)), maximum: Some(hard.min(ceiling)) };
    setrlimit(resource, wanted).map_err(|error| refused(resource, error))
}

fn refused(resource: Resource, error: Errno) -> Message {
    Message::refused(Layer::Limits, format!("{resource:?}: {error}"))
}
