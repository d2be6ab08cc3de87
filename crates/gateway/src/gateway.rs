//! What every handler is given. Refuses to hold anything that a request could change for another one.

use crate::{announcer::Announcer, hub::Hub, idempotency::InFlight, keyring::Keyring, metrics::Metrics, status::Kept};
use bus::Bus;
use store::Store;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What every handler is given.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// The rows.
    pub(crate) store: Store,
    /// The streams, to look at how deep they are.
    pub(crate) bus: Bus,
    /// Where committed facts are handed on.
    pub(crate) announcer: Announcer,
    /// What happens.
    pub(crate) hub: Hub,
    /// Who is calling.
    pub(crate) keyring: Keyring,
    /// Requests with an idempotency key that are being answered.
    pub(crate) in_flight: InFlight,
    /// The last picture of the whole.
    pub(crate) status: Kept,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// Where spans are told that are over.
    pub(crate) traces: boot::trace::Traces,
    /// The WebSockets that are open.
    pub(crate) sockets: TaskTracker,
    /// Whether the schema was checked and a master key exists.
    pub(crate) started: watch::Receiver<bool>,
    /// Cancelled when the service is asked to stop.
    pub(crate) stop: CancellationToken,
}
