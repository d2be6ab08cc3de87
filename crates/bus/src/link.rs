//! Connections to Redis: one shared by all short commands, and lines of their own for those that
//! block. Refuses to know what is sent over them.
//!
//! A multiplexed connection replaces a pool: short commands of all callers are pipelined on one
//! socket, so nobody waits for a free connection and none is probed before use.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus::IntCounter;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{AsyncConnectionConfig, IntoConnectionInfo, Pipeline, RedisError, Value};
use secrecy::{ExposeSecret, SecretString};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::error::Error;

/// How long a connection may take to be made.
const DIAL_PATIENCE: Duration = Duration::from_secs(3);
/// How long a command that does not block may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// A silent connection is probed after this long, and again at this interval, so that a peer that
/// vanished is noticed also while a command blocks.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// How many commands of other callers may queue on the shared connection.
const QUEUE: usize = 1024;
/// The first pause after a failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The way to one Redis.
#[derive(Debug)]
pub(crate) struct Link {
    client: redis::Client,
    /// Where connections live: not in the runtime of whoever happens to ask first.
    runtime: Handle,
    shared: Mutex<Shared>,
    dialling: tokio::sync::Mutex<()>,
    up: watch::Sender<bool>,
    reconnects: IntCounter,
}

#[derive(Debug, Default)]
struct Shared {
    connection: Option<MultiplexedConnection>,
    generation: u64,
    failures: u32,
    resting: Option<(Instant, RedisError)>,
}

/// A connection for commands that block.
#[derive(Debug)]
pub(crate) struct Line {
    connection: MultiplexedConnection,
    id: i64,
}

impl Link {
    pub(crate) fn new(url: &SecretString, reconnects: IntCounter) -> Result<Self, Error> {
        let text = url.expose_secret();
        let url = redis::parse_redis_url(text)
            .ok_or(Error::Url("is not of the form redis://host:port/0 or redis+unix:///path"))?;
        if matches!(url.scheme(), "rediss" | "valkeys") {
            return Err(Error::Url("asks for TLS, which this build does not speak"));
        }
        let info = url.into_connection_info().map_err(|_| Error::Url("lacks a host, a path, or has a bad database"))?;
        let probes = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
        let settings = TcpSettings::default().set_nodelay(true).set_keepalive(probes);
        let client = redis::Client::open(info.set_tcp_settings(settings)).map_err(|_| Error::Url("is not usable"))?;
        let runtime = Handle::try_current().map_err(|_| Error::Homeless)?;
        Ok(Self {
            client,
            runtime,
            shared: Mutex::default(),
            dialling: tokio::sync::Mutex::default(),
            up: watch::Sender::new(false),
            reconnects,
        })
    }

    /// Whether the last contact with Redis succeeded.
    pub(crate) fn up(&self) -> watch::Receiver<bool> {
        self.up.subscribe()
    }

    /// Where connections, and tasks that only serve them, live.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Sends commands over the shared connection and returns one answer each; errors of single
    /// commands stay among the answers. Everything sent here may be sent twice without harm, so a
    /// connection that turns out to be closed costs one more attempt and no error.
    pub(crate) async fn ask(&self, doing: &'static str, commands: &Pipeline) -> Result<Vec<Value>, Error> {
        let mut again = true;
        loop {
            let (generation, connection) =
                self.shared().await.map_err(|source| Error::Unreachable { doing, source })?;
            match send(connection, doing, commands, PATIENCE).await {
                Err(Error::Unreachable { source, .. }) if again && source.is_connection_dropped() => {
                    again = false;
                    self.forget(generation);
                }
                Err(error) => {
                    if error.is_unreachable() {
                        self.forget(generation);
                        self.seen(false);
                    }
                    return Err(error);
                }
                answers => return answers,
            }
        }
    }

    /// Opens a connection of one's own, named so that `CLIENT LIST` tells whose it is.
    pub(crate) async fn line(&self, doing: &'static str, name: &str) -> Result<Line, Error> {
        let opened = self.dial().await;
        self.seen(opened.is_ok());
        let connection = opened.map_err(|source| Error::Unreachable { doing, source })?;
        let mut commands = redis::pipe();
        commands.cmd("CLIENT").arg("ID").cmd("CLIENT").arg("SETNAME").arg(name);
        // A server that forbids CLIENT is still one to read from: the line only cannot be woken.
        let answers = send(connection.clone(), doing, &commands, PATIENCE).await?;
        let id = answers.first().and_then(crate::reply::integer).unwrap_or(0);
        Ok(Line { connection, id })
    }

