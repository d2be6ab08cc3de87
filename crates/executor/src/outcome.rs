//! What the end of a command means for its task. Pure.

use domain::{
    advance::CommandWork,
    task::{Cause, Failure},
};
use sandbox::{End as Way, Ended, Error, Limits};
use serde_json::json;
use std::time::Duration;
use store::End;

/// How often a run that could not be prepared is tried.
const TRIES: i32 = 5;
/// How long such a task waits before the next try, in milliseconds.
const PAUSE_MS: i64 = 1_000;
/// The most characters of a last line that go into a reason.
const LINE: usize = 300;

/// What happened to one run.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    /// What was to be run.
    pub(crate) work: &'a CommandWork,
    /// Under which limits.
    pub(crate) limits: &'a Limits,
    /// Which try it was, from 1.
    pub(crate) attempt: i32,
    /// Whether this executor was told to stop and cut what still ran.
    pub(crate) cut: bool,
}

/// Returns how the task ends.
pub(crate) fn of(run: &Run<'_>, told: &Result<Ended, Error>) -> End {
    match told {
        Ok(ended) => ended_well_or_badly(run, ended),
        Err(error) if error.is_transient() && run.attempt < TRIES => {
            // Nothing was run, so this is no second run.
            End::Again { not_before_ms: PAUSE_MS, reason: format!("{error}; it is tried again") }
        }
        Err(Error::Refused { layer, why }) => failed(
            Cause::Unconfined,
            format!("nothing was run, because the sandbox's layer {layer} was refused: {why}"),
        ),
        Err(error @ Error::Start { .. }) => failed(Cause::CommandFailed, format!("the command {error}")),
        Err(error @ Error::Spec(_)) => failed(Cause::CommandFailed, format!("the command {error}")),
        Err(Error::Lost(_)) => {
            failed(Cause::Lost, "the command's keeper was killed; what it did is not known, and it must not run twice")
        }
        Err(error @ Error::Launch(_)) => failed(Cause::Internal, error.to_string()),
    }
}

fn ended_well_or_badly(run: &Run<'_>, ended: &Ended) -> End {
    let limits = run.limits;
    match ended.end {
        Way::Code(0) => End::Completed { result: result(ended) },
        Way::Code(code) => {
            failed(Cause::CommandFailed, format!("the command ended with code {code}{}", last_words(ended)))
        }
        Way::Signal(signal) => {
            failed(Cause::CommandFailed, format!("the command was ended by signal {signal}{}", last_words(ended)))
        }
        Way::TimedOut => {
            let seconds = limits.wall.as_secs_f64();
            failed(
                Cause::TimedOut,
                format!("the command was killed when its {seconds} s were over{}", last_words(ended)),
            )
        }
        Way::OverMemory => {
            let mebibytes = limits.memory_bytes >> 20;
            failed(
                Cause::CommandFailed,
                format!("the command was killed when it held more than {mebibytes} MiB of memory"),
            )
        }
        Way::OverCpu => {
            let seconds = limits.cpu_seconds;
            failed(
                Cause::CommandFailed,
                format!("the command was killed when it had used {seconds} s of processor time"),
            )
        }
        Way::Cancelled if run.cut && run.work.repeatable => {
            End::Again { not_before_ms: 0, reason: "its executor was stopped; another runs it again".to_owned() }
        }
        Way::Cancelled if run.cut => failed(
            Cause::Lost,
            "its executor was stopped and the command did not end in time, so it was killed; it must not run twice",
        ),
        Way::Cancelled => failed(Cause::Lost, "the command was killed because its lease was lost"),
    }
}

