//! The few system calls that no safe crate of ours offers. The only unsafe code of the workspace's
//! sandbox; refuses to decide anything.

#![expect(unsafe_code, reason = "close_range, getrusage and the *ctl of System V have no safe form in rustix")]

use std::{io, time::Duration};

/// Closes every descriptor from 3 up. Only for a process that has not opened anything yet.
pub(crate) fn close_inherited() -> io::Result<()> {
    close_range(0)
}

/// Marks every descriptor from 3 up to be closed by the next exec.
pub(crate) fn close_on_exec() -> io::Result<()> {
    close_range(libc::CLOSE_RANGE_CLOEXEC)
}

fn close_range(flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: the call takes three integers and touches no memory of ours. With flags 0 it closes
    // descriptors, and `close_inherited` is called first thing in a fresh process, where no Rust
    // value owns a descriptor above 2 yet; with CLOEXEC nothing is closed in this process.
    let told = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, flags) };
    if told == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What the ended children of this process, and theirs, have used up.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    /// Processor time.
    pub(crate) cpu: Duration,
    /// The most memory that one of them held.
    pub(crate) peak_bytes: u64,
}

/// Reads what the ended children have used up; zeros when the kernel does not tell.
pub(crate) fn used_by_children() -> Used {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to a whole rusage, and all of its fields are integers, for which the
    // zeroes it is filled with are valid values even when the call fails.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr());
        usage.assume_init()
    };
    let span = |time: libc::timeval| {
        Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0))
            + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
    };
    Used {
        cpu: span(usage.ru_utime) + span(usage.ru_stime),
        peak_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0).saturating_mul(1024),
    }
}

/// What System V keeps when its maker is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ipc {
    /// Shared memory.
    Shm,
    /// Message queues.
    Msg,
    /// Semaphores.
    Sem,
}

/// Removes an object that belongs to this thread's effective uid.
pub(crate) fn remove_ipc(kind: Ipc, id: i32) -> io::Result<()> {
    // SAFETY: with IPC_RMID none of the three reads or writes memory of ours; the kernel checks the owner.
    let told = unsafe {
        match kind {
            Ipc::Shm => libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()),
            Ipc::Msg => libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()),
            Ipc::Sem => libc::semctl(id, 0, libc::IPC_RMID),
        }
    };
    if told == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
