//! What a model is offered beside an answer at once: the flex tier, and a batch.
//! Refuses to offer a batch API that is not written here, whatever the catalogue says of it.

use super::{Batches, Kind};
use crate::{
    catalogue::{Batch, Wire},
    endpoint::Endpoint,
    providers::Providers,
};
use std::sync::Arc;

/// What a model can beside pace now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// It has a slower and cheaper tier.
    pub flex: bool,
    /// It may be asked in a batch.
    pub batch: Option<BatchOffer>,
}

/// How a model is asked in a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchOffer {
    /// Asks of one group may share a batch: the provider's name, or `provider/model`.
    pub group: String,
    /// All asks of a batch must be for one model.
    pub one_model: bool,
    /// The most asks of a batch.
    pub max_items: u32,
    /// The most bytes of a batch, summed over [`Batches::line_bytes`].
    pub max_bytes: u64,
}

impl Providers {
    /// Returns what `provider/model` offers; `None` when the provider is off or not known.
    #[must_use]
    pub fn offer(&self, model: &str) -> Option<Offer> {
        let (provider, name) = model.split_once('/').filter(|(_, name)| !name.is_empty())?;
        let endpoint = self.inner.endpoints.get(provider)?;
        let kind = Kind::of(endpoint).filter(|_| takes_batches(endpoint, model));
        let batch = kind.map(|kind| {
            let (max_items, max_bytes) = kind.limits();
            let group = if kind.one_model() { format!("{provider}/{name}") } else { provider.to_owned() };
            BatchOffer { group, one_model: kind.one_model(), max_items, max_bytes }
        });
        Some(Offer { flex: endpoint.has_flex(), batch })
    }

    /// Returns the batch API of a provider; `None` when it is off or has none that is served here.
    #[must_use]
    pub fn batches(&self, provider: &str) -> Option<Batches> {
        let endpoint = self.inner.endpoints.get(provider)?;
        Some(Batches { kind: Kind::of(endpoint)?, inner: Arc::clone(&self.inner), endpoint: Arc::clone(endpoint) })
    }
}

impl Batches {
    /// Returns the most asks of a batch, and its most bytes summed over [`Batches::line_bytes`].
    #[must_use]
    pub const fn limits(&self) -> (u32, u64) {
        self.kind.limits()
    }
}

impl Kind {
    /// Returns the batch API of a provider, if it is written here. A server elsewhere has one only
    /// behind a key: llama.cpp and its like have none, a gateway or the emulator asks for a key.
    fn of(endpoint: &Endpoint) -> Option<Self> {
        if endpoint.is_compatible() && endpoint.key.is_none() {
            return None;
        }
        match (endpoint.provider.batch, endpoint.dialect.wire) {
            (Batch::Anthropic, Wire::Messages) => Some(Self::Anthropic),
            (Batch::Openai, Wire::ChatCompletions | Wire::Responses) => Some(Self::OpenAi),
            (Batch::Gemini, Wire::GenerateContent) => Some(Self::Gemini),
            _ => None,
        }
    }

    /// The providers' own limits, with a little room below their megabytes. Gemini names no number of
    /// asks; what it has not answered after two days it drops whole, so its batches are kept small.
    const fn limits(self) -> (u32, u64) {
        match self {
            Self::Anthropic => (100_000, 250_000_000),
            Self::OpenAi => (50_000, 195_000_000),
            Self::Gemini => (10_000, 195_000_000),
        }
    }

    const fn one_model(self) -> bool {
        !matches!(self, Self::Anthropic)
    }
}

/// Tells whether a model of a provider with a batch API may be asked in a batch: the catalogue does
/// not rule it out, and a server elsewhere is asked for a model that the catalogue knows.
fn takes_batches(endpoint: &Endpoint, model: &str) -> bool {
    match endpoint.provider.model(endpoint.sent_model(model)) {
        Some((_, model)) => model.batch,
        None => !endpoint.is_compatible(),
    }
}

#[cfg(test)]
mod tests;
