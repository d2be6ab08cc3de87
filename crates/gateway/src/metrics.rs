//! The counters that the gateway alone owns.

use crate::{error::Code, routes};
use domain::task::{Cause, State};
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, core::Collector,
};
use std::time::Duration;

/// How clients are told events.
const TRANSPORTS: [&str; 3] = ["sse", "websocket", "wait"];

/// Numbers about requests, streams, keys, and orders that end here.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    refused: IntCounterVec,
    /// Clients that receive events now, by transport (`sse`, `websocket`, `wait`).
    pub(crate) clients: IntGaugeVec,
    /// Streams that were ended because their client read too slowly, by transport.
    pub(crate) dropped: IntCounterVec,
    /// Keys looked up, by where they were found (`cache`, `store`).
    pub(crate) key_lookups: IntCounterVec,
    /// Announcements that Redis did not take; the sweep makes up for them.
    pub(crate) unannounced: IntCounter,
    orders_ended: IntCounterVec,
    orders_failed: IntCounterVec,
}

impl Metrics {
    /// Registers the gateway's metrics.
    ///
    /// # Errors
    /// When one of the names is taken.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self::register(registry)?;
        metrics.begin_at_nothing();
        Ok(metrics)
    }

    /// Shows every figure before its first event: an increase from nothing is invisible to Prometheus. Times of routes
    /// are left out, which are sixteen series each, and statuses that few routes ever answer with.
    fn begin_at_nothing(&self) {
        for (method, route) in routes::served() {
            for class in ["2xx", "4xx", "5xx"] {
                self.requests.with_label_values(&[route, method, class]);
            }
            self.requests.with_label_values(&[route, routes::OTHER, "4xx"]);
        }
        self.requests.with_label_values(&[routes::UNKNOWN, routes::OTHER, "4xx"]);
        for code in Code::ALL {
            self.refused.with_label_values(&[code.as_str()]);
        }
        for transport in TRANSPORTS {
            self.clients.with_label_values(&[transport]);
            self.dropped.with_label_values(&[transport]);
        }
        for found in ["cache", "store"] {
            self.key_lookups.with_label_values(&[found]);
        }
        for state in State::ALL.iter().filter(|state| state.is_terminal()) {
            self.orders_ended.with_label_values(&[state.as_str()]);
        }
        self.orders_failed.with_label_values(&[Cause::AgentFailed.as_str()]);
    }

    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let seconds = HistogramOpts::new(
            "chavion_gateway_request_seconds",
            "Time from a request's head to its response's head, by route and method.",
        )
        .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0]);
        Ok(Self {
            requests: kept(
                registry,
                IntCounterVec::new(
                    Opts::new(
                        "chavion_gateway_requests_total",
                        "Requests answered, by route, method and status class.",
                    ),
                    &["route", "method", "status"],
                )?,
            )?,
            seconds: kept(registry, HistogramVec::new(seconds, &["route", "method"])?)?,
            refused: kept(
                registry,
                IntCounterVec::new(
                    Opts::new("chavion_gateway_refused_total", "Requests refused, by code."),
                    &["code"],
                )?,
            )?,
            clients: kept(
                registry,
                IntGaugeVec::new(
                    Opts::new(
                        "chavion_gateway_event_clients",
                        "Clients that receive events now, by transport (`sse`, `websocket`, `wait`).",
                    ),
                    &["transport"],
                )?,
            )?,
            dropped: kept(
                registry,
                IntCounterVec::new(
                    Opts::new(
                        "chavion_gateway_dropped_clients_total",
                        "Streams that were ended because their client read too slowly, by transport.",
                    ),
                    &["transport"],
                )?,
            )?,
            key_lookups: kept(
                registry,
                IntCounterVec::new(
                    Opts::new(
                        "chavion_gateway_key_lookups_total",
                        "Keys looked up, by where they were found (`cache`, `store`).",
                    ),
                    &["found"],
                )?,
            )?,
            unannounced: kept(
                registry,
                IntCounter::new(
                    "chavion_gateway_unannounced_total",
                    "Announcements that Redis did not take; the sweep makes up for them.",
                )?,
            )?,
            orders_ended: kept(
                registry,
                IntCounterVec::new(
                    Opts::new("chavion_orders_ended_total", "Orders that ended, by state."),
                    &["outcome"],
                )?,
            )?,
            orders_failed: kept(
                registry,
                IntCounterVec::new(
                    Opts::new("chavion_orders_failed_total", "Orders that failed, by cause."),
                    &["cause"],
                )?,
            )?,
        })
    }

    /// Counts one answered request.
    pub(crate) fn answered(&self, route: &str, method: &str, status: u16, took: Duration) {
        let class = match status {
            0..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        self.requests.with_label_values(&[route, method, class]).inc();
        self.seconds.with_label_values(&[route, method]).observe(took.as_secs_f64());
    }

    /// Counts an order that ended here: its master cancelled it, or an agent ended what was on the board. All others are
    /// counted by the orchestrator, under the same names.
    pub(crate) fn ended(&self, state: State) {
        self.orders_ended.with_label_values(&[state.as_str()]).inc();
        if state == State::Failed {
            self.orders_failed.with_label_values(&[Cause::AgentFailed.as_str()]).inc();
        }
    }

    /// Counts one refused request.
    pub(crate) fn refused(&self, code: &str) {
        self.refused.with_label_values(&[code]).inc();
    }
}

fn kept<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
