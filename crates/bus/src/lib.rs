//! Redis streams that carry names: announce them to topics, handle them in slices with leases,
//! follow feeds. Refuses to know what is named: an entry is an id and a word, the facts are elsewhere.

mod acker;
mod claims;
mod consumer;
mod dead;
mod delivery;
mod depths;
mod entry;
mod error;
mod events;
mod floor;
mod ledger;
mod link;
mod metrics;
mod producer;
mod reader;
mod renewer;
mod reply;
mod topic;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use prometheus::Registry;
use secrecy::SecretString;
use tokio::sync::watch;

pub use consumer::{Consumer, ConsumerOptions};
pub use dead::Dead;
pub use delivery::Delivery;
pub use depths::Depth;
pub use entry::{BadEventId, Entry, EventId};
pub use error::Error;
pub use events::{Range, Seen, Tail};
pub use metrics::Metrics;
pub use topic::{EVENTS, Feed, Lane, Topic};

/// Where Redis is, and who speaks to it.
#[derive(Debug, Clone)]
pub struct Options {
    /// `redis://user:password@host:port/0` or `redis+unix:///path`.
    pub url: SecretString,
    /// Stands before every key, so that several installations can share a Redis.
    pub prefix: String,
    /// The name of this process among those that read the same topics; the same after a restart,
    /// and never that of two at once.
    pub replica: String,
}

/// The bus: cheap to clone, connects when first used, and again whenever it has to.
#[derive(Clone)]
pub struct Bus {
    inner: Arc<Inner>,
}

struct Inner {
    link: Arc<link::Link>,
    prefix: String,
    replica: String,
    metrics: Metrics,
    emptied: watch::Sender<u64>,
    known: Mutex<BTreeSet<Topic>>,
    hubs: Mutex<HashMap<&'static str, Weak<events::Hub>>>,
}

impl Bus {
    /// Makes a bus without waiting for Redis. Its connections live in the current tokio runtime.
    ///
    /// # Errors
    /// When the URL is unusable, the metrics' names are taken, or there is no tokio runtime.
    pub fn connect(options: &Options, registry: &Registry) -> Result<Self, Error> {
        let metrics = Metrics::new(registry)?;
        let link = Arc::new(link::Link::new(&options.url, metrics.reconnects.clone())?);
        let inner = Inner {
            link,
            prefix: options.prefix.clone(),
            replica: options.replica.clone(),
            metrics,
            emptied: watch::Sender::new(0),
            known: Mutex::default(),
            hubs: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Asks Redis for a sign of life.
    ///
    /// # Errors
    /// When there is none.
    pub async fn ping(&self) -> Result<(), Error> {
        const DOING: &str = "pinging";
        let mut commands = redis::pipe();
        commands.cmd("PING");
        reply::single(DOING, self.link().ask(DOING, &commands).await?).map(drop)
    }

    /// Tells whether the last contact with Redis succeeded; false until the first.
    #[must_use]
    pub fn up(&self) -> watch::Receiver<bool> {
        self.inner.link.up()
    }

    /// Counts how often a stream or its group was found gone. When it rises, announcements were
    /// lost: it is time to announce again what still waits.
    #[must_use]
    pub fn emptied(&self) -> watch::Receiver<u64> {
        self.inner.emptied.subscribe()
    }

    /// Makes a consumer of a topic; `run` starts it.
    #[must_use]
    pub fn consumer(&self, topic: Topic, options: ConsumerOptions) -> Consumer {
        self.know(topic);
        Consumer::new(self.clone(), topic, options)
    }

    /// Makes topics known that this process neither announces to nor consumes, so that `depths`
    /// includes them.
    pub fn declare(&self, topics: &[Topic]) {
        for topic in topics {
            self.know(*topic);
        }
    }

    fn know(&self, topic: Topic) {
        self.inner.known.lock().unwrap_or_else(PoisonError::into_inner).insert(topic);
    }

    fn known(&self) -> Vec<Topic> {
        self.inner.known.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    fn link(&self) -> &Arc<link::Link> {
        &self.inner.link
    }

    fn prefix(&self) -> &str {
        &self.inner.prefix
    }

    fn replica(&self) -> &str {
        &self.inner.replica
    }

    fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    fn feed_key(&self, feed: Feed) -> String {
        format!("{}{}", self.inner.prefix, feed.name())
    }

    fn count_emptied(&self) {
        self.inner.metrics.emptied.inc();
        self.inner.emptied.send_modify(|count| *count += 1);
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Bus")
            .field("prefix", &self.inner.prefix)
            .field("replica", &self.inner.replica)
            .finish_non_exhaustive()
    }
}
