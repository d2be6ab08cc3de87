//! The span of one call to a provider, and the header by which the provider can join the trace.
//! Refuses to hold what was asked, what was answered, or a whole address: spans leave the house.

use crate::{chat::Answer, error::Error};
use opentelemetry::trace::TraceContextExt as _;
use reqwest::{
    RequestBuilder,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Spans with this target go to the collector alone and are not made without one: `boot` has the same word.
pub(crate) const TARGET: &str = "otlp";

/// The header that tells the trace and the span that caused a request.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Sends a request in the name of the running span; without a collector, the headers stay as they are.
pub(crate) fn passed_on(request: RequestBuilder) -> RequestBuilder {
    match running() {
        Some(value) => request.headers(HeaderMap::from_iter([(TRACEPARENT, value)])),
        None => request,
    }
}

fn running() -> Option<HeaderValue> {
    let context = Span::current().context();
    let span = context.span();
    let it = span.span_context();
    let text = || format!("00-{}-{}-{:02x}", it.trace_id(), it.span_id(), it.trace_flags().to_u8());
    it.is_valid().then(text).and_then(|text| HeaderValue::from_str(&text).ok())
}

/// Notes the status of an answer.
pub(crate) fn answered(status: u16) {
    Span::current().record("http.response.status_code", status);
}

/// Notes how an ask ended.
pub(crate) fn asked(result: &Result<Answer, Error>) {
    let span = Span::current();
    match result {
        Ok(answer) => {
            let usage = &answer.usage;
            span.record("gen_ai.response.model", answer.model.as_str());
            span.record("gen_ai.usage.input_tokens", usage.prompt());
            span.record("gen_ai.usage.output_tokens", usage.output);
        }
        Err(error) => failed(error),
    }
}

/// Notes that a call failed, and of which kind that is. The reason may quote what the provider said: it stays here.
pub(crate) fn failed(error: &Error) {
    let span = Span::current();
    span.record("error.type", error.class.as_str());
    span.record("otel.status_code", "error");
}
