//! One call of a batch API: sent, counted, classified, tried again where that does no harm.
//! Refuses to try again by itself what creates something or reads lines that can be read only once.

use super::{Batches, Kind, write::Writing};
use crate::{
    error::{Class, Error},
    http,
    metrics::Verb,
    span,
    tries::Tries,
};
use bytes::Bytes;
use reqwest::{
    Method, RequestBuilder, Response,
    header::{CONTENT_LENGTH, HeaderMap, HeaderValue},
};
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tracing::{Instrument as _, Span, field::Empty};
use url::Url;

/// How long one small call may take.
pub(super) const ONE: Duration = Duration::from_secs(60);
/// How long a small call may take with all its tries.
const ALL: Duration = Duration::from_secs(180);
/// How much is believed to pass a bad line in a second: what is slower counts as hung.
const BYTES_PER_SECOND: u64 = 256 << 10;

/// Returns how long a call may take that carries so many bytes.
pub(super) fn time_for(bytes: u64) -> Duration {
    ONE * 2 + Duration::from_secs(bytes / BYTES_PER_SECOND)
}

/// What a request carries, not to be quoted in errors.
#[derive(Clone, Copy)]
pub(super) enum Asked<'a> {
    Nothing,
    Body(&'a Bytes),
    /// Of lines only the first piece is known, and that when it was sent.
    Lines(&'a Writing),
}

impl Asked<'_> {
    fn bytes(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::Body(body) => body.clone(),
            Self::Lines(writing) => writing.first(),
        }
    }
}

/// Why a call brought no good answer.
pub(super) struct Miss {
    pub(super) error: Error,
    /// Something may have reached the provider.
    pub(super) sent: bool,
}

impl Miss {
    fn after(error: Error) -> Self {
        Self { error, sent: true }
    }
}

