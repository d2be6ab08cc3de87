//! One provider that is switched on: its address, its key as a header, its dialect.
//! Refuses to show the key, in any format.

use crate::{
    catalogue::{Dialect, Provider, Wire},
    classify::{Signal, classify},
    error::{Error, SetupError},
    metrics::Meters,
};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use std::{
    collections::HashSet,
    fmt,
    sync::{Mutex, PoisonError},
};
use url::Url;

/// What a base URL should look like, for errors.
pub(crate) const RIGHT_BASE_URL: &str = "http or https, a host and perhaps a path, such as https://api.openai.com/v1";

/// A provider that is switched on.
pub(crate) struct Endpoint {
    pub(crate) provider: Provider,
    pub(crate) dialect: Dialect,
    pub(crate) base: Url,
    /// The variable points to another host than the catalogue.
    pub(crate) elsewhere: bool,
    /// The one model of a server elsewhere.
    pub(crate) only_model: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) key: Option<SecretString>,
    pub(crate) meters: Meters,
    trouble: Mutex<Option<Error>>,
    warned: Mutex<HashSet<String>>,
}

/// Looks a variable up; an empty one counts as not set.
pub(crate) fn variable(vars: &dyn Fn(&str) -> Option<SecretString>, name: &str) -> Option<SecretString> {
    let value = vars(name)?;
    let trimmed = value.expose_secret().trim();
    if trimmed.is_empty() {
        None
    } else if trimmed.len() == value.expose_secret().len() {
        Some(value)
    } else {
        Some(SecretString::from(trimmed))
    }
}

impl Endpoint {
    /// Builds the endpoint of a provider, or nothing when no variable switches it on.
    pub(crate) fn new(
        provider: &Provider,
        vars: &dyn Fn(&str) -> Option<SecretString>,
        meters: impl FnOnce(&str) -> Meters,
    ) -> Result<Option<Self>, SetupError> {
        let key = variable(vars, &provider.key_variable);
        let moved = match variable(vars, &provider.base_url_variable) {
            Some(url) => Some(base_url(url.expose_secret()).map_err(|problem| SetupError::BaseUrl {
                variable: provider.base_url_variable.clone(),
                problem,
                expected: RIGHT_BASE_URL.to_owned(),
            })?),
            None => None,
        };
        let elsewhere = match (&moved, &provider.base_url) {
            (Some(moved), Some(home)) => moved.host_str() != home.host_str(),
            _ => false,
        };
        let dialect = provider.elsewhere.as_ref().filter(|_| elsewhere).unwrap_or(&provider.dialect).clone();
        if key.is_none() && !(dialect.key_optional && moved.is_some()) {
            return Ok(None);
        }
        let Some(base) = moved.or_else(|| provider.base_url.clone()) else { return Ok(None) };
        let only_model = provider.model_variable.as_deref().filter(|_| elsewhere);
        let only_model = only_model.and_then(|name| variable(vars, name));
        Ok(Some(Self {
            headers: headers(provider, dialect.wire, key.as_ref())?,
            base: without_version(base, dialect.wire),
            elsewhere,
            only_model: only_model.map(|model| model.expose_secret().to_owned()),
            key,
            meters: meters(&provider.name),
            dialect,
            provider: provider.clone(),
            trouble: Mutex::new(None),
            warned: Mutex::new(HashSet::new()),
        }))
    }

    /// Tells whether a server elsewhere is spoken to in the dialect of those who copied the provider.
    pub(crate) const fn is_compatible(&self) -> bool {
        self.elsewhere && self.provider.elsewhere.is_some()
    }

    /// Returns the model's name as it is sent for `provider/model`; empty when that names none.
    pub(crate) fn sent_model<'a>(&'a self, model: &'a str) -> &'a str {
        let asked = model.split_once('/').map_or("", |(_, model)| model);
        self.only_model.as_deref().unwrap_or(asked)
    }

