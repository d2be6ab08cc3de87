//! What surrounds every request: its id, its trace, its caller, its time limit, its problem document, its
//! headers, its one log line and its numbers. Refuses to know what any route does.

use crate::{
    error::{Code, Problem},
    gateway::Gateway,
    keyring::Need,
};
use actix_web::{
    FromRequest, HttpMessage, HttpRequest, HttpResponse,
    body::BoxBody,
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    middleware::Next,
    web::Data,
};
use boot::trace::{Past, Traceparent};
use std::{
    future::{Ready, ready},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tracing::{Instrument, field::Empty};
use uuid::Uuid;

/// The header that carries the request id, in and out.
pub(crate) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// By this header nginx says that it has begun the trace, and when: see nginx/nginx.conf.
static TRACE_BEGAN: HeaderName = HeaderName::from_static("x-trace-began");

/// One method of one address, as the table in `routes` has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Endpoint {
    /// `GET`, `POST` or `DELETE`.
    pub(crate) method: &'static str,
    /// The address, with `{id}` where an id goes.
    pub(crate) path: &'static str,
    /// Who may call it.
    pub(crate) need: Need,
    /// After how long it is given up.
    pub(crate) patience: Duration,
}

/// What is known of a request besides its content.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// The id in the log, the response and the problem document.
    pub(crate) request_id: Arc<str>,
    /// The W3C trace context that the task's row and its stream entries carry on.
    pub(crate) traceparent: Arc<str>,
}

impl FromRequest for Facts {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let facts = request.extensions().get::<Self>().cloned();
        ready(facts.ok_or_else(|| Problem::internal(anyhow::anyhow!("a handler outside `request::around`"))))
    }
}

fn request_id(headers: &HeaderMap) -> Arc<str> {
    let given = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|id| is_sane(id));
    given.map_or_else(|| Uuid::now_v7().to_string().into(), Arc::from)
}

/// Takes ids that are safe in a header, a log line and a page.
fn is_sane(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte))
}

/// Serves one request of one endpoint.
pub(crate) async fn around(
    endpoint: Endpoint,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let started = Instant::now();
    let Some(gateway) = request.app_data::<Data<Gateway>>().map(|data| Arc::clone(data)) else {
        return next.call(request).await;
    };
    let http = request.request().clone();
    let request_id = request_id(http.headers());
    let span = tracing::info_span!(
        "request",
        otel.name = %format_args!("{} {}", http.method(), endpoint.path),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = %http.method(),
        http.route = endpoint.path,
        http.response.status_code = Empty,
        request_id = %request_id,
    );
    let incoming = http.headers().get(&TRACEPARENT).and_then(|value| value.to_str().ok());
    let traceparent = boot::trace::follow(&span, incoming).to_string().into();
    let facts = Facts { request_id, traceparent };
    request.extensions_mut().insert(facts.clone());
    let answer = answer(&gateway, endpoint, request, next).instrument(span.clone()).await;
    let _entered = span.enter();
    let mut response = match answer {
        Ok(response) => response,
        Err(error) => ServiceResponse::new(http, HttpResponse::from_error(error)),
    };
    if response.status().is_client_error() || response.status().is_server_error() {
        let refusal = refusal(&gateway, endpoint, &response, &facts);
        response = response.into_response(refusal);
    }
    dress(response.headers_mut(), &facts);
    let status = response.status().as_u16();
    span.record("http.response.status_code", status);
    if response.status().is_server_error() {
        span.record("otel.status_code", "error");
    }
    gateway.metrics.answered(endpoint.path, endpoint.method, status, started.elapsed());
    if gateway.traces.are_on() {
        edge(&gateway, endpoint, &response);
    }
    tracing::debug!(
        method = %response.request().method(),
        path = response.request().path(),
        status,
        micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        "answered"
    );
    Ok(response)
}

