//! SIGTERM and SIGINT: the first asks for a drain, the second leaves at once.
//! Refuses to know what is drained.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The signals that ask a process to stop.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals over from the system's default, which would kill.
    pub(crate) fn take() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Cancels `stop` at the first signal and ends the process at the second.
    pub(crate) async fn obey(mut self, stop: CancellationToken) {
        let (name, _) = self.next().await;
        tracing::info!(signal = name, "asked to stop: draining; a second signal leaves at once");
        stop.cancel();
        let (name, number) = self.next().await;
        tracing::warn!(signal = name, "asked again: leaving without a drain");
        leave(128 + number);
    }

    async fn next(&mut self) -> (&'static str, i32) {
        tokio::select! {
            _ = self.terminate.recv() => ("SIGTERM", 15),
            _ = self.interrupt.recv() => ("SIGINT", 2),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "skipping the drain is what the second signal asks for")]
fn leave(code: i32) -> ! {
    std::process::exit(code)
}
