//! The caller's side of a run: starts the keeper, feeds it the spec, takes in the output, passes on
//! the wish to cancel.

use crate::{
    Captured, End, Error, Layer, Spec,
    capture::Capture,
    init::{ASKED, KEEP, PURGE},
    message::{Message, Report},
};
use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    process::{Child, Command},
    sync::mpsc::Sender,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

/// How much longer than its limit a run may take before its keeper is given up for lost.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long output is read after the keeper's last word.
const DRAIN: Duration = Duration::from_secs(5);
/// The piece in which output is read, in bytes.
const PIECE: usize = 64 << 10;

/// How a process ended and what it left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How it ended.
    pub end: End,
    /// Its standard output.
    pub stdout: Captured,
    /// Its standard error.
    pub stderr: Captured,
    /// How long it ran.
    pub wall: Duration,
    /// Processor time of the whole tree.
    pub cpu: Duration,
    /// The most memory seen, in bytes: of the tree as a whole a few times a second, and of each of
    /// its processes exactly.
    pub peak_bytes: u64,
    /// The layers that were on, in the order of [`Layer`].
    pub layers: Vec<Layer>,
}

/// One of the two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// A piece of output as it came, which may begin or end inside a character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Where it was written.
    pub from: Stream,
    /// What was written.
    pub bytes: Vec<u8>,
}

/// Runs processes confined.
#[derive(Debug, Clone)]
pub struct Sandbox {
    launcher: PathBuf,
}

impl Default for Sandbox {
    /// Uses this very program as launcher: its `main` calls [`crate::init_if_asked`] first.
    fn default() -> Self {
        Self::with_launcher("/proc/self/exe")
    }
}

impl Sandbox {
    /// Uses another program as launcher: one whose `main` calls [`crate::init_if_asked`] first.
    #[must_use]
    pub fn with_launcher(launcher: impl Into<PathBuf>) -> Self {
        Self { launcher: launcher.into() }
    }

    /// Runs a process to its end and kills all that it started. `cancel` ends it early; dropping the
    /// future does so too.
    ///
    /// # Errors
    /// When it was not run, and why; [`Error::Lost`] when it is not known how it ended.
    pub async fn run(&self, spec: &Spec, cancel: &CancellationToken) -> Result<Ended, Error> {
        self.run_with(spec, cancel, None).await
    }

    /// Like [`Sandbox::run`], and sends all of the output, uncut, as it comes. A full channel slows
    /// the process down; a closed one does not matter.
    ///
    /// # Errors
    /// As [`Sandbox::run`].
    pub async fn stream(&self, spec: &Spec, cancel: &CancellationToken, to: Sender<Chunk>) -> Result<Ended, Error> {
        self.run_with(spec, cancel, Some(to)).await
    }

    async fn run_with(
        &self,
        spec: &Spec,
        cancel: &CancellationToken,
        to: Option<Sender<Chunk>>,
    ) -> Result<Ended, Error> {
        spec.check()?;
        let (mut keeper, socket) = self.start().map_err(Error::Launch)?;
        let (mut out, mut err) = (Capture::new(spec.limits.output_bytes), Capture::new(spec.limits.output_bytes));
        let told_all = CancellationToken::new();
        let talk = async {
            let said = talk(socket, spec, cancel, &mut keeper.process).await;
            if let (None, Some(uid)) = (said.report, said.uid) {
                self.purge(uid).await;
            }
            told_all.cancel();
            said
        };
        let listen = async {
            let (out_pipe, err_pipe) = (keeper.out.take(), keeper.err.take());
            tokio::join!(
                take_in(out_pipe, &mut out, Stream::Out, to.as_ref()),
                take_in(err_pipe, &mut err, Stream::Err, to.as_ref()),
            );
        };
        let listen = async {
            tokio::select! {
                () = listen => {}
                () = async { told_all.cancelled().await; sleep(DRAIN).await } => {}
            }
        };
        let (said, ()) = tokio::join!(talk, listen);
        let _ = timeout(DRAIN, keeper.process.wait()).await;
        let (stdout, stderr) = (out.finish(), err.finish());
        let Some(report) = said.report else {
            return Err(said.error.unwrap_or_else(|| Error::Lost(last_line(&stderr))));
        };
        Ok(Ended {
            end: report.end,
            stdout,
            stderr,
            wall: Duration::from_micros(report.wall_micros),
            cpu: Duration::from_micros(report.cpu_micros),
            peak_bytes: report.peak_bytes,
            layers: said.layers,
        })
    }

