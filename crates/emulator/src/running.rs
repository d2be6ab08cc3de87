//! Starts and stops an emulator. Refuses to depend on the caller's runtime: each runs on threads of its own.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use tokio::sync::oneshot;

use crate::fault::{Rule, SpecError};
use crate::ledger::Ledger;
use crate::options::Options;
use crate::server;
use crate::state::State;

/// Why an emulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address could not be listened on.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The serving thread could not be started.
    #[error("cannot start the serving thread")]
    Thread(#[source] std::io::Error),
    /// The server gave up while it started.
    #[error("the server ended while it started")]
    Ended,
}

/// The entrance: `Emulator::start`.
#[derive(Debug)]
pub struct Emulator;

impl Emulator {
    /// Starts an emulator and returns once it listens; fails when the address is taken.
    pub async fn start(options: Options) -> Result<Running, Error> {
        let asked = options.addr;
        let listener = TcpListener::bind(asked).map_err(|error| Error::Listen(asked, error))?;
        let addr = listener.local_addr().map_err(|error| Error::Listen(asked, error))?;
        let state = Arc::new(State::new(options));
        let (sender, receiver) = oneshot::channel();
        let shared = Arc::clone(&state);
        std::thread::Builder::new()
            .name("emulator".to_owned())
            .spawn(move || {
                actix_web::rt::System::new().block_on(async move {
                    let server = server::run(listener, shared)?;
                    // A caller that is gone drops the receiver; the server then ends with its handle.
                    let _ = sender.send(server.handle());
                    server.await
                })
            })
            .map_err(Error::Thread)?;
        let handle = receiver.await.map_err(|_| Error::Ended)?;
        Ok(Running { addr, state, handle: Some(handle) })
    }
}

/// A running emulator; dropping it stops it at once, `stop` lets open answers end first.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    state: Arc<State>,
    handle: Option<ServerHandle>,
}

impl Running {
    /// The base URL that an Anthropic client is given.
    #[must_use]
    pub fn anthropic_base(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The base URL that an OpenAI client is given.
    #[must_use]
    pub fn openai_base(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// The base URL that a Gemini client is given.
    #[must_use]
    pub fn gemini_base(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What was billed so far, every listed ask and every item of a batch that is done included. Items that nobody has
    /// fetched yet are answered for it, which takes its time.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.state.settle();
        self.state.ledger.copy(usize::MAX)
    }

    /// Empties the ledger; items of batches that are done by now do not come back.
    pub fn clear_ledger(&self) {
        self.state.settle();
        self.state.ledger.clear();
    }

    /// How long batches take that are created from now on.
    pub fn set_batch_time(&self, time: Duration) {
        self.state.clock.set_batch(time);
    }

    /// How long the 24 hours are after which batches expire that are created from now on.
    pub fn set_batch_day(&self, time: Duration) {
        self.state.clock.set_day(time);
    }

    /// Adds a fault rule, as `POST /emulator/faults` does; fails when its text names no known fault.
    pub fn script(&self, rule: &Rule) -> Result<u64, SpecError> {
        self.state.faults.add(rule)
    }

    /// Removes all fault rules and forgets how often each marker was played.
    pub fn clear_faults(&self) {
        self.state.faults.clear();
    }

    /// Stops taking connections, lets open answers end for at most two seconds, and returns when all is closed.
    pub async fn stop(mut self) {
        if let Some(handle) = self.handle.take() {
            handle.stop(true).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            // The command is sent when the future is made; nobody waits for the end of the closing.
            drop(handle.stop(false));
        }
    }
}
