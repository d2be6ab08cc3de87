//! The numbers of this process's bus. Labels are the names of topics, which are constants of the
//! services, so the set is closed.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use crate::topic::Topic;

/// What this process did on the bus.
#[derive(Debug, Clone)]
pub struct Metrics {
    announced: IntCounterVec,
    delivered: IntCounterVec,
    acked: IntCounterVec,
    failed: IntCounterVec,
    claimed: IntCounterVec,
    dead: IntCounterVec,
    age: HistogramVec,
    in_flight: IntGaugeVec,
    panics: IntCounterVec,
    /// Entries written to feeds.
    pub published: IntCounter,
    /// Connections to Redis that had to be made again.
    pub reconnects: IntCounter,
    /// Times that a stream or its group was found gone: Redis was emptied.
    pub emptied: IntCounter,
}

/// The numbers of one topic.
#[derive(Debug, Clone)]
pub(crate) struct TopicMetrics {
    pub(crate) delivered: IntCounter,
    pub(crate) acked: IntCounter,
    pub(crate) failed: IntCounter,
    pub(crate) claimed: IntCounter,
    pub(crate) dead: IntCounter,
    pub(crate) age: Histogram,
    pub(crate) in_flight: IntGauge,
    pub(crate) panics: IntCounter,
}

impl Metrics {
    /// Registers every number.
    ///
    /// # Errors
    /// When a name is taken in the registry.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let by_topic = |name: &str, help: &str| {
            let counter = IntCounterVec::new(Opts::new(name, help), &["topic"])?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let plain = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let age = HistogramVec::new(
            HistogramOpts::new(
                "chavion_bus_delivery_age_seconds",
                "From the announcement of an entry to its delivery.",
            )
            .buckets(vec![0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0]),
            &["topic"],
        )?;
        registry.register(Box::new(age.clone()))?;
        let in_flight = IntGaugeVec::new(
            Opts::new("chavion_bus_deliveries_in_flight", "Deliveries that are neither acknowledged nor failed."),
            &["topic"],
        )?;
        registry.register(Box::new(in_flight.clone()))?;
        Ok(Self {
            announced: by_topic("chavion_bus_entries_announced_total", "Entries written to topics.")?,
            delivered: by_topic("chavion_bus_entries_delivered_total", "Entries handed to a handler.")?,
            acked: by_topic("chavion_bus_entries_acked_total", "Entries acknowledged and taken off their stream.")?,
            failed: by_topic("chavion_bus_entries_failed_total", "Deliveries that a handler failed or dropped.")?,
            claimed: by_topic("chavion_bus_entries_claimed_total", "Entries delivered again after a lease ran out.")?,
            dead: by_topic("chavion_bus_entries_dead_total", "Entries moved to the dead stream.")?,
            age,
            in_flight,
            panics: by_topic("chavion_bus_handler_panics_total", "Panics caught in handlers.")?,
            published: plain("chavion_bus_entries_published_total", "Entries written to feeds.")?,
            reconnects: plain("chavion_bus_reconnects_total", "Connections to Redis that had to be made again.")?,
            emptied: plain("chavion_bus_emptied_total", "Times that a stream or its group was found gone.")?,
        })
    }

    pub(crate) fn count_announced(&self, topic: Topic) {
        self.announced.with_label_values(&[topic.name()]).inc();
    }

    pub(crate) fn of(&self, topic: Topic) -> TopicMetrics {
        let label = &[topic.name()];
        TopicMetrics {
            delivered: self.delivered.with_label_values(label),
            acked: self.acked.with_label_values(label),
            failed: self.failed.with_label_values(label),
            claimed: self.claimed.with_label_values(label),
            dead: self.dead.with_label_values(label),
            age: self.age.with_label_values(label),
            in_flight: self.in_flight.with_label_values(label),
            panics: self.panics.with_label_values(label),
        }
    }
}
