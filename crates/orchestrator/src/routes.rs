//! What is known when a pace is chosen: how each model may be asked, who cannot serve, what batches lately took.
//! Asks Postgres only when something other than now is ordered, and then every few seconds at most.

use crate::Parts;
use domain::{
    pace::{Facts, Route},
    roster::Roster,
};
use providers::Providers;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use time::OffsetDateTime;

/// How old may be what batches lately took.
const FRESH: Duration = Duration::from_secs(10);

type Took = Arc<HashMap<String, Duration>>;

/// The ways to ask the models of the roster.
pub(crate) struct Routes {
    offers: HashMap<String, Route>,
    took: Mutex<Option<(Instant, Took)>>,
}

impl Routes {
    /// Notes what the providers offer for the models that agents have.
    pub(crate) fn new(roster: &Roster, providers: &Providers) -> Self {
        let models = roster.agents.iter().flat_map(|agent| &agent.models);
        let offers = models
            .filter_map(|model| {
                let offer = providers.offer(model)?;
                Some((model.clone(), Route { flex: offer.flex, batch: offer.batch.is_some(), ..Route::default() }))
            })
            .collect();
        Self { offers, took: Mutex::default() }
    }

    /// Returns the facts of this moment.
    pub(crate) async fn facts(&self, parts: &Parts) -> Facts {
        let (took, blackouts) = tokio::join!(self.took(parts), parts.blackouts.now(&parts.store));
        let models = self.offers.iter().map(|(model, route)| {
            let provider = provider(model);
            let route =
                Route { blackout: blackouts.contains_key(provider), batch_took: took.get(provider).copied(), ..*route };
            (model.clone(), route)
        });
        Facts { now: OffsetDateTime::now_utc(), models: models.collect() }
    }

    async fn took(&self, parts: &Parts) -> Took {
        let kept = self.took.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, took)) = &kept
            && at.elapsed() < FRESH
        {
            return Arc::clone(took);
        }
        let took = match parts.store.batch_took().await {
            Ok(took) => Arc::new(took),
            Err(error) => {
                tracing::warn!(%error, "what batches lately took could not be read");
                kept.map(|(_, took)| took).unwrap_or_default()
            }
        };
        *self.took.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), Arc::clone(&took)));
        took
    }
}

/// Returns the provider's name of `provider/model`.
pub(crate) fn provider(model: &str) -> &str {
    model.split_once('/').map_or(model, |(provider, _)| provider)
}
