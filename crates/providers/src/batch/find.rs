//! Looks for a batch whose creation was not answered.
//! Refuses to call a batch ours that may be somebody else's: what cannot be told for certain is "perhaps".

use super::{
    BatchJob, BatchSpec, Batches, Found, Kind, anthropic, gemini, openai,
    remote::{Asked, time_for},
};
use crate::{error::Error, metrics::Verb};
use reqwest::Method;
use std::collections::HashSet;
use time::{Duration, OffsetDateTime};
use url::Url;

/// How far the provider's clock may be from ours.
const SKEW: Duration = Duration::minutes(5);
/// So many pages are read at most, should a list never end.
const PAGES: u32 = 1000;

impl Batches {
    /// Looks for a batch whose creation was not answered. `since` is when it was sent, `except` are
    /// the ids of batches known to be others.
    ///
    /// # Errors
    /// The list could not be read to its end: nothing is known.
    pub async fn find(
        &self,
        spec: &BatchSpec,
        file: Option<&str>,
        since: OffsetDateTime,
        except: &HashSet<String>,
    ) -> Result<Found, Error> {
        let file = file.filter(|file| !file.is_empty());
        let from = since.checked_sub(SKEW).unwrap_or(since);
        let found = match self.kind {
            Kind::Anthropic => return self.find_by_time(spec, since, except).await,
            Kind::OpenAi => self.find_openai(spec, file, from, except).await?,
            Kind::Gemini => self.find_gemini(spec, file, except).await?,
        };
        Ok(found.map_or(Found::Absent, Found::Job))
    }

    /// The order of the list is not documented: a page is the last when all of it is too old.
    async fn find_openai(
        &self,
        spec: &BatchSpec,
        file: Option<&str>,
        from: OffsetDateTime,
        except: &HashSet<String>,
    ) -> Result<Option<BatchJob>, Error> {
        let mut after: Option<String> = None;
        for _ in 0..PAGES {
            let url = with(self.batches_url(), &[("limit", Some("100")), ("after", after.as_deref())]);
            let page: openai::Page = self.parsed(&self.call(Verb::Find, Method::GET, url).await?, Asked::Nothing)?;
            let old = |job: &openai::Job| job.created_at.is_some_and(|created| created < from);
            let last = page.last().filter(|_| page.has_more && !page.data.iter().all(old)).map(str::to_owned);
            let ours = page.data.into_iter().filter(|job| job.is_ours(file, &spec.token));
            if let Some(job) = ours.filter_map(|job| self.read_openai(job)).find(|job| !except.contains(&job.id)) {
                return Ok(Some(job));
            }
            if last.is_none() || last == after {
                return Ok(None);
            }
            after = last;
        }
        Err(self.endless())
    }

    async fn find_gemini(
        &self,
        spec: &BatchSpec,
        file: Option<&str>,
        except: &HashSet<String>,
    ) -> Result<Option<BatchJob>, Error> {
        let mut token: Option<String> = None;
        for _ in 0..PAGES {
            let url = with(self.batches_url(), &[("pageSize", Some("100")), ("pageToken", token.as_deref())]);
            let page: gemini::Page = self.parsed(&self.call(Verb::Find, Method::GET, url).await?, Asked::Nothing)?;
            let ours = page.operations.into_iter().filter(|job| job.is_ours(file, &spec.token));
            if let Some(job) = ours.filter_map(|job| self.read_gemini(job)).find(|job| !except.contains(&job.id)) {
                return Ok(Some(job));
            }
            if page.next_page_token.is_none() || page.next_page_token == token {
                return Ok(None);
            }
            token = page.next_page_token;
        }
        Err(self.endless())
    }

    /// A batch of Anthropic has no label. What agrees in time and number of asks may be it; one that
    /// has ended says so itself, by the ids in its results.
    async fn find_by_time(
        &self,
        spec: &BatchSpec,
        since: OffsetDateTime,
        except: &HashSet<String>,
    ) -> Result<Found, Error> {
        let mut perhaps: Option<(Duration, BatchJob)> = None;
        for job in self.of_that_time(spec, since).await? {
            if except.contains(&job.id) || job.total != Some(spec.items) {
                continue;
            }
            if job.state.is_terminal() {
                let first = self.first_custom_id(&job).await?;
                if first.is_some_and(|id| id.strip_prefix(&spec.token).is_some_and(|rest| rest.starts_with('-'))) {
                    return Ok(Found::Job(job));
                }
                continue;
            }
            let away = job.created_at.map_or(Duration::ZERO, |created| (created - since).abs());
            if perhaps.as_ref().is_none_or(|(nearest, _)| away < *nearest) {
                perhaps = Some((away, job));
            }
        }
        Ok(perhaps.map_or(Found::Absent, |(_, job)| Found::Perhaps(job)))
    }

    /// Returns the batches that may have been created by a request sent at `since`.
    async fn of_that_time(&self, spec: &BatchSpec, since: OffsetDateTime) -> Result<Vec<BatchJob>, Error> {
        let sending = Duration::try_from(time_for(spec.bytes)).unwrap_or(Duration::DAY);
        let from = since.checked_sub(SKEW).unwrap_or(since);
        let until = since.checked_add(sending + SKEW).unwrap_or(since);
        let mut jobs = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..PAGES {
            let url = with(self.batches_url(), &[("limit", Some("100")), ("after_id", after.as_deref())]);
            let page: anthropic::Page = self.parsed(&self.call(Verb::Find, Method::GET, url).await?, Asked::Nothing)?;
            let mut older = false;
            for job in page.data.into_iter().filter_map(anthropic::Job::read) {
                match job.created_at {
                    Some(created) if created < from => older = true,
                    Some(created) if created > until => {}
                    _ => jobs.push(job),
                }
            }
            let last = page.last_id.filter(|_| page.has_more && !older);
            if last.is_none() || last == after {
                return Ok(jobs);
            }
            after = last;
        }
        Err(self.endless())
    }

    fn endless(&self) -> Error {
        self.error(format!("the list of batches of {} has no end", self.provider()))
    }
}

/// Adds the parameters that have a value.
fn with(mut url: Url, parameters: &[(&str, Option<&str>)]) -> Url {
    let given = parameters.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
    url.query_pairs_mut().extend_pairs(given);
    url
}
