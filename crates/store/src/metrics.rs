//! What the store measures of itself. Refuses to publish what the rows say: the orchestrator alone does that.

use crate::{error::Error, statement};
use deadpool_postgres::Pool;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use std::time::Instant;

/// Bucket bounds in seconds: from one round trip on the same machine to the statement timeout.
const SECONDS: &[f64] = &[0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// The store's metrics.
#[derive(Debug)]
pub struct Metrics {
    /// Time from a statement's sending to its last row, by statement
    statement_duration_seconds: HistogramVec,
    /// Calls that failed, by class
    errors_total: IntCounterVec,
}

impl Metrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// When the registry holds one of that name already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let statement_duration_seconds = HistogramVec::new(
            HistogramOpts::new(
                "chavion_store_statement_duration_seconds",
                "Time from a statement's sending to its last row, by statement",
            )
            .buckets(SECONDS.to_vec()),
            &["statement"],
        )?;
        let errors_total =
            IntCounterVec::new(Opts::new("chavion_store_errors_total", "Calls that failed, by class"), &["class"])?;
        registry.register(Box::new(statement_duration_seconds.clone()))?;
        registry.register(Box::new(errors_total.clone()))?;
        for class in Error::CLASSES {
            errors_total.with_label_values(&[class]);
        }
        Ok(Self { statement_duration_seconds, errors_total })
    }

    /// Registers the gauges of a pool; they are read when they are asked for.
    pub(crate) fn watch_pool(&self, registry: &Registry, pool: &Pool) -> Result<(), prometheus::Error> {
        registry.register(Box::new(PoolGauges {
            pool: pool.clone(),
            connections: IntGauge::new("chavion_store_pool_connections", "Connections that are open")?,
            waiting: IntGauge::new("chavion_store_pool_waiting", "Callers that wait for a connection")?,
        }))
    }

    /// Counts what failed and how long what succeeded took.
    pub(crate) fn observe<T>(
        &self,
        statement: &'static str,
        started: Instant,
        result: Result<T, Error>,
    ) -> Result<T, Error> {
        debug_assert!(statement::NAMES.contains(&statement), "{statement} is a statement");
        if result.is_ok() {
            let seconds = started.elapsed().as_secs_f64();
            self.statement_duration_seconds.with_label_values(&[statement]).observe(seconds);
        }
        self.note(result)
    }

    /// Counts what failed.
    pub(crate) fn note<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &result {
            self.errors_total.with_label_values(&[error.class()]).inc();
        }
        result
    }
}

struct PoolGauges {
    pool: Pool,
    connections: IntGauge,
    waiting: IntGauge,
}

impl Collector for PoolGauges {
    fn desc(&self) -> Vec<&Desc> {
        [self.connections.desc(), self.waiting.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let status = self.pool.status();
        self.connections.set(i64::try_from(status.size).unwrap_or(i64::MAX));
        self.waiting.set(i64::try_from(status.waiting).unwrap_or(i64::MAX));
        [self.connections.collect(), self.waiting.collect()].concat()
    }
}
