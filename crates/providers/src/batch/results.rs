//! Results of a batch, read line by line as they arrive.
//! Refuses to hold them: one line at a time, and one file after the other.

use super::{
    BatchJob, BatchOutcome, BatchResult, BatchResults, Batches, Kind, anthropic, gemini,
    item::{self, Item, Said},
    openai,
    split::{self, End, ITEM_CAP, Split},
};
use crate::{
    call::Head,
    catalogue::Wire,
    error::{Class, Error},
    finish::{self, Asked, Paid},
    http,
    metrics::{Outcome, Verb},
};
use futures_util::stream::{self, StreamExt};
use reqwest::{Response, header::HeaderMap};
use std::{collections::VecDeque, time::Duration};
use time::Date;
use tokio::time::timeout;
use url::Url;

/// How long the next bytes may be waited for.
const SILENCE: Duration = Duration::from_secs(120);

impl Batches {
    /// Opens the results of a batch that has ended. They come in any order; a line may come twice or
    /// not at all. Prices are those of `priced_on`. Of the job its id, its files and its model are looked at.
    ///
    /// # Errors
    /// As [`Batches::status`]. An error inside the stream ends it: begin again.
    pub async fn results(&self, job: &BatchJob, priced_on: Date) -> Result<BatchResults, Error> {
        let mut reading = Reading {
            model: self.endpoint.only_model.clone().or_else(|| {
                let model = job.model.as_deref()?;
                Some(model.split_once('/').map_or(model, |(_, name)| name).to_owned())
            }),
            wire: self.endpoint.dialect.wire,
            sources: self.sources(job).await?,
            source: None,
            day: priced_on,
            batches: self.clone(),
            over: false,
        };
        // Whether the results are there at all is told at once.
        reading.advance().await?;
        let results = stream::unfold(Box::new(reading), |mut reading| async move {
            let result = reading.next().await.transpose()?;
            reading.over |= result.is_err();
            Some((result, reading))
        });
        Ok(results.boxed())
    }

    /// Returns the first id in the results; `None` when there is no line, or an id in none of them.
    pub(super) async fn first_custom_id(&self, job: &BatchJob) -> Result<Option<String>, Error> {
        let Some((url, split)) = self.sources(job).await?.pop_front() else { return Ok(None) };
        let mut source = Source::of(self.open(Verb::Find, url).await?, split);
        loop {
            if let Some(split::Item::Whole(line) | split::Item::TooLong(line)) = source.split.next() {
                if let Some(id) = item::custom_id(line, self.frame().id) {
                    return Ok(Some(id));
                }
                continue;
            }
            if !source.fill(self).await? {
                let End::Open(line) = source.split.end() else { return Ok(None) };
                return Ok(item::custom_id(line, self.frame().id));
            }
        }
    }

    /// Returns where the results are.
    async fn sources(&self, job: &BatchJob) -> Result<VecDeque<(Url, Split)>, Error> {
        let file = |file: &Option<String>| file.clone().filter(|file| !file.is_empty());
        let urls = match self.kind {
            // The path is our own: `results_url` may name another host.
            Kind::Anthropic => vec![(self.batch_url(&job.id, &["results"], ""), Split::lines())],
            Kind::OpenAi => [file(&job.output_file), file(&job.error_file)]
                .iter()
                .flatten()
                .map(|file| (self.file_url(file, &["content"], ""), Split::lines()))
                .collect(),
            Kind::Gemini => {
                let known = match file(&job.output_file) {
                    Some(file) => Some(file),
                    // A job from memory may not know its file; one that has none answers inline.
                    None => self.status(&job.id).await?.output_file,
                };
                vec![match known {
                    Some(file) => {
                        let mut url = self.file_url(&file, &[], ":download");
                        url.set_query(Some("alt=media"));
                        (url, Split::lines())
                    }
                    None => (self.batch_url(&job.id, &[], ""), Split::array()),
                }]
            }
        };
        Ok(urls.into())
    }
}

/// One open answer.
struct Source {
    response: Response,
    split: Split,
    head: Head,
}

impl Source {
    fn of(response: Response, split: Split) -> Self {
        Self { head: Head::of(response.headers()), response, split }
    }

    /// Reads on; false at the end.
    async fn fill(&mut self, batches: &Batches) -> Result<bool, Error> {
        match timeout(SILENCE, self.response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                self.split.feed(chunk);
                Ok(true)
            }
            Ok(Ok(None)) => Ok(false),
            Ok(Err(error)) => Err(http::transport(&batches.endpoint, &error)),
            Err(_) => Err(batches.error(format!("the results of {} stopped for {SILENCE:?}", batches.provider()))),
        }
    }
}

