//! HTTP in: takes orders, shows tasks, tells events, knows who is calling.
//! Refuses to do any work on a task: it keeps what was ordered and says so; others carry it out.

mod agents;
mod announcer;
mod batches;
mod blackouts;
mod board;
mod body;
mod budgets;
mod config;
mod docs;
mod error;
mod feed;
mod fields;
mod gateway;
mod health;
mod help;
mod hub;
mod idempotency;
mod keyring;
mod keys;
mod metrics;
mod moves;
mod order;
mod page;
mod playbooks;
mod request;
mod routes;
mod shown;
mod sse;
mod start;
mod status;
mod tasks;
mod wait;
mod ws;

pub use config::Config;
pub use docs::Api;
pub use metrics::Metrics;
pub use routes::{needs, served};

use crate::{gateway::Gateway, hub::Hub, idempotency::InFlight, keyring::Keyring, start::FirstKey};
use actix_web::{App, HttpServer, dev::Server, rt::net::TcpStream, web::Data};
use anyhow::Context;
use boot::{Life, Tasks};
use bus::Bus;
use secrecy::SecretString;
use std::{any::Any, net::SocketAddr, net::TcpListener, time::Duration};
use store::Store;
use tokio::sync::{oneshot, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long an idle connection is kept; longer than nginx keeps its own (60 s), so that it is nginx who closes.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a request's head may take to arrive.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a closing connection may take to be read to its end.
const CLOSE_TIME: Duration = Duration::from_secs(2);
/// How long a client's machine may leave what was sent to it unacknowledged, in milliseconds.
const SILENCE_MS: u32 = 30_000;
/// How long requests in flight may take after the stop, in seconds; streams end at once.
const LAST_REQUESTS_SECONDS: u64 = 15;
/// The most connections of one worker.
const CONNECTIONS: usize = 10_000;

/// The gateway, listening and not yet serving.
#[derive(Debug)]
pub struct Service {
    gateway: Data<Gateway>,
    listener: TcpListener,
    addr: SocketAddr,
    workers: usize,
    first_key: FirstKey,
    courier: announcer::Courier,
    started: watch::Sender<bool>,
    parts: (boot::Part, boot::Part),
    tasks: Tasks,
}

impl Service {
    /// Listens, and connects to nothing yet: Postgres and Redis may come later.
    ///
    /// # Errors
    /// When the address is taken or a URL is malformed.
    pub async fn build(config: Config, life: &Life) -> anyhow::Result<Self> {
        let parts = (life.ready.part("postgres"), life.ready.part("redis"));
        let options = store::Options {
            url: config.database_url,
            max_connections: config.database_connections,
            application_name: format!("chavion-gateway {}", config.common.replica),
        };
        let store = Store::connect(&options, &life.registry)?;
        let options =
            bus::Options { url: config.redis_url, prefix: config.redis_prefix, replica: config.common.replica };
        let bus = Bus::connect(&options, &life.registry)?;
        let metrics = Metrics::new(&life.registry)?;
        let listener = TcpListener::bind(config.addr).map_err(|error| {
            let addr = config.addr;
            anyhow::anyhow!(
                "cannot listen on GATEWAY_ADDR {addr}: {error}; stop what has it, or set GATEWAY_ADDR to another"
            )
        })?;
        let addr = listener.local_addr()?;
        let (announcer, courier) = announcer::announcer(bus.clone(), metrics.clone());
        let (started, has_started) = watch::channel(false);
        bus.declare(&status::TOPICS);
        let gateway = Gateway {
            hub: Hub::new(store.clone(), bus.clone(), metrics.clone(), config.event_clients),
            keyring: Keyring::new(store.clone(), metrics.clone()),
            store,
            bus,
            announcer,
            in_flight: InFlight::default(),
            status: status::Kept::default(),
            metrics,
            traces: life.traces.clone(),
            sockets: TaskTracker::new(),
            started: has_started,
            stop: life.stop.clone(),
        };
        Ok(Self {
            gateway: Data::new(gateway),
            listener,
            addr,
            workers: config.common.worker_threads,
            first_key: config.first_key_file.map_or(FirstKey::Output, FirstKey::File),
            courier,
            started,
            parts,
            tasks: life.tasks.clone(),
        })
    }

    /// Returns the address it listens on.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Has the first master key handed over instead of shown. Nothing comes when there is a master key already.
    pub fn first_key(&mut self) -> oneshot::Receiver<SecretString> {
        let (sender, receiver) = oneshot::channel();
        self.first_key = FirstKey::Handed(sender);
        receiver
    }

    /// Serves until the stop; returns after the last request was answered and the last announcement made.
    ///
    /// # Errors
    /// When the schema is of another version, the first key cannot be shown, or the server breaks.
    pub async fn run(self) -> anyhow::Result<()> {
        let Self { gateway, listener, workers, first_key, courier, started, parts, tasks, .. } = self;
        let stop = gateway.stop.clone();
        let last = CancellationToken::new();
        let (carried, all_carried) = oneshot::channel::<()>();
        tasks.spawn("courier", {
            let last = last.clone();
            async move {
                courier.run(last).await;
                drop(carried);
            }
        });
        tasks.spawn("events", gateway.hub.clone().run(stop.clone()));
        let (postgres, redis) = parts;
        let redis_is_there = {
            let (stop, bus) = (stop.clone(), gateway.bus.clone());
            async move {
                tokio::select! {
                    () = start::redis(bus, redis) => {}
                    () = stop.cancelled() => {}
                }
            }
        };
        tasks.spawn("redis", redis_is_there);
        let server = serve(gateway.clone(), listener, workers)?;
        let handle = server.handle();
        let (ending, ended) = oneshot::channel();
        tasks.spawn("server", async move {
            // Whoever waits for it may have given up.
            let _ = ending.send(server.await);
        });
        let starting = start::postgres(gateway.store.clone(), first_key, postgres, started);
        let outcome = tokio::select! {
            ended = ended => match ended {
                Ok(Err(error)) => Err(error).context("the server broke"),
                _ => Err(anyhow::anyhow!("the server ended unasked")),
            },
            Err(error) = starting => Err(error),
            () = stop.cancelled() => Ok(()),
        };
        // Streams end by it, and then the server can.
        stop.cancel();
        gateway.sockets.close();
        handle.stop(true).await;
        gateway.sockets.wait().await;
        last.cancel();
        let _ = all_carried.await;
        outcome
    }
}

fn serve(gateway: Data<Gateway>, listener: TcpListener, workers: usize) -> anyhow::Result<Server> {
    let server = HttpServer::new(move || App::new().app_data(gateway.clone()).configure(routes::register))
        .workers(workers)
        .max_connections(CONNECTIONS)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIME)
        .client_disconnect_timeout(CLOSE_TIME)
        .shutdown_timeout(LAST_REQUESTS_SECONDS)
        .tcp_nodelay(true)
        // A client that has gone is noticed at once, not at the next message.
        .h1_allow_half_closed(false)
        .on_connect(|connection: &dyn Any, _| bound_silence(connection))
        .disable_signals()
        .listen(listener)?;
    Ok(server.run())
}

/// Has the kernel end a connection whose client reads nothing: no buffer of ours waits for it for ever.
fn bound_silence(connection: &dyn Any) {
    if let Some(stream) = connection.downcast_ref::<TcpStream>()
        && let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(stream, SILENCE_MS)
    {
        tracing::debug!(%error, "a connection has no time limit");
    }
}
