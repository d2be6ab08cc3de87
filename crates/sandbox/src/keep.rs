//! The keeper: a small process between caller and command. It starts the command, gathers every
//! orphan of its tree, enforces what the kernel does not, and leaves only when the whole tree is
//! gone. The end of its socket, which comes also when the caller was killed, ends the run.

use crate::{
    End, Layer,
    identity::{self, Identity},
    init::{ASKED, CONFINE},
    leavings,
    message::{Message, Order, Owner, Report, hear, say},
    spec::{Limits, Spec, TEMPORARY},
    sys, tree,
};
use rustix::{
    fs::{CWD, Gid, Mode, OFlags, Uid, fchmod, fchown, mkdirat, openat},
    io::Errno,
    process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, set_child_subreaper, setsid, wait},
    stdio::{dup2_stderr, dup2_stdin, dup2_stdout},
};
use std::{
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::Command,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

/// How often the keeper looks at the memory and processor time of the tree.
const SURVEY: Duration = Duration::from_millis(250);
/// How long the keeper waits between two strokes at a tree that is not gone yet.
const AGAIN: Duration = Duration::from_millis(10);

/// `SIGXCPU`: the kernel's word that the processor time is used up; a second later it sends `SIGKILL`.
const OVER_CPU: i32 = 24;
const KILLED: i32 = 9;

/// What wakes the keeper.
enum Event {
    /// A process of the tree ended.
    Ended(Pid, WaitStatus),
    /// No process of the tree is left.
    Empty,
    /// The caller hung up: it asks for the end, or is gone.
    HungUp,
}

/// The entry `keep`.
pub(crate) fn keep() -> i32 {
    let Ok(mut caller) = begin() else { return 1 };
    let last_word = run(&mut caller).map_or_else(|refusal| refusal, Message::Ended);
    i32::from(say(&mut caller, &last_word).is_err())
}

/// Takes the socket to the caller from standard input and leaves the caller's session.
fn begin() -> io::Result<UnixStream> {
    sys::close_inherited()?;
    let caller = io::stdin().as_fd().try_clone_to_owned()?;
    dup2_stdin(File::open("/dev/null")?)?;
    // Fails only for a group leader, which a fresh child is not.
    let _ = setsid();
    Ok(UnixStream::from(caller))
}

fn run(caller: &mut UnixStream) -> Result<Report, Message> {
    let not_prepared = |what: &'static str| move |error: io::Error| Message::not_prepared(what, error);
    let spec: Spec = hear(caller).map_err(not_prepared("the order was not understood"))?;
    let identity = identity::choose()?;
    let owner = identity.as_ref().map(|identity| identity.owner);
    say(caller, &Message::Began { uid: owner.map(|owner| owner.uid) }).map_err(not_prepared("the caller is gone"))?;
    set_child_subreaper(Some(getpid())).map_err(|error| Message::refused(Layer::Tree, error))?;
    prepare_folder(&spec, owner).map_err(|error| Message::not_prepared("the work folder", error))?;

    let (tell, events) = channel();
    let (go, may_go) = channel();
    watch_caller(caller, tell.clone()).map_err(not_prepared("the caller's socket"))?;
    let reaper = move || {
        if may_go.recv().is_ok() {
            reap(&tell);
        }
    };
    thread::Builder::new().spawn(reaper).map_err(not_prepared("a thread"))?;
    let (main, layers) = start(&spec, owner)?;
    // The command runs: from here on nothing may leave this function before the tree is gone.
    let started = Instant::now();
    let _ = go.send(());
    // A caller that is gone by now has hung up, which is an event.
    let _ = say(caller, &Message::Confined { layers });
    let (mut end, mut peak_bytes) = follow(main, &spec.limits, &events);
    let wall = started.elapsed();
    let killer = clear(identity.as_ref(), &events);
    if let Some(killer) = killer {
        leavings::remove(killer.owner.uid);
    }

    let used = sys::used_by_children();
    peak_bytes = peak_bytes.max(used.peak_bytes);
    if end == End::Signal(KILLED) && used.cpu >= Duration::from_secs(spec.limits.cpu_seconds.max(1)) {
        end = End::OverCpu;
    }
    let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    Ok(Report { end, wall_micros: micros(wall), cpu_micros: micros(used.cpu), peak_bytes })
}

/// Gives the work folder, with a private folder for temporary files in it, to the command's uid.
fn prepare_folder(spec: &Spec, owner: Option<Owner>) -> Result<(), Errno> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let private = Mode::RWXU;
    let folder = openat(CWD, &spec.workdir, flags, Mode::empty())?;
    match mkdirat(&folder, TEMPORARY, private) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    let temporary = openat(&folder, TEMPORARY, flags, Mode::empty())?;
    for part in [&temporary, &folder] {
        fchmod(part, private)?;
        if let Some(owner) = owner {
            fchown(part, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
        }
    }
    Ok(())
}

/// Starts the confined process and waits until it is the command, or says why it is not.
fn start(spec: &Spec, owner: Option<Owner>) -> Result<(Pid, Vec<Layer>), Message> {
    let failed = |error: io::Error| Message::not_prepared("the confined process", error);
    let (mut ours, theirs) = UnixStream::pair().map_err(failed)?;
    let child = Command::new("/proc/self/exe")
        .args([ASKED, CONFINE])
        .env_clear()
        .current_dir("/")
        .stdin(OwnedFd::from(theirs))
        .spawn()
        .map_err(failed)?;
    // From here on the command alone holds the output: its end is the end of the tree.
    let null = File::options().write(true).open("/dev/null").map_err(failed)?;
    dup2_stdout(&null).and_then(|()| dup2_stderr(&null)).map_err(|error| failed(error.into()))?;

    let main = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let main = main.ok_or_else(|| Message::not_prepared("the confined process", "has no pid"))?;
    let order = Order { spec: spec.clone(), owner, keeper: getpid().as_raw_pid() };
    let mut said = Vec::new();
    // A process that died while it was spoken to may have left its reason.
    let _ = say(&mut ours, &order);
    let _ = ours.read_to_end(&mut said);
    let mut layers = None;
    for line in said.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(Message::Confined { layers: on }) => layers = Some(on),
            Ok(refusal) => return Err(refusal),
            Err(error) => return Err(Message::not_prepared("the confined process was not understood", error)),
        }
    }
    let layers = layers.ok_or_else(|| Message::not_prepared("the confined process", "died before it was confined"))?;
    Ok((main, layers))
}