struct Reading {
    batches: Batches,
    sources: VecDeque<(Url, Split)>,
    source: Option<Source>,
    /// The model of the whole batch, as it was sent.
    model: Option<String>,
    /// What the last line of OpenAI spoke.
    wire: Wire,
    day: Date,
    over: bool,
}

impl Reading {
    /// Opens the next source; false when there is none.
    async fn advance(&mut self) -> Result<bool, Error> {
        self.source = None;
        let Some((url, split)) = self.sources.pop_front() else { return Ok(false) };
        self.source = Some(Source::of(self.batches.open(Verb::Results, url).await?, split));
        Ok(true)
    }

    async fn next(&mut self) -> Result<Option<BatchResult>, Error> {
        if self.over {
            return Ok(None);
        }
        loop {
            let Some(source) = &mut self.source else { return Ok(None) };
            if let Some(item) = source.split.next() {
                let judge =
                    Judge { batches: &self.batches, model: self.model.as_deref(), day: self.day, head: &source.head };
                if let Some(result) = judge.item(&item, &mut self.wire) {
                    return Ok(Some(result));
                }
                continue;
            }
            if source.fill(&self.batches).await? {
                continue;
            }
            let last = match source.split.end() {
                End::Clean => None,
                End::Cut => return Err(self.cut()),
                End::Open(line) => {
                    let judge = Judge {
                        batches: &self.batches,
                        model: self.model.as_deref(),
                        day: self.day,
                        head: &source.head,
                    };
                    match judge.parsed(line, &mut self.wire) {
                        Some(item) => Some(judge.judge(item)),
                        None => return Err(self.cut()),
                    }
                }
            };
            self.advance().await?;
            if last.is_some() {
                return Ok(last);
            }
        }
    }

    fn cut(&self) -> Error {
        self.batches.error(format!("the results of {} broke off in the middle of one", self.batches.provider()))
    }
}

/// Turns items into results.
struct Judge<'a> {
    batches: &'a Batches,
    model: Option<&'a str>,
    day: Date,
    head: &'a Head,
}

impl Judge<'_> {
    /// Judges an item; `None` when nobody can tell whose it is.
    fn item(&self, item: &split::Item<'_>, wire: &mut Wire) -> Option<BatchResult> {
        let (parsed, line) = match *item {
            split::Item::Whole(line) => (self.parsed(line, wire), line),
            split::Item::TooLong(line) => (None, line),
        };
        let item = parsed.or_else(|| {
            let said = if matches!(item, split::Item::TooLong(_)) { Said::TooLong } else { Said::Malformed };
            Some(Item { custom_id: item::custom_id(line, self.batches.frame().id)?, said })
        });
        if item.is_none() {
            self.batches.endpoint.meters.batch.result(Outcome::Unreadable);
            tracing::warn!(provider = self.batches.provider(), bytes = line.len(), "a line of results is of nobody");
        }
        item.map(|item| self.judge(item))
    }

    fn parsed(&self, line: &[u8], wire: &mut Wire) -> Option<Item> {
        match self.batches.kind {
            Kind::Anthropic => anthropic::item(line),
            Kind::OpenAi => openai::item(line, wire),
            Kind::Gemini => gemini::item(line),
        }
    }

    fn judge(&self, Item { custom_id, said }: Item) -> BatchResult {
        let provider = self.batches.provider();
        let endpoint = &self.batches.endpoint;
        let outcome = match said {
            Said::Draft { draft, request_id } => {
                let asked = Asked { endpoint, model: self.model, wants_data: true, paid: Paid::Batch, day: self.day };
                let head = Head { emulated: self.head.emulated, request_id };
                match finish::judge(&asked, draft, head, &self.batches.inner.catalogue.prices) {
                    Ok(answer) => BatchOutcome::Succeeded(answer),
                    Err(error) => BatchOutcome::Failed(error),
                }
            }
            Said::Error { status, body } => {
                BatchOutcome::Failed(endpoint.classified(status, &HeaderMap::new(), &body, b""))
            }
            Said::Malformed => {
                let reason = format!("{provider} answered with something that is no answer of its API");
                BatchOutcome::Failed(self.batches.error(reason))
            }
            Said::TooLong => {
                let reason = format!("{provider} answered with more than {} MiB", ITEM_CAP >> 20);
                BatchOutcome::Failed(Error::new(Class::FailOver, provider, reason))
            }
            Said::Expired => BatchOutcome::Expired,
            Said::Cancelled => BatchOutcome::Cancelled,
        };
        endpoint.meters.batch.result(match &outcome {
            BatchOutcome::Succeeded(_) => Outcome::Succeeded,
            BatchOutcome::Failed(_) => Outcome::Failed,
            BatchOutcome::Expired => Outcome::Expired,
            BatchOutcome::Cancelled => Outcome::Cancelled,
        });
        BatchResult { custom_id, outcome }
    }
}
