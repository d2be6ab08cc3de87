//! What a batch looks like at an instant: a function of its plan and the clock. Refuses to keep time itself, so that
//! no task sleeps for a batch.

use std::time::Duration;

/// How a batch ends when nobody cancels it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Completed,
    /// Found wanting while it was validated.
    Failed,
    Expired,
    Cancelled,
    /// Runs until its day is over.
    Never,
}

/// What is decided about a batch when it is created; all times count from then.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) items: usize,
    /// How many items get done at most.
    pub(crate) most: usize,
    /// How long it takes.
    pub(crate) takes: Duration,
    /// When it expires.
    pub(crate) expires: Duration,
    pub(crate) ending: Ending,
}

/// Where a batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Validating,
    Running,
    Finalizing,
    Cancelling,
    Completed,
    Failed,
    Expired,
    Cancelled,
}

impl Phase {
    /// Whether nothing more will happen.
    pub(crate) fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Expired | Self::Cancelled)
    }
}

/// A batch at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) phase: Phase,
    /// Items that are done, in the order in which they get done.
    pub(crate) finished: usize,
    pub(crate) started: Option<Duration>,
    pub(crate) finalizing: Option<Duration>,
    pub(crate) cancelling: Option<Duration>,
    pub(crate) ended: Option<Duration>,
}

impl Plan {
    /// The batch `now` after its creation; `cancelled` = when it was cancelled, if it was.
    pub(crate) fn look(&self, now: Duration, cancelled: Option<Duration>) -> View {
        let validated = self.takes / 10;
        let finalizing = self.takes / 10 * 9;
        let (end, phase) = self.end();
        // A cancel that came too late changes nothing.
        let cancelled = cancelled.filter(|at| *at < end);
        let (end, last) = match cancelled {
            Some(at) => (end.min(at + validated), Phase::Cancelled),
            None => (end, phase),
        };
        let worked = cancelled.unwrap_or(end).min(now);
        let phase = match cancelled {
            _ if now >= end => last,
            Some(_) => Phase::Cancelling,
            None if now < validated => Phase::Validating,
            None if now >= finalizing && self.ending == Ending::Completed => Phase::Finalizing,
            None => Phase::Running,
        };
        let passed = |at: Duration| (at <= worked).then_some(at);
        View {
            phase,
            finished: self.finished(worked),
            started: if self.ending == Ending::Failed { None } else { passed(validated) },
            finalizing: if self.ending == Ending::Completed { passed(finalizing) } else { None },
            cancelling: cancelled,
            ended: (now >= end).then_some(end),
        }
    }

    /// When and how it ends when nobody cancels it.
    fn end(&self) -> (Duration, Phase) {
        let end = match self.ending {
            Ending::Never => self.expires,
            Ending::Failed => self.takes / 10,
            _ => self.takes,
        };
        match self.ending {
            _ if end > self.expires => (self.expires, Phase::Expired),
            Ending::Completed => (end, Phase::Completed),
            Ending::Failed => (end, Phase::Failed),
            Ending::Cancelled => (end, Phase::Cancelled),
            Ending::Expired | Ending::Never => (end, Phase::Expired),
        }
    }

    /// Items done after so much work, which starts once the batch is validated and is through when it is finalized.
    fn finished(&self, worked: Duration) -> usize {
        if self.ending == Ending::Failed {
            return 0;
        }
        let nanos = |duration: Duration| duration.as_nanos();
        let (from, length) = (nanos(self.takes) / 10, nanos(self.takes) / 10 * 8);
        if worked >= self.takes || length == 0 {
            return self.most;
        }
        let done = nanos(worked).saturating_sub(from).min(length);
        let items = u128::try_from(self.items).unwrap_or(u128::MAX);
        usize::try_from(items * done / length).unwrap_or(usize::MAX).min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn plan(ending: Ending, most: usize) -> Plan {
        Plan { items: 100, most, takes: ms(1_000), expires: ms(5_000), ending }
    }

    fn seen(plan: &Plan, cancelled: Option<u64>, at: &[u64]) -> Vec<(Phase, usize)> {
        at.iter()
            .map(|at| {
                let view = plan.look(ms(*at), cancelled.map(ms));
                (view.phase, view.finished)
            })
            .collect()
    }

    #[test]
    fn a_batch_goes_through_its_states() {
        use Phase::{Completed, Finalizing, Running, Validating};
        let seen = seen(&plan(Ending::Completed, 100), None, &[0, 99, 100, 500, 899, 900, 999, 1_000, 9_000]);
        let expected = [
            (Validating, 0),
            (Validating, 0),
            (Running, 0),
            (Running, 50),
            (Running, 99),
            (Finalizing, 100),
            (Finalizing, 100),
            (Completed, 100),
            (Completed, 100),
        ];
        assert_eq!(seen, expected);
        let view = plan(Ending::Completed, 100).look(ms(2_000), None);
        assert_eq!((view.started, view.finalizing, view.ended), (Some(ms(100)), Some(ms(900)), Some(ms(1_000))));
    }

    #[test]
    fn a_cancelled_batch_keeps_what_was_done() {
        use Phase::{Cancelled, Cancelling, Completed, Running};
        let plan = plan(Ending::Completed, 100);
        assert_eq!(
            seen(&plan, Some(500), &[500, 599, 600, 9_000]),
            [(Cancelling, 50), (Cancelling, 50), (Cancelled, 50), (Cancelled, 50)]
        );
        assert_eq!(seen(&plan, Some(1_000), &[1_000]), [(Completed, 100)]);
        assert_eq!(seen(&plan, None, &[400]), [(Running, 37)]);
    }

    #[test]
    fn a_batch_expires_with_a_part_or_with_nothing() {
        assert_eq!(
            seen(&plan(Ending::Expired, 50), None, &[800, 999, 1_000]),
            [(Phase::Running, 50), (Phase::Running, 50), (Phase::Expired, 50)]
        );
        assert_eq!(seen(&plan(Ending::Never, 0), None, &[4_999, 5_000]), [(Phase::Running, 0), (Phase::Expired, 0)]);
        let slow = Plan { takes: ms(10_000), ..plan(Ending::Completed, 100) };
        assert_eq!(
            seen(&slow, None, &[4_999, 5_000, 20_000]),
            [(Phase::Running, 49), (Phase::Expired, 50), (Phase::Expired, 50)]
        );
    }

    #[test]
    fn a_failed_batch_does_nothing_and_no_time_is_no_division() {
        assert_eq!(seen(&plan(Ending::Failed, 100), None, &[99, 100]), [(Phase::Validating, 0), (Phase::Failed, 0)]);
        let quick = Plan { takes: Duration::ZERO, ..plan(Ending::Completed, 100) };
        assert_eq!(seen(&quick, Some(0), &[0]), [(Phase::Completed, 100)]);
        let quick = Plan { takes: Duration::ZERO, ..plan(Ending::Expired, 30) };
        assert_eq!(seen(&quick, None, &[0]), [(Phase::Expired, 30)]);
    }
}
