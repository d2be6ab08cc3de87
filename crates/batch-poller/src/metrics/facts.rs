//! What Postgres says of batches. Every batch-poller publishes the same: whoever reads it takes the greatest.

use boot::{Fresh, Listed};
use domain::batch::{BatchState, ItemState};
use prometheus::{IntGaugeVec, Opts, Registry};
use std::{collections::HashMap, sync::Arc, time::Duration};
use store::BatchCounts;

/// How long figures are shown that cannot be read any more: a reading may fail, or come late.
const KEEP: Duration = Duration::from_mins(1);

/// The gauges of facts.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    fresh: Fresh,
    batches: Arc<Listed>,
    items: Arc<Listed>,
    oldest: Arc<Listed>,
    /// Those that take batches: what Postgres does not list of them is zero.
    providers: Vec<String>,
}

impl Facts {
    pub(super) fn new(registry: &Registry, providers: Vec<String>) -> Result<Self, prometheus::Error> {
        let fresh = Fresh::new(registry, "batches", KEEP)?;
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            fresh
                .show(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
                .map(|gauge| Arc::new(Listed::new(gauge)))
        };
        Ok(Self {
            batches: gauges(
                "chavion_batches",
                "Batches that are not done with, by provider and state, as Postgres has them.",
                &["provider", "state"],
            )?,
            items: gauges(
                "chavion_batch_items",
                "Items that have not been settled, by provider and state (queued, submitted), as Postgres has them.",
                &["provider", "state"],
            )?,
            oldest: gauges(
                "chavion_batches_oldest_seconds",
                "Age of the oldest batch that is not settled, in seconds, by provider; 0 when there is none.",
                &["provider"],
            )?,
            fresh,
            providers,
        })
    }

    /// Publishes what Postgres says.
    pub(crate) fn show(&self, counts: &BatchCounts) {
        let zeros = |states: &[&'static str]| -> HashMap<(String, &'static str), i64> {
            let of = |provider: &String| states.iter().map(|state| ((provider.clone(), *state), 0)).collect::<Vec<_>>();
            self.providers.iter().flat_map(of).collect()
        };
        let live: Vec<_> =
            BatchState::ALL.iter().filter(|state| !state.is_over()).map(|state| state.as_str()).collect();
        let (queued, submitted) = (ItemState::Queued.as_str(), ItemState::Submitted.as_str());
        let (mut batches, mut items) = (zeros(&live), zeros(&[queued, submitted]));
        let mut oldest = zeros(&[""]);
        for count in &counts.batches {
            let provider = || count.provider.clone();
            batches.insert((provider(), count.state.as_str()), count.batches);
            if !count.state.is_over() {
                *items.entry((provider(), submitted)).or_default() += count.items;
                let age = oldest.entry((provider(), "")).or_default();
                *age = (*age).max(i64::try_from(count.oldest.as_secs()).unwrap_or(i64::MAX));
            }
        }
        for waiting in &counts.waiting {
            items.insert((waiting.provider.clone(), queued), waiting.items);
        }
        let by_state = |((provider, state), count): ((String, &str), i64)| (vec![provider, state.to_owned()], count);
        self.batches.show(batches.into_iter().map(by_state));
        self.items.show(items.into_iter().map(by_state));
        self.oldest.show(oldest.into_iter().map(|((provider, _), age)| (vec![provider], age)));
        self.fresh.read();
    }
}
