//! All providers that are switched on, behind one door.
//! Refuses to choose a model: who asks names it, and names the next one when it fails over.

use crate::{
    call::Call,
    catalogue::Catalogue,
    chat::{Answer, Request},
    endpoint::{self, Endpoint},
    error::{Class, Error, SetupError},
    http,
    metrics::Metrics,
    stream::{self, Chunks},
    tries::Tries,
};
use prometheus::Registry;
use reqwest::Client;
use secrecy::SecretString;
use std::{collections::HashMap, fmt, sync::Arc};
use tokio::time::{Instant, sleep};

/// The providers; a clone is another handle to the same connections.
#[derive(Clone)]
pub struct Providers {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) catalogue: Catalogue,
    pub(crate) client: Client,
    pub(crate) endpoints: HashMap<String, Arc<Endpoint>>,
}

/// How one provider stands, for `status` pages and for `doctor`.
#[derive(Debug, Clone)]
pub struct Status {
    /// Its name in the catalogue.
    pub provider: String,
    /// It may be asked: its key is set, or it needs none.
    pub on: bool,
    /// The variable that holds its key.
    pub key_variable: String,
    /// Where it is asked; `None` when it is off and has no home.
    pub base_url: Option<String>,
    /// Its variable points to another host than the catalogue.
    pub elsewhere: bool,
    /// The models that have a price.
    pub models: Vec<String>,
    /// What the last try met, if it met with trouble.
    pub trouble: Option<Error>,
}

impl Providers {
    /// Switches on every provider whose key is set. `vars` looks up keys, `*_BASE_URL` and
    /// `OPENAI_MODEL` by the names that the catalogue gives.
    ///
    /// # Errors
    /// A base URL or key cannot be used, no certificates are installed, or the metrics exist already.
    pub fn new(
        catalogue: Catalogue,
        vars: &dyn Fn(&str) -> Option<SecretString>,
        registry: &Registry,
    ) -> Result<Self, SetupError> {
        let metrics = Metrics::new(registry)?;
        let mut endpoints = HashMap::new();
        for provider in &catalogue.providers {
            if let Some(endpoint) = Endpoint::new(provider, vars, |name| metrics.of(name))? {
                endpoints.insert(provider.name.clone(), Arc::new(endpoint));
            }
        }
        let https = endpoints.values().any(|endpoint| endpoint.base.scheme() == "https");
        Ok(Self { inner: Arc::new(Inner { client: http::client(https)?, catalogue, endpoints }) })
    }

    /// Tells whether `provider/model` may be asked: the provider is on. Its models need not be listed.
    #[must_use]
    pub fn serves(&self, model: &str) -> bool {
        model
            .split_once('/')
            .is_some_and(|(provider, name)| !name.is_empty() && self.inner.endpoints.contains_key(provider))
    }

    /// Returns how every provider of the catalogue stands, in the catalogue's order.
    #[must_use]
    pub fn status(&self) -> Vec<Status> {
        let status = |provider: &crate::Provider| {
            let endpoint = self.inner.endpoints.get(&provider.name);
            let base = endpoint.map(|endpoint| &endpoint.base).or(provider.base_url.as_ref());
            Status {
                provider: provider.name.clone(),
                on: endpoint.is_some(),
                key_variable: provider.key_variable.clone(),
                base_url: base.map(ToString::to_string),
                elsewhere: endpoint.is_some_and(|endpoint| endpoint.elsewhere),
                models: provider.models.keys().cloned().collect(),
                trouble: endpoint.and_then(|endpoint| endpoint.trouble()),
            }
        };
        self.inner.catalogue.providers.iter().map(status).collect()
    }

    /// Asks a model and waits for the whole answer. Tries again what may pass by itself, up to four
    /// times in all and within the request's timeout, and waits as long as the provider says.
    ///
    /// # Errors
    /// See [`Class`]. What was billed all the same is in [`Error::billed`].
    pub async fn ask(&self, request: &Request) -> Result<Answer, Error> {
        let call = Call::new(self.inner.endpoint(&request.model)?, request, false)?;
        let mut tries = Tries::within(request.timeout);
        let mut spent = Spent::default();
        loop {
            let began = Instant::now();
            let result = call.once(&self.inner.client, &self.inner.catalogue.prices, tries.deadline()).await;
            call.endpoint.note(result.as_ref().err(), began);
            match result {
                Ok(answer) => return Ok(spent.onto(answer)),
                Err(mut error) => match tries.next(error.class) {
                    Some(wait) => {
                        spent.add(error.billed.take());
                        sleep(wait).await;
                    }
                    None => return Err(spent.onto_error(error)),
                },
            }
        }
    }

    /// Asks a model and returns its answer as it is written. What fails before the first piece of text
    /// is tried again as in [`Providers::ask`]; what fails after it ends the stream with an error.
    ///
    /// # Errors
    /// As [`Providers::ask`], for whatever happens before the first piece of text.
    pub async fn stream(&self, request: &Request) -> Result<Chunks, Error> {
        let call = Call::new(self.inner.endpoint(&request.model)?, request, true)?;
        stream::open(Arc::clone(&self.inner), call).await
    }
}

impl Inner {
    fn endpoint(&self, model: &str) -> Result<&Arc<Endpoint>, Error> {
        let name = model.split_once('/').map_or(model, |(provider, _)| provider);
        self.endpoints.get(name).ok_or_else(|| {
            let reason = match self.catalogue.provider(name) {
                Some(provider) => format!("{name} is switched off: {} is not set", provider.key_variable),
                None => format!("{model:?} names no provider that is known here"),
            };
            Error::new(Class::FailOver, name, reason)
        })
    }
}

impl endpoint::Endpoint {
    /// Counts a try and remembers how it ended.
    pub(crate) fn note(&self, error: Option<&Error>, began: Instant) {
        self.meters.tried(error, began.elapsed());
        self.remember(error);
    }
}

impl fmt::Debug for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut on: Vec<_> = self.inner.endpoints.values().collect();
        on.sort_by(|one, other| one.provider.name.cmp(&other.provider.name));
        f.debug_struct("Providers").field("on", &on).finish_non_exhaustive()
    }
}

/// What earlier tries were billed.
#[derive(Debug, Default)]
pub(crate) struct Spent(Option<Box<Answer>>);

impl Spent {
    pub(crate) fn add(&mut self, billed: Option<Box<Answer>>) {
        self.0 = match (self.0.take(), billed) {
            (Some(earlier), Some(later)) => Some(Box::new(sum(*later, &earlier))),
            (earlier, later) => later.or(earlier),
        };
    }

    pub(crate) fn onto(&self, answer: Answer) -> Answer {
        match &self.0 {
            Some(earlier) => sum(answer, earlier),
            None => answer,
        }
    }

    pub(crate) fn onto_error(mut self, mut error: Error) -> Error {
        self.add(error.billed.take());
        error.billed = self.0;
        error
    }
}

fn sum(mut answer: Answer, earlier: &Answer) -> Answer {
    answer.usage += earlier.usage;
    answer.nanos += earlier.nanos;
    answer.list_nanos += earlier.list_nanos;
    answer
}