    /// Starts a keeper that has nothing of ours but one end of a socket and two pipes.
    fn start(&self) -> io::Result<(Keeper, UnixStream)> {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut process = Command::new(&self.launcher)
            .args([ASKED, KEEP])
            .env_clear()
            .current_dir("/")
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (out, err) = (process.stdout.take(), process.stderr.take());
        Ok((Keeper { process, out, err }, UnixStream::from_std(ours)?))
    }

    /// Kills what a lost keeper may have left behind.
    async fn purge(&self, uid: u32) {
        let mut command = Command::new(&self.launcher);
        command.args([ASKED, PURGE, &uid.to_string()]).env_clear().current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let _ = timeout(DRAIN, command.status()).await;
    }
}

struct Keeper {
    process: Child,
    out: Option<tokio::process::ChildStdout>,
    err: Option<tokio::process::ChildStderr>,
}

/// All that a keeper said.
#[derive(Default)]
struct Said {
    uid: Option<u32>,
    layers: Vec<Layer>,
    report: Option<Report>,
    error: Option<Error>,
}

/// Gives the keeper its order and hears it to the end. Hanging up our half is the wish to cancel.
async fn talk(socket: UnixStream, spec: &Spec, cancel: &CancellationToken, keeper: &mut Child) -> Said {
    let (from, mut to) = socket.into_split();
    let mut line = serde_json::to_vec(spec).unwrap_or_default();
    line.push(b'\n');
    let hear = async {
        let mut said = Vec::new();
        let _ = BufReader::new(from).read_to_end(&mut said).await;
        said
    };
    let mut give_up = Instant::now() + spec.limits.wall + PATIENCE;
    let mut hear = std::pin::pin!(hear);
    // A keeper that died at once has perhaps not read its order: what matters is what it said.
    let written = tokio::select! {
        written = to.write_all(&line) => written.is_ok(),
        () = sleep_until(give_up) => false,
    };
    let mut cancelled = !written;
    let said = loop {
        tokio::select! {
            said = &mut hear => break said,
            () = cancel.cancelled(), if !cancelled => {
                cancelled = true;
                give_up = give_up.min(Instant::now() + PATIENCE);
                let _ = to.shutdown().await;
            }
            () = sleep_until(give_up) => {
                let _ = keeper.start_kill();
                give_up += PATIENCE;
            }
        }
    };
    understand(&said, &spec.program)
}

fn understand(said: &[u8], program: &str) -> Said {
    let mut all = Said::default();
    for line in said.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(Message::Began { uid }) => all.uid = uid,
            Ok(Message::Confined { layers }) => all.layers = layers,
            Ok(Message::Ended(report)) => all.report = Some(report),
            Ok(refusal) => all.error = refusal.into_error(program),
            Err(error) => all.error = Some(Error::Lost(error.to_string())),
        }
    }
    all
}

async fn take_in(pipe: Option<impl AsyncRead + Unpin>, into: &mut Capture, from: Stream, to: Option<&Sender<Chunk>>) {
    let Some(mut pipe) = pipe else { return };
    let mut piece = vec![0; PIECE];
    while let Ok(length @ 1..) = pipe.read(&mut piece).await {
        let bytes = piece.split_at(length.min(PIECE)).0;
        into.push(bytes);
        if let Some(to) = to {
            let _ = to.send(Chunk { from, bytes: bytes.to_vec() }).await;
        }
    }
}

/// What a launcher that is none has said, for the person who forgot [`crate::init_if_asked`].
fn last_line(stderr: &Captured) -> String {
    let text = stderr.text();
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    line.chars().take(200).collect()
}