    /// Returns the wire that a model speaks. A model's own wire belongs to its home; elsewhere the
    /// server decides.
    pub(crate) fn wire(&self, model: &str) -> Wire {
        let known = self.provider.model(model).and_then(|(_, model)| model.wire);
        known.filter(|_| !self.is_compatible()).unwrap_or(self.dialect.wire)
    }

    /// Tells whether an ask may take the flex tier.
    pub(crate) const fn has_flex(&self) -> bool {
        self.provider.flex.is_some() && !self.is_compatible()
    }

    /// Classifies what was answered instead of an answer. `asked` is the request's body, not to be quoted.
    pub(crate) fn classified(&self, status: Option<u16>, headers: &HeaderMap, said: &[u8], asked: &[u8]) -> Error {
        classify(&Signal {
            provider: &self.provider.name,
            status,
            headers,
            said,
            key: self.key.as_ref().map(ExposeSecret::expose_secret),
            asked,
        })
    }

    /// Returns the address of a path below the base.
    pub(crate) fn path(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// Returns where to send an ask.
    pub(crate) fn url(&self, wire: Wire, model: &str, stream: bool) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty();
            match wire {
                Wire::Messages => path.extend(["v1", "messages"]),
                Wire::ChatCompletions => path.extend(["chat", "completions"]),
                Wire::Responses => path.push("responses"),
                Wire::GenerateContent => {
                    let verb = if stream { "streamGenerateContent" } else { "generateContent" };
                    path.extend(["v1beta", "models"]).push(&format!("{model}:{verb}"))
                }
            };
        }
        if stream && wire == Wire::GenerateContent {
            url.set_query(Some("alt=sse"));
        }
        url
    }

    /// Returns the host, and the port where there is one, for errors.
    pub(crate) fn host(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        self.base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Remembers the last trouble, or that it is over.
    pub(crate) fn remember(&self, error: Option<&Error>) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.is_some() || error.is_some() {
            // What was billed is no part of a provider's state.
            *trouble = error.map(|error| Error { billed: None, ..error.clone() });
        }
    }

    pub(crate) fn trouble(&self) -> Option<Error> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells whether a model is found without a price for the first time.
    pub(crate) fn first_warning(&self, model: &str) -> bool {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        // Bounded, should somebody invent models without end.
        warned.len() < 1000 && warned.insert(model.to_owned())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("provider", &self.provider.name)
            .field("host", &self.host())
            .finish_non_exhaustive()
    }
}

/// Reads a base URL; the error says what is wrong with it and never repeats it, for it may hold a password.
pub(crate) fn base_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("this is no URL ({error})"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err("this is no http or https URL".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a base URL must not carry a user or a password".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("a base URL must not carry a query or a fragment".to_owned());
    }
    Ok(url)
}

/// Takes off a version that the wire adds itself: people write `…/v1` from habit.
fn without_version(mut base: Url, wire: Wire) -> Url {
    let versions: &[&str] = match wire {
        Wire::Messages => &["/v1"],
        Wire::GenerateContent => &["/v1beta", "/v1"],
        Wire::ChatCompletions | Wire::Responses => &[],
    };
    let path = base.path().trim_end_matches('/').to_owned();
    if let Some(rest) = versions.iter().find_map(|version| path.strip_suffix(version)) {
        base.set_path(rest);
    }
    base
}

fn headers(provider: &Provider, wire: Wire, key: Option<&SecretString>) -> Result<HeaderMap, SetupError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in &provider.headers {
        // The catalogue has checked both.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
    if let Some(key) = key {
        let key = key.expose_secret();
        let (name, value) = match wire {
            Wire::Messages => (HeaderName::from_static("x-api-key"), HeaderValue::from_str(key)),
            Wire::GenerateContent => (HeaderName::from_static("x-goog-api-key"), HeaderValue::from_str(key)),
            Wire::ChatCompletions | Wire::Responses => (AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {key}"))),
        };
        let mut value = value.map_err(|_| SetupError::Key { variable: provider.key_variable.clone() })?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests;