/// Tells the span of an nginx that has begun the trace; it cannot do so itself, and every trace would lack its root.
fn edge(gateway: &Gateway, endpoint: Endpoint, response: &ServiceResponse<BoxBody>) {
    let headers = response.request().headers();
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let trace = text(&TRACEPARENT).and_then(|text| text.parse::<Traceparent>().ok());
    let (Some(trace), Some(began)) = (trace, text(&TRACE_BEGAN).and_then(came_in)) else { return };
    let span = Past::first(trace, format!("nginx {} {}", endpoint.method, endpoint.path), began)
        .server()
        .with("http.request.method", endpoint.method)
        .with("http.route", endpoint.path)
        .with("http.response.status_code", i64::from(response.status().as_u16()))
        .failed(response.status().is_server_error());
    gateway.traces.tell(span);
}

/// Reads when a request came in: the time at which nginx passed it on, less what it took until then, in seconds.
fn came_in(text: &str) -> Option<SystemTime> {
    let (at, took) = text.split_once('-')?;
    let seconds = |text: &str| text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    SystemTime::UNIX_EPOCH.checked_add(seconds(at)?.checked_sub(seconds(took)?)?)
}

async fn answer(
    gateway: &Gateway,
    endpoint: Endpoint,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let serving = async {
        if endpoint.need != Need::Nobody && !*gateway.started.borrow() {
            return Err(Problem::unavailable(anyhow::anyhow!("Postgres has not answered yet")).into());
        }
        if let Some(caller) = gateway.keyring.admit(request.headers(), endpoint.need).await? {
            request.extensions_mut().insert(caller);
        }
        next.call(request).await
    };
    match tokio::time::timeout(endpoint.patience, serving).await {
        Ok(served) => served,
        Err(_) => {
            let cause =
                anyhow::anyhow!("{} {} took longer than {:?}", endpoint.method, endpoint.path, endpoint.patience);
            Err(Problem::unavailable(cause).into())
        }
    }
}

/// Turns whatever was refused into a problem document; logs and counts it here and nowhere else.
fn refusal(
    gateway: &Gateway,
    endpoint: Endpoint,
    response: &ServiceResponse<BoxBody>,
    facts: &Facts,
) -> HttpResponse<BoxBody> {
    let error = response.response().error();
    let ours = error.and_then(actix_web::Error::as_error::<Problem>);
    let foreign;
    let problem = match ours {
        Some(problem) => problem,
        None => {
            foreign = of_foreign(response.status(), error);
            &foreign
        }
    };
    match (problem.code(), problem.cause()) {
        (Code::Unavailable, cause) => tracing::warn!(cause = cause.map(chain), route = endpoint.path, "unavailable"),
        (Code::Internal, cause) => tracing::error!(cause = cause.map(chain), route = endpoint.path, "request failed"),
        (code, _) => tracing::debug!(code = code.as_str(), detail = %problem, "refused"),
    }
    gateway.metrics.refused(problem.code().as_str());
    problem.response(&facts.request_id)
}

fn of_foreign(status: StatusCode, error: Option<&actix_web::Error>) -> Problem {
    match error {
        Some(error) if status.is_server_error() => Problem::internal(anyhow::anyhow!("{error}")),
        _ => Problem::of_status(status),
    }
}

fn chain(cause: &anyhow::Error) -> String {
    format!("{cause:#}")
}

/// Adds what every response has; what a route has set itself stays.
fn dress(headers: &mut HeaderMap, facts: &Facts) {
    if let Ok(id) = HeaderValue::from_str(&facts.request_id) {
        headers.insert(REQUEST_ID.clone(), id);
    }
    let defaults = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in defaults {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{came_in, is_sane};
    use std::time::{Duration, SystemTime};

    #[test]
    fn nginx_says_when_a_request_came_in() {
        let came = came_in("1795253794.125-0.125").unwrap();
        let since = came.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since, Duration::from_secs(1_795_253_794));
        for bad in ["", "-", "1795253794.1", "1-2", "어제-0", "-1-0", "NaN-0", "inf-0", "1e300-0"] {
            assert_eq!(came_in(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_request_id_is_kept_only_when_it_can_do_no_harm() {
        assert!(is_sane("0197-abc.DEF:1"));
        for bad in ["", "a b", "a\"b", "<script>", "한글", &"x".repeat(129)] {
            assert!(!is_sane(bad), "{bad}");
        }
    }
}
