//! The admin port: `/health` says that the process lives, `/ready` whether to send it work, `/metrics` its
//! numbers. Refuses to know what the service does; every route only reads.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::{Registry, TextEncoder};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::Readiness;
use crate::metrics::Metrics;

/// How many callers are served at once; the next one waits.
const CALLERS: usize = 32;
/// How long a caller may take to send its request's head.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait when the system grants no more connections.
const PAUSE: Duration = Duration::from_millis(100);

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// What the admin port reads.
pub(crate) struct Admin {
    pub(crate) service: &'static str,
    pub(crate) replica: String,
    pub(crate) registry: Registry,
    pub(crate) metrics: Metrics,
    pub(crate) ready: Readiness,
}

impl Admin {
    /// Serves until the task is aborted: the port answers through the whole drain.
    pub(crate) async fn serve(self, listener: TcpListener) {
        let admin = Arc::new(self);
        let mut callers = JoinSet::new();
        loop {
            while callers.len() >= CALLERS || callers.try_join_next().is_some() {
                if callers.len() >= CALLERS {
                    callers.join_next().await;
                }
            }
            match listener.accept().await {
                Ok((stream, _)) => {
                    callers.spawn(Arc::clone(&admin).answer_all(stream));
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin port cannot accept a connection");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn answer_all(self: Arc<Self>, stream: TcpStream) {
        let service = service_fn(|request| {
            let answer = self.answer(&request);
            async move { Ok::<_, Infallible>(answer) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = connection.await {
            tracing::debug!(%error, "an admin connection broke");
        }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refusal = json_answer(StatusCode::METHOD_NOT_ALLOWED, &json!({"title": "only GET and HEAD"}));
            refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        match request.uri().path() {
            "/health" => self.health(),
            "/ready" => self.readiness(),
            "/metrics" => self.numbers(),
            _ => json_answer(StatusCode::NOT_FOUND, &json!({"title": "try /health, /ready or /metrics"})),
        }
    }

    fn health(&self) -> Response<Full<Bytes>> {
        let body = json!({
            "status": "ok",
            "service": self.service,
            "version": env!("CARGO_PKG_VERSION"),
            "replica": self.replica,
        });
        json_answer(StatusCode::OK, &body)
    }

    fn readiness(&self) -> Response<Full<Bytes>> {
        let report = self.ready.report();
        let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        json_answer(status, &json!(report))
    }

    fn numbers(&self) -> Response<Full<Bytes>> {
        self.metrics.ready.set(i64::from(self.ready.report().ready));
        match TextEncoder::new().encode_to_string(&self.registry.gather()) {
            Ok(text) => answer(StatusCode::OK, METRICS, text),
            Err(error) => {
                tracing::error!(%error, "the metrics cannot be written");
                json_answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({"title": "the metrics cannot be written"}))
            }
        }
    }
}

fn json_answer(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    answer(status, JSON, format!("{body}\n"))
}

fn answer(status: StatusCode, kind: HeaderValue, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
