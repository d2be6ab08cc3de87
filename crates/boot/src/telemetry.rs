//! Logs to standard error and spans to a collector, set up once a process.
//! Refuses to know what is logged.

use std::io;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use prometheus::IntCounter;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, LevelFilter, filter_fn};
use tracing_subscriber::fmt::format::{DefaultFields, JsonFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::line::Line;
use crate::trace::{self, Traces};
use crate::{Common, LogFormat, StartError};

/// How long the last spans may take to leave.
const FLUSH: Duration = Duration::from_secs(3);

/// The process's telemetry, to be ended last.
#[derive(Debug)]
pub(crate) struct Telemetry {
    spans: Option<SdkTracerProvider>,
    traces: Traces,
}

impl Telemetry {
    /// Takes over the process's logs, panics and spans.
    pub(crate) fn start(service: &'static str, common: &Common, lost: IntCounter) -> Result<Self, StartError> {
        let line = Line { service, replica: common.replica.clone(), format: common.log_format };
        // actix says before every start how many workers it has; the first line is for what an operator must know.
        let log = format!("actix_server=warn,{}", common.log);
        let filter = EnvFilter::try_new(log).map_err(|error| StartError::Telemetry(error.to_string()))?;
        let filter =
            filter.and(filter_fn(|span| span.target() != trace::TARGET).with_max_level_hint(LevelFilter::TRACE));
        let logs = match common.log_format {
            LogFormat::Json => fmt::layer()
                .with_writer(io::stderr)
                .fmt_fields(JsonFields::new())
                .event_format(line)
                .with_filter(filter)
                .boxed(),
            LogFormat::Pretty => fmt::layer()
                .with_writer(io::stderr)
                .with_ansi(false)
                .fmt_fields(DefaultFields::new())
                .event_format(line)
                .with_filter(filter)
                .boxed(),
        };
        let (spans, traces) = match &common.otlp {
            Some(endpoint) => {
                let (provider, queue) = crate::otlp::pipeline(endpoint, service, &common.replica, lost)?;
                (Some(provider), Traces::to(queue))
            }
            None => (None, Traces::default()),
        };
        // The level of spans is fixed: quieter logs must not tear holes into traces. A layer that is not there must say
        // that it wants nothing: without a filter of its own it would be taken for one that wants everything.
        let level = if spans.is_some() { LevelFilter::INFO } else { LevelFilter::OFF };
        let layer = spans.as_ref().map(|provider| {
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer(crate::otlp::SCOPE))
                .with_location(false)
                .with_threads(false)
        });
        tracing_subscriber::registry()
            .with(logs)
            .with(layer.with_filter(level))
            .try_init()
            .map_err(|error| StartError::Telemetry(error.to_string()))?;
        log_panics();
        Ok(Self { spans, traces })
    }

    /// Returns where spans are told that are over.
    pub(crate) fn traces(&self) -> Traces {
        self.traces.clone()
    }

    /// Sends what is left, waiting a bounded time.
    pub(crate) async fn end(self) {
        let Some(spans) = self.spans else { return };
        // Blocks its thread until the exporter is done, so it gets one of its own.
        let ended = tokio::task::spawn_blocking(move || spans.shutdown_with_timeout(FLUSH)).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::warn!("the last spans did not reach the trace collector");
        }
    }
}

/// Makes a panic a log line like any other.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let text = crate::tasks::said(panic.payload());
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(panic = text, place, "panicked");
    }));
}