/// Tells when the caller hangs up.
fn watch_caller(caller: &UnixStream, tell: Sender<Event>) -> io::Result<()> {
    let mut caller = caller.try_clone()?;
    let watcher = move || {
        let _ = io::copy(&mut caller, &mut io::sink());
        let _ = tell.send(Event::HungUp);
    };
    thread::Builder::new().spawn(watcher).map(drop)
}

/// Buries every process of the tree, as it ends, until none is left.
fn reap(tell: &Sender<Event>) {
    loop {
        let event = match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) => Event::Ended(pid, status),
            Ok(None) | Err(Errno::INTR) => continue,
            Err(_) => Event::Empty,
        };
        let last = matches!(event, Event::Empty);
        if tell.send(event).is_err() || last {
            return;
        }
    }
}

/// Waits for the end of the command, or finds the reason to end it. Returns the most memory seen.
fn follow(main: Pid, limits: &Limits, events: &Receiver<Event>) -> (End, u64) {
    let deadline = Instant::now() + limits.wall;
    let mut survey = Instant::now() + SURVEY / 4;
    let mut peak = 0;
    loop {
        let now = Instant::now();
        if now >= deadline {
            return (End::TimedOut, peak);
        }
        if now >= survey {
            survey = now + SURVEY;
            let tree = tree::below(getpid().as_raw_pid());
            peak = peak.max(tree.held_bytes);
            if tree.held_bytes > limits.memory_bytes {
                return (End::OverMemory, peak);
            }
            if tree.cpu + sys::used_by_children().cpu > Duration::from_secs(limits.cpu_seconds.max(1)) {
                return (End::OverCpu, peak);
            }
        }
        match events.recv_timeout(survey.min(deadline).saturating_duration_since(now)) {
            Ok(Event::Ended(pid, status)) if pid == main => return (how(status), peak),
            Ok(Event::Ended(..)) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Event::HungUp | Event::Empty) | Err(RecvTimeoutError::Disconnected) => return (End::Cancelled, peak),
        }
    }
}

fn how(status: WaitStatus) -> End {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => End::Code(code),
        (None, Some(OVER_CPU)) => End::OverCpu,
        (None, Some(signal)) => End::Signal(signal),
        (None, None) => End::Cancelled,
    }
}

/// Kills what is left of the tree, daemons included, and returns when nothing is: the identity, when this thread
/// has become the killer of its uid.
fn clear<'a>(identity: Option<&'a Identity>, events: &Receiver<Event>) -> Option<&'a Identity> {
    let killer = identity.filter(|identity| identity.become_killer().is_ok());
    loop {
        let struck = killer.is_some_and(|identity| identity.strike().is_ok());
        if !struck {
            for pid in tree::below(getpid().as_raw_pid()).pids {
                let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
            }
        }
        loop {
            match events.recv_timeout(AGAIN) {
                Ok(Event::Empty) | Err(RecvTimeoutError::Disconnected) => return killer,
                Ok(Event::Ended(..) | Event::HungUp) => {}
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
    }
}
