//! The emulator as a program: what it may be told, and where it says that it is. Refuses to hide: it prints where it
//! listens, and that its answers are no model's.

use crate::{Emulator, Options};
use anyhow::Context as _;
use clap::Parser;
use std::{net::SocketAddr, num::NonZeroU32, time::Duration};
use tokio::signal::unix::{SignalKind, signal};

/// Speaks the wire formats of Anthropic, OpenAI and Gemini; every answer is emulated.
#[derive(Debug, Parser)]
#[command(name = "chavion-emulator", version)]
struct Arguments {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:5080")]
    addr: SocketAddr,
    /// Milliseconds before the headers of each answer.
    #[arg(long, default_value_t = 0)]
    delay_ms: u64,
    /// Up to this many milliseconds more, by the seed.
    #[arg(long, default_value_t = 0)]
    jitter_ms: u64,
    /// Output tokens a second of a stream; without it streams go out at once.
    #[arg(long)]
    tokens_per_second: Option<NonZeroU32>,
    /// Varies answers, jitter and faults by percent.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads that serve requests.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Answers in one short line.
    #[arg(long)]
    brief: bool,
    /// Milliseconds that a batch takes.
    #[arg(long, default_value_t = 3_000)]
    batch_ms: u64,
    /// Milliseconds that the 24 hours are after which a batch expires.
    #[arg(long, default_value_t = 24 * 60 * 60 * 1_000)]
    batch_day_ms: u64,
    /// How many billed asks the ledger lists one by one.
    #[arg(long, default_value_t = 500_000)]
    ledger_cap: usize,
}

/// Reads the command line and serves until SIGTERM or SIGINT.
///
/// # Errors
/// When the address is taken, or the signals cannot be listened for.
pub async fn run() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let emulator = Emulator::start(Options {
        addr: arguments.addr,
        delay: Duration::from_millis(arguments.delay_ms),
        jitter: Duration::from_millis(arguments.jitter_ms),
        tokens_per_second: arguments.tokens_per_second,
        seed: arguments.seed,
        workers: arguments.workers,
        brief: arguments.brief,
        batch_time: Duration::from_millis(arguments.batch_ms),
        batch_day: Duration::from_millis(arguments.batch_day_ms),
        ledger_cap: arguments.ledger_cap,
    })
    .await?;
    announce(&emulator.addr)?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        _ = terminate.recv() => {}
        stopped = tokio::signal::ctrl_c() => stopped.context("cannot listen for SIGINT")?,
    }
    emulator.stop().await;
    Ok(())
}

/// Tells whoever started it where it is, in one line that scripts can read.
fn announce(addr: &SocketAddr) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    writeln!(out, "chavion-emulator listening on http://{addr} (every answer is emulated)")?;
    out.flush()
}