/// What the row keeps of a run that ended well.
fn result(ended: &Ended) -> serde_json::Value {
    let (stdout, stderr) = (ended.stdout.text(), ended.stderr.text());
    json!({
        "exit_code": 0,
        "signal": null,
        "stdout": stdout,
        "stderr": stderr,
        "stdout_cut_bytes": ended.stdout.cut,
        "stderr_cut_bytes": ended.stderr.cut,
        "wall_ms": millis(ended.wall),
        "cpu_ms": millis(ended.cpu),
        "text": stdout.trim_end(),
    })
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the last line that says something, of standard error or else of standard output.
fn last_words(ended: &Ended) -> String {
    let (err, out) = (ended.stderr.text(), ended.stdout.text());
    let last = |text: &str| text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned);
    let line = last(&err).or_else(|| last(&out));
    line.map_or_else(
        || ", without a word".to_owned(),
        |line| format!(": {}", line.chars().take(LINE).collect::<String>()),
    )
}

fn failed(cause: Cause, reason: impl Into<String>) -> End {
    End::Failed(Failure::new(cause, reason))
}

/// Why a command was not run, or not to its end: a closed list, fit for a metric's label. What the kernel refuses to a
/// command that runs, a file or a connection, is the command's own error and none of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denial {
    /// The kernel refused a layer of the sandbox: nothing was run.
    Sandbox,
    /// What was asked cannot be run here: nothing was run.
    Unrunnable,
    /// Its time was up.
    Time,
    /// It held more memory than it may.
    Memory,
    /// It used more processor time than it may.
    Processor,
}

impl Denial {
    /// Every one.
    pub(crate) const ALL: [Self; 5] = [Self::Sandbox, Self::Unrunnable, Self::Time, Self::Memory, Self::Processor];

    /// Returns the one spelling used in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Unrunnable => "unrunnable",
            Self::Time => "time",
            Self::Memory => "memory",
            Self::Processor => "processor",
        }
    }
}

/// Tells whether and why a command was denied.
pub(crate) const fn denial(told: &Result<Ended, Error>) -> Option<Denial> {
    match told {
        Ok(ended) => match ended.end {
            Way::TimedOut => Some(Denial::Time),
            Way::OverMemory => Some(Denial::Memory),
            Way::OverCpu => Some(Denial::Processor),
            Way::Code(_) | Way::Signal(_) | Way::Cancelled => None,
        },
        Err(Error::Refused { .. }) => Some(Denial::Sandbox),
        Err(Error::Start { .. } | Error::Spec(_)) => Some(Denial::Unrunnable),
        // Ours, and not the command's.
        Err(Error::Launch(_) | Error::Lost(_)) => None,
    }
}

