//! Asks how a batch stands.
//! Refuses to fail on a word that it does not know: the caller asks again later.

use super::{BatchJob, Batches, Kind, anthropic, gemini, openai, remote::Asked};
use crate::{error::Error, metrics::Verb, redact};
use reqwest::Method;
use secrecy::ExposeSecret;

impl Batches {
    /// Returns how a batch stands.
    ///
    /// # Errors
    /// [`Error::status`] is 404 when the provider does not know the batch, or not yet: seconds after
    /// it was created that happens.
    pub async fn status(&self, id: &str) -> Result<BatchJob, Error> {
        let body = self.call(Verb::Status, Method::GET, self.batch_url(id, &[], "")).await?;
        self.job(&body, Asked::Nothing)
    }

    /// Reads a batch off a good answer.
    pub(super) fn job(&self, body: &[u8], asked: Asked<'_>) -> Result<BatchJob, Error> {
        let job = match self.kind {
            Kind::Anthropic => self.parsed::<anthropic::Job>(body, asked)?.read(),
            Kind::OpenAi => self.read_openai(self.parsed(body, asked)?),
            Kind::Gemini => self.read_gemini(self.parsed(body, asked)?),
        };
        job.ok_or_else(|| self.nonsense(body, asked))
    }

    pub(super) fn read_openai(&self, job: openai::Job) -> Option<BatchJob> {
        job.read(self.provider(), |message| self.clean_text(message))
    }

    pub(super) fn read_gemini(&self, job: gemini::Job) -> Option<BatchJob> {
        job.read(self.provider(), |message| self.clean_text(message))
    }

    /// Makes a provider's message fit for a person.
    fn clean_text(&self, message: &str) -> String {
        redact::clean(message, self.endpoint.key.as_ref().map(ExposeSecret::expose_secret), b"")
    }
}
