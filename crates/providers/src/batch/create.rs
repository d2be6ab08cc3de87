//! Creates a batch: one request, sent once.
//! Refuses to send it again: no provider knows a second one from the first.

use super::{
    BatchJob, BatchLines, BatchSpec, Batches, CreateError, Kind, gemini, openai,
    remote::{Asked, Miss, ONE, time_for},
    upload::insert,
    write::Writing,
};
use crate::{error::Error, metrics::Verb};
use bytes::Bytes;
use reqwest::{Body, header::CONTENT_LENGTH};
use serde::Serialize;
use std::collections::HashMap;
use url::Url;

impl Batches {
    /// Creates the batch from the uploaded `file`, or from the lines at a provider without files.
    /// Sent once, whatever happens.
    ///
    /// # Errors
    /// See [`CreateError::ambiguous`]: after a timeout, a broken connection, a status of 5xx, 408, 409 or 425,
    /// or an answer that cannot be read, the batch may exist. After another 4xx, an unreachable host or lines that broke off it does not.
    pub async fn create(
        &self,
        spec: &BatchSpec,
        file: Option<&str>,
        lines: BatchLines,
    ) -> Result<BatchJob, CreateError> {
        self.check(spec).map_err(certain)?;
        match self.kind {
            Kind::Anthropic => self.create_inline(spec, lines).await,
            Kind::OpenAi => {
                let endpoint = openai::endpoint(self.endpoint.wire(self.model(spec).map_err(certain)?));
                let body = openai::Create {
                    input_file_id: self.input(file).map_err(certain)?,
                    endpoint,
                    completion_window: "24h",
                    metadata: HashMap::from([(openai::TOKEN, spec.token.as_str())]),
                };
                self.create_small(spec, self.batches_url(), &body).await
            }
            Kind::Gemini => {
                let model = self.model(spec).map_err(certain)?;
                let url = self.endpoint.path(&["v1beta", "models", &format!("{model}:batchGenerateContent")]);
                let body = gemini::Create::new(&spec.token, self.input(file).map_err(certain)?);
                self.create_small(spec, url, &body).await
            }
        }
    }

    fn input<'a>(&self, file: Option<&'a str>) -> Result<&'a str, Error> {
        file.ok_or_else(|| self.refusal("the batch has no input file".to_owned()))
    }

    async fn create_small(&self, spec: &BatchSpec, url: Url, body: &impl Serialize) -> Result<BatchJob, CreateError> {
        let body = serde_json::to_vec(body).map(Bytes::from);
        let body = body.map_err(|_| certain(self.refusal("the batch cannot be written as JSON".to_owned())))?;
        let mut headers = self.endpoint.headers.clone();
        insert(&mut headers, "x-client-request-id", &spec.token);
        let request = self.inner.client.post(url).headers(headers).body(body.clone());
        let answer = self.whole(Verb::Create, request, Asked::Body(&body), ONE).await;
        self.created(answer.map(|(_, body)| body).map_err(|miss| unsure(miss, true)), Asked::Body(&body))
    }

    /// Sends the lines with the request. A body that never became whole creates nothing.
    async fn create_inline(&self, spec: &BatchSpec, lines: BatchLines) -> Result<BatchJob, CreateError> {
        let writing = Writing::new(self.frame(), spec, lines);
        let mut headers = self.endpoint.headers.clone();
        insert(&mut headers, CONTENT_LENGTH.as_str(), &writing.length().to_string());
        insert(&mut headers, "x-client-request-id", &spec.token);
        let request = self.inner.client.post(self.batches_url()).headers(headers);
        let request = request.body(Body::wrap_stream(writing.pieces()));
        let limit = time_for(writing.length());
        let answer = self.whole(Verb::Create, request, Asked::Lines(&writing), limit).await;
        let answer = answer.map(|(_, body)| body).map_err(|miss| match writing.trouble(self.provider()) {
            Some(error) => certain(error),
            None => unsure(miss, writing.is_whole()),
        });
        self.created(answer, Asked::Lines(&writing))
    }

    fn created(&self, answer: Result<Vec<u8>, CreateError>, asked: Asked<'_>) -> Result<BatchJob, CreateError> {
        // Whatever a good status carries: it was a good status.
        self.job(&answer?, asked).map_err(|error| CreateError { ambiguous: true, error })
    }
}

const fn certain(error: Error) -> CreateError {
    CreateError { ambiguous: false, error }
}

/// Tells from how a call failed whether it may have created something.
fn unsure(miss: Miss, whole: bool) -> CreateError {
    let ambiguous = match miss.error.status {
        // Whoever speaks of a timeout or of a conflict may have done it before.
        Some(status) => status >= 500 || matches!(status, 408 | 409 | 425),
        None => miss.sent && whole,
    };
    CreateError { ambiguous, error: miss.error }
}