impl Batches {
    /// Sends a request without a body, or with a small one, until it is answered or will not be.
    pub(super) async fn call(&self, verb: Verb, method: Method, url: Url) -> Result<Vec<u8>, Error> {
        let mut tries = Tries::within(ALL);
        let mut headers = self.endpoint.headers.clone();
        if method == Method::POST {
            // Left out by the client for want of a body, and insisted on by some servers.
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        loop {
            let request = self.inner.client.request(method.clone(), url.clone()).headers(headers.clone());
            let error = match self.whole(verb, request, Asked::Nothing, ONE).await {
                Ok((_, body)) => return Ok(body),
                Err(miss) => miss.error,
            };
            match tries.next(error.class) {
                Some(wait) => sleep(wait).await,
                None => return Err(error),
            }
        }
    }

    /// Opens an answer that is read as it comes.
    pub(super) async fn open(&self, verb: Verb, url: Url) -> Result<Response, Error> {
        let mut tries = Tries::within(ALL);
        loop {
            let request = self.inner.client.get(url.clone()).headers(self.endpoint.headers.clone());
            let began = Instant::now();
            let result = self.within((verb, ONE), self.sent(request, Asked::Nothing)).await;
            self.note(verb, result.as_ref().err(), began);
            let error = match result {
                Ok(response) => return Ok(response),
                Err(miss) => miss.error,
            };
            match tries.next(error.class) {
                Some(wait) => sleep(wait).await,
                None => return Err(error),
            }
        }
    }

    /// Sends a request once and reads its whole answer.
    pub(super) async fn whole(
        &self,
        verb: Verb,
        request: RequestBuilder,
        asked: Asked<'_>,
        limit: Duration,
    ) -> Result<(HeaderMap, Vec<u8>), Miss> {
        let began = Instant::now();
        let answer = async {
            let response = self.sent(request, asked).await?;
            let headers = response.headers().clone();
            let body = http::read(response).await;
            Ok((headers, body.map_err(|broken| Miss::after(http::broken(&self.endpoint, &broken)))?))
        };
        let result = self.within((verb, limit), answer).await;
        self.note(verb, result.as_ref().err(), began);
        result
    }

    async fn sent(&self, request: RequestBuilder, asked: Asked<'_>) -> Result<Response, Miss> {
        let response = span::passed_on(request)
            .send()
            .await
            .map_err(|error| Miss { sent: !error.is_connect(), error: http::transport(&self.endpoint, &error) })?;
        span::answered(response.status().as_u16());
        // Gemini means 200 alone; the others answer with nothing else.
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let said = http::read_error(response).await;
        let mut error = self.endpoint.classified(Some(status), &headers, &said, &asked.bytes());
        // Not about one model, as it mostly is with an ask: this key may not use the batch API.
        if status == 403 && error.class == Class::FailOver {
            error.class = Class::Hold;
        }
        Err(Miss::after(error))
    }

    /// Waits for an answer, in a span of its own.
    async fn within<T>(
        &self,
        (verb, limit): (Verb, Duration),
        answer: impl Future<Output = Result<T, Miss>>,
    ) -> Result<T, Miss> {
        let whole = async {
            let result = timeout(limit, answer).await.unwrap_or_else(|_| {
                let reason = format!("{} did not answer within {limit:?}", self.provider());
                Err(Miss::after(self.error(reason)))
            });
            if let Err(miss) = &result {
                span::failed(&miss.error);
            }
            result
        };
        whole.instrument(self.span(verb)).await
    }

    fn span(&self, verb: Verb) -> Span {
        tracing::info_span!(
            target: span::TARGET,
            "batch call",
            otel.name = %format_args!("batch {}", verb.as_str()),
            otel.kind = "client",
            otel.status_code = Empty,
            error.r#type = Empty,
            gen_ai.operation.name = verb.as_str(),
            gen_ai.provider.name = self.provider(),
            http.response.status_code = Empty,
            server.address = self.endpoint.host(),
        )
    }

    fn note(&self, verb: Verb, miss: Option<&Miss>, began: Instant) {
        let error = miss.map(|miss| &miss.error);
        self.endpoint.meters.batch.called(verb, error, began.elapsed());
        // A batch or a file that is gone says nothing about the provider.
        if verb != Verb::Clean && error.is_none_or(|error| error.status != Some(404)) {
            self.endpoint.remember(error);
        }
    }

    /// Reads the JSON of a good answer. An error in the place of the answer is classified as one.
    pub(super) fn parsed<T: DeserializeOwned>(&self, body: &[u8], asked: Asked<'_>) -> Result<T, Error> {
        serde_json::from_slice(body).map_err(|_| self.nonsense(body, asked))
    }

    /// A good status, and yet nothing that the API would answer.
    pub(super) fn nonsense(&self, body: &[u8], asked: Asked<'_>) -> Error {
        #[derive(serde::Deserialize)]
        struct Wrong {
            error: serde_json::Value,
        }
        match serde_json::from_slice::<Wrong>(body) {
            Ok(wrong) if wrong.error.is_object() => {
                self.endpoint.classified(None, &HeaderMap::new(), body, &asked.bytes())
            }
            _ => self.error(format!("{} answered with something that is no answer of its batch API", self.provider())),
        }
    }

    /// An error that may pass by itself.
    pub(super) fn error(&self, reason: String) -> Error {
        Error::new(Class::Retry { after: None }, self.provider(), reason)
    }

    pub(super) fn provider(&self) -> &str {
        &self.endpoint.provider.name
    }

    /// Returns the address of all batches.
    pub(super) fn batches_url(&self) -> Url {
        match self.kind {
            Kind::Anthropic => self.endpoint.path(&["v1", "messages", "batches"]),
            Kind::OpenAi => self.endpoint.path(&["batches"]),
            Kind::Gemini => self.endpoint.path(&["v1beta", "batches"]),
        }
    }

    /// Returns the address of one batch; `rest` follows it. The id comes from a provider or from a
    /// table, so no part of it may leave its place in the path.
    pub(super) fn batch_url(&self, id: &str, rest: &[&str], verb: &str) -> Url {
        let bare = id.strip_prefix("batches/").unwrap_or(id);
        let mut url = self.batches_url();
        if let Ok(mut path) = url.path_segments_mut() {
            path.push(&format!("{bare}{verb}")).extend(rest);
        }
        url
    }

    /// Returns the address of one file.
    pub(super) fn file_url(&self, id: &str, rest: &[&str], verb: &str) -> Url {
        let bare = id.strip_prefix("files/").unwrap_or(id);
        let mut url = match self.kind {
            Kind::Gemini => self.endpoint.path(&["v1beta", "files"]),
            Kind::Anthropic | Kind::OpenAi => self.endpoint.path(&["files"]),
        };
        if let Ok(mut path) = url.path_segments_mut() {
            path.push(&format!("{bare}{verb}")).extend(rest);
        }
        url
    }
}
