//! What an emulator can be told at start. Refuses to read the environment: callers pass values.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

/// How an emulator listens, waits and answers.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens; port 0 picks a free one. Default `127.0.0.1:0`.
    pub addr: SocketAddr,
    /// Waits this long before the headers of each answer. Default zero.
    pub delay: Duration,
    /// Adds up to this much to `delay`, drawn from `seed` and the request's number. Default zero.
    pub jitter: Duration,
    /// Paces streams at this many output tokens a second; `None` sends at once. Default `None`.
    pub tokens_per_second: Option<NonZeroU32>,
    /// Varies answers, jitter, the order of batch results and the faults chosen by percent. Default 0.
    pub seed: u64,
    /// Threads that serve requests. Default 1, which carries well over 5,000 small asks a second.
    pub workers: usize,
    /// Answers every text ask in one short line, as a model name ending in `-brief` does. Default false.
    pub brief: bool,
    /// How long a batch takes from its creation to its end. Default 3 s.
    pub batch_time: Duration,
    /// How long the 24 hours are after which a batch expires; Gemini's expire after two of them. A batch that takes
    /// longer expires with what is done by then. Default 24 h.
    pub batch_day: Duration,
    /// How many answered asks the ledger lists one by one; totals go on beyond it. Default 500,000.
    pub ledger_cap: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            tokens_per_second: None,
            seed: 0,
            workers: 1,
            brief: false,
            batch_time: Duration::from_secs(3),
            batch_day: Duration::from_secs(24 * 60 * 60),
            ledger_cap: 500_000,
        }
    }
}