/// Returns the word under which metrics count an end.
pub(crate) const fn word(end: &End) -> &'static str {
    match end {
        End::Completed { .. } => "completed",
        End::Failed(failure) => failure.cause.as_str(),
        End::Again { .. } => "again",
        End::Held(_) => "held",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sandbox::{Captured, Layer};

    fn ended(end: Way, out: &str, err: &str) -> Result<Ended, Error> {
        let captured = |text: &str| Captured { bytes: text.into(), cut: 0, cut_at: text.len() };
        let (wall, cpu) = (Duration::from_millis(1500), Duration::from_millis(20));
        let (stdout, stderr) = (captured(out), captured(err));
        Ok(Ended { end, stdout, stderr, wall, cpu, peak_bytes: 0, layers: vec![] })
    }

    fn decide(told: &Result<Ended, Error>, attempt: i32, cut: bool, repeatable: bool) -> End {
        let work = CommandWork { script: "true".to_owned(), timeout_ms: 1000, repeatable };
        of(&Run { work: &work, limits: &Limits::default(), attempt, cut }, told)
    }

    #[test]
    fn a_good_end_keeps_both_outputs() {
        let End::Completed { result } = decide(&ended(Way::Code(0), "겨울 예약\n", "주의\0"), 1, false, false)
        else {
            panic!("it ended well");
        };
        let expected = json!({
            "exit_code": 0, "signal": null, "stdout": "겨울 예약\n", "stderr": "주의\u{fffd}", "stdout_cut_bytes": 0,
            "stderr_cut_bytes": 0, "wall_ms": 1500, "cpu_ms": 20, "text": "겨울 예약",
        });
        assert_eq!(result, expected);
    }

    #[test]
    fn every_other_end_has_its_cause_and_its_sentence() {
        let io = |kind| Error::Launch(std::io::Error::from(kind));
        let long = "가".repeat(1000);
        let cases: Vec<(Result<Ended, Error>, Cause, &str)> = vec![
            (ended(Way::Code(3), "out", "첫 줄\n  마지막 줄 \n\n"), Cause::CommandFailed, "code 3: 마지막 줄"),
            (ended(Way::Code(1), "only out\n", ""), Cause::CommandFailed, "code 1: only out"),
            (ended(Way::Code(1), "", ""), Cause::CommandFailed, "without a word"),
            (ended(Way::Code(2), "", &long), Cause::CommandFailed, "code 2: 가가"),
            (ended(Way::Signal(11), "", "x"), Cause::CommandFailed, "signal 11: x"),
            (ended(Way::TimedOut, "", ""), Cause::TimedOut, "600 s"),
            (ended(Way::OverMemory, "", ""), Cause::CommandFailed, "1024 MiB"),
            (ended(Way::OverCpu, "", ""), Cause::CommandFailed, "600 s of processor time"),
            (
                Err(Error::Refused { layer: Layer::Files, why: "없음".into() }),
                Cause::Unconfined,
                "layer files was refused: 없음",
            ),
            (
                Err(Error::Start { program: "/bin/sh".into(), why: "too long".into() }),
                Cause::CommandFailed,
                "cannot start",
            ),
            (Err(Error::Spec("NUL".into())), Cause::CommandFailed, "cannot be run"),
            (Err(Error::Lost("x".into())), Cause::Lost, "not known"),
            (Err(io(std::io::ErrorKind::NotFound)), Cause::Internal, "prepare"),
        ];
        for (told, cause, words) in cases {
            let End::Failed(failure) = decide(&told, 1, false, false) else { panic!("{told:?} is a failure") };
            assert_eq!(failure.cause, cause, "{told:?}");
            assert!(failure.reason.contains(words) && failure.reason.chars().count() < 400, "{}", failure.reason);
        }
        let busy = Err(io(std::io::ErrorKind::WouldBlock));
        assert!(matches!(decide(&busy, 1, false, false), End::Again { .. }));
        assert!(matches!(decide(&busy, TRIES, false, false), End::Failed(_)));
    }

    #[test]
    fn every_refusal_is_a_denial_and_a_bad_end_is_none() {
        let denied = [
            (ended(Way::TimedOut, "", ""), "time"),
            (ended(Way::OverMemory, "", ""), "memory"),
            (ended(Way::OverCpu, "", ""), "processor"),
            (Err(Error::Refused { layer: Layer::Files, why: "없음".into() }), "sandbox"),
            (Err(Error::Start { program: "/bin/sh".into(), why: "too long".into() }), "unrunnable"),
            (Err(Error::Spec("NUL".into())), "unrunnable"),
        ];
        for (told, reason) in &denied {
            assert_eq!(denial(told).map(Denial::as_str), Some(*reason), "{told:?}");
        }
        let reasons: std::collections::HashSet<_> = denied.iter().map(|(_, reason)| *reason).collect();
        assert_eq!(reasons, Denial::ALL.map(Denial::as_str).into(), "each is shown once");
        let bad = [ended(Way::Code(0), "", ""), ended(Way::Code(1), "", ""), ended(Way::Signal(9), "", "")];
        let ours = [ended(Way::Cancelled, "", ""), Err(Error::Lost("x".into()))];
        assert!(bad.iter().chain(&ours).all(|told| denial(told).is_none()));
    }

    #[test]
    fn what_a_stop_cut_is_run_again_only_if_it_may() {
        let cut = ended(Way::Cancelled, "", "");
        assert!(matches!(decide(&cut, 1, true, true), End::Again { .. }));
        let End::Failed(failure) = decide(&cut, 1, true, false) else { panic!("a second run") };
        assert_eq!(failure.cause, Cause::Lost);
        assert!(failure.reason.contains("stopped"));
    }
}
