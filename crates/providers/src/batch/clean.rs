//! Deletes what a batch left at its provider.
//! Refuses to stop at the first failure, and to see one in what is gone already.

use super::{BatchJob, Batches, Kind};
use crate::{error::Error, metrics::Verb};
use reqwest::Method;
use url::Url;

impl Batches {
    /// Deletes what the batch left at the provider: its files, and its record where that can be
    /// deleted (not at OpenAI). What is gone already is fine.
    ///
    /// # Errors
    /// The first failure, after everything has been tried.
    pub async fn clean(&self, job: &BatchJob, file: Option<&str>) -> Result<(), Error> {
        let files = [file, job.output_file.as_deref(), job.error_file.as_deref()];
        let files = files.into_iter().flatten().filter(|file| !file.is_empty() && self.kind != Kind::Anthropic);
        let mut urls: Vec<Url> = files.map(|file| self.file_url(file, &[], "")).collect();
        if self.kind != Kind::OpenAi && !job.id.is_empty() {
            urls.push(self.batch_url(&job.id, &[], ""));
        }
        let mut failed = None;
        for url in urls {
            if let Err(error) = self.call(Verb::Clean, Method::DELETE, url).await
                && !self.is_gone(&error)
            {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Gemini does not tell a file that is gone from one that is somebody else's: both are 403.
    fn is_gone(&self, error: &Error) -> bool {
        error.status == Some(404) || (self.kind == Kind::Gemini && error.status == Some(403))
    }
}
