//! Hands spans to a collector as OTLP over HTTP. Refuses to disturb the service: a collector that is away or slow costs
//! spans, one log line, and a counter; never a wait.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, Span, SpanData, SpanProcessor,
};
use prometheus::IntCounter;
use tokio::runtime::Handle;
use url::Url;

use crate::StartError;

/// How long the collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The path that OTLP adds to the configured endpoint.
const PATH: &str = "v1/traces";
/// The most spans that wait for the collector, about 10 MB: half a second of settling batches at full speed.
const WAITING: usize = 8192;
/// The most spans of one export.
const EXPORT: usize = 1024;

/// Builds the pipeline from finished spans to the collector; must be called on the runtime that will do the sending.
pub(crate) fn pipeline(
    endpoint: &Url,
    service: &'static str,
    replica: &str,
    lost: IntCounter,
) -> Result<(SdkTracerProvider, Arc<Queue>), StartError> {
    let inner: Arc<dyn HttpClient> = if endpoint.scheme() == "https" {
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
            .map_err(|error| StartError::Telemetry(error.to_string()))?
            .https_or_http()
            .enable_http1()
            .build();
        Arc::new(HyperClient::new(connector, PATIENCE, None))
    } else {
        Arc::new(HyperClient::with_default_connector(PATIENCE, None))
    };
    let address = format!("{}/{PATH}", endpoint.as_str().trim_end_matches('/'));
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(OnRuntime { runtime: Handle::current(), inner })
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(PATIENCE)
        .with_endpoint(address)
        .build()
        .map_err(|error| StartError::Telemetry(error.to_string()))?;
    let resource = Resource::builder()
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.namespace", "chavion"))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", replica.to_owned()))
        .build();
    let waiting = Arc::new(AtomicUsize::new(0));
    let watched = Watched { exporter, lost: lost.clone(), waiting: Arc::clone(&waiting), away: AtomicBool::new(false) };
    let sizes = BatchConfigBuilder::default().with_max_queue_size(WAITING).with_max_export_batch_size(EXPORT);
    let mut processor = BatchSpanProcessor::new(watched, sizes.build());
    // The provider cannot do that any more: the queue is shared.
    processor.set_resource(&resource);
    let scope = InstrumentationScope::builder(SCOPE).build();
    let queue = Arc::new(Queue { processor, waiting, lost, scope });
    let provider = SdkTracerProvider::builder().with_span_processor(Shared(Arc::clone(&queue))).with_resource(resource);
    Ok((provider.build(), queue))
}

/// Whose spans these are, for the collector.
pub(crate) const SCOPE: &str = "chavion";

/// The spans that wait for the collector. What finds it full is lost, and counted.
#[derive(Debug)]
pub(crate) struct Queue {
    processor: BatchSpanProcessor,
    waiting: Arc<AtomicUsize>,
    lost: IntCounter,
    scope: InstrumentationScope,
}

impl Queue {
    /// Puts a span that is over into the line.
    pub(crate) fn put(&self, span: SpanData) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.lost.inc();
        } else {
            self.processor.on_end(span);
        }
    }

    /// Whose spans these are.
    pub(crate) fn scope(&self) -> InstrumentationScope {
        self.scope.clone()
    }
}

/// The way of spans into the queue that `tracing` makes.
#[derive(Debug)]
struct Shared(Arc<Queue>);

impl SpanProcessor for Shared {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.put(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.processor.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.processor.shutdown_with_timeout(timeout)
    }
}

/// Sends on the service's runtime what the exporter's own thread, which has none, asks for.
struct OnRuntime {
    runtime: Handle,
    inner: Arc<dyn HttpClient>,
}

impl fmt::Debug for OnRuntime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("OnRuntime")
    }
}

#[async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let inner = Arc::clone(&self.inner);
        self.runtime.spawn(async move { inner.send_bytes(request).await }).await?
    }
}

/// An exporter whose failures are counted, and logged when they begin and when they end.
#[derive(Debug)]
struct Watched {
    exporter: SpanExporter,
    lost: IntCounter,
    waiting: Arc<AtomicUsize>,
    away: AtomicBool,
}

impl opentelemetry_sdk::trace::SpanExporter for Watched {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        self.waiting.fetch_sub(batch.len(), Ordering::Relaxed);
        let result = self.exporter.export(batch).await;
        match &result {
            Ok(()) => {
                if self.away.swap(false, Ordering::Relaxed) {
                    tracing::info!("the trace collector takes spans again");
                }
            }
            Err(error) => {
                self.lost.inc_by(spans);
                if !self.away.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "the trace collector takes no spans; they are dropped until it does");
                }
            }
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
