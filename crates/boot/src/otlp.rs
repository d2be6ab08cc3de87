//! Hands spans to a collector as OTLP over HTTP. Refuses to disturb the service: a collector that is away costs
//! spans, one log line, and a counter; never a wait.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData};
use prometheus::IntCounter;
use tokio::runtime::Handle;
use url::Url;

use crate::StartError;

/// How long the collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The path that OTLP adds to the configured endpoint.
const PATH: &str = "v1/traces";

/// Builds the pipeline from finished spans to the collector; must be called on the runtime that will do the sending.
pub(crate) fn pipeline(
    endpoint: &Url,
    service: &'static str,
    replica: &str,
    lost: IntCounter,
) -> Result<SdkTracerProvider, StartError> {
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
    let watched = Watched { exporter, lost, away: AtomicBool::new(false) };
    Ok(SdkTracerProvider::builder().with_batch_exporter(watched).with_resource(resource).build())
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
    away: AtomicBool,
}

impl opentelemetry_sdk::trace::SpanExporter for Watched {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = u64::try_from(batch.len()).unwrap_or(u64::MAX);
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