    /// Counts a connection that was lost.
    pub(crate) fn lost(&self) {
        self.reconnects.inc();
        self.seen(false);
    }

    async fn shared(&self) -> Result<(u64, MultiplexedConnection), RedisError> {
        if let Some(found) = self.current()? {
            return Ok(found);
        }
        let _one_at_a_time = self.dialling.lock().await;
        if let Some(found) = self.current()? {
            return Ok(found);
        }
        let opened = self.dial().await;
        self.seen(opened.is_ok());
        let mut shared = self.locked();
        match opened {
            Ok(connection) => {
                if shared.generation > 0 {
                    self.reconnects.inc();
                }
                shared.generation += 1;
                shared.failures = 0;
                shared.connection = Some(connection.clone());
                Ok((shared.generation, connection))
            }
            Err(error) => {
                shared.failures = shared.failures.saturating_add(1);
                shared.resting = Some((Instant::now() + pause(shared.failures), error.clone()));
                Err(error)
            }
        }
    }

    /// The connection if there is one; the last error while it would be too early to try again.
    fn current(&self) -> Result<Option<(u64, MultiplexedConnection)>, RedisError> {
        let shared = self.locked();
        if let Some(connection) = &shared.connection {
            return Ok(Some((shared.generation, connection.clone())));
        }
        match &shared.resting {
            Some((until, error)) if *until > Instant::now() => Err(error.clone()),
            _ => Ok(None),
        }
    }

    fn forget(&self, generation: u64) {
        let mut shared = self.locked();
        if shared.generation == generation {
            shared.connection = None;
        }
    }

    fn seen(&self, up: bool) {
        if up {
            // Whoever got through: there is no reason left to wait.
            self.locked().resting = None;
        }
        self.up.send_if_modified(|was| std::mem::replace(was, up) != up);
    }

    fn locked(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn dial(&self) -> Result<MultiplexedConnection, RedisError> {
        let client = self.client.clone();
        let mut dialling = JoinSet::new();
        dialling.spawn_on(
            async move {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(DIAL_PATIENCE))
                    .set_response_timeout(None)
                    .set_pipeline_buffer_size(QUEUE);
                client.get_multiplexed_async_connection_with_config(&config).await
            },
            &self.runtime,
        );
        let ended = || RedisError::from(std::io::Error::other("the runtime of the connections has ended"));
        dialling.join_next().await.and_then(Result::ok).ok_or_else(ended)?
    }
}

impl Line {
    /// Sends commands and waits for one answer each, for at most `patience`.
    pub(crate) async fn ask(
        &self,
        doing: &'static str,
        commands: &Pipeline,
        patience: Duration,
    ) -> Result<Vec<Value>, Error> {
        send(self.connection.clone(), doing, commands, patience).await
    }

    /// The server's number of this connection, by which another one can wake it.
    pub(crate) fn id(&self) -> i64 {
        self.id
    }
}

async fn send(
    mut connection: MultiplexedConnection,
    doing: &'static str,
    commands: &Pipeline,
    patience: Duration,
) -> Result<Vec<Value>, Error> {
    let answers = connection.send_packed_commands(commands, 0, commands.len());
    match tokio::time::timeout(patience, answers).await {
        Ok(answers) => answers.map_err(|source| Error::Unreachable { doing, source }),
        Err(_) => Err(Error::Unreachable {
            doing,
            source: std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no answer within {patience:?}")).into(),
        }),
    }
}

/// The pause after so many failures in a row: doubling, and blurred so that replicas do not return
/// in step.
pub(crate) fn pause(failures: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(LONGEST_PAUSE).mul_f64(rand::random_range(0.5..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        for failures in [0, 1, 2, 5, 31, 32, 33, u32::MAX] {
            let pause = pause(failures);
            assert!(pause >= FIRST_PAUSE / 2 && pause <= LONGEST_PAUSE, "{failures}: {pause:?}");
        }
        assert!(pause(u32::MAX) >= LONGEST_PAUSE / 2);
    }

    #[tokio::test]
    async fn a_bad_url_is_refused_without_quoting_it() {
        for bad in
            ["", "http://u:hunter2@h", "rediss://u:hunter2@h", "redis://:hunter2@", "redis://u:hunter2@h/x", "비밀"]
        {
            let counter = IntCounter::new("c", "c").unwrap();
            let error = Link::new(&SecretString::from(bad), counter).unwrap_err();
            assert!(!error.chain().contains("hunter2"), "{error}");
            assert!(!error.is_transient());
        }
    }
}
