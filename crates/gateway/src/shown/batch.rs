//! Batches as clients see them. Refuses to show what is ours alone: workers, leases, files at the provider.

use super::CostShown;
use domain::{batch::ItemState, money::Nanos};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use store::{BatchOrder, BatchView, BatchWait, Latency, WaitingGroup};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// What the batches of each provider took lately.
pub(crate) type Latencies = HashMap<String, Latency>;

/// A batch: one job at a provider's batch API, holding many asks.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Batch)]
pub(crate) struct BatchShown {
    id: Uuid,
    #[schema(example = "openai")]
    provider: String,
    /// `provider/model` where the provider takes one model for each batch.
    model: Option<String>,
    /// `submitting`, `running`, `ended` (its results are taken in), `settled` or `failed`.
    #[schema(example = "running")]
    state: &'static str,
    /// The provider's id for it.
    remote_id: Option<String>,
    /// The provider's word for where it stands.
    remote_state: Option<String>,
    /// How many asks it holds.
    items: i32,
    /// How many of them are done, as far as anybody says.
    done: i64,
    /// How many of them stand where: `submitted`, `succeeded`, `failed_permanent`, `failed_retryable`, `expired`,
    /// `cancelled`, `missing`. All states are there.
    counts: BTreeMap<&'static str, i64>,
    /// Of those at the provider, how many nobody waits for any more: they were asked faster, or their order has ended.
    abandoned: i64,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    submitted_at: Option<OffsetDateTime>,
    /// When the provider gives it up.
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    ended_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    settled_at: Option<OffsetDateTime>,
    /// From its making to its last result, or to now, in milliseconds.
    age_ms: i64,
    /// When it will have ended, going by what this provider's batches took lately; never after `expires_at`. Null when
    /// nothing is known of them, when it takes longer than nine of ten did, and when it has ended.
    #[serde(with = "time::serde::rfc3339::option")]
    expected_at: Option<OffsetDateTime>,
    /// What its answers cost so far.
    cost: CostShown,
    /// What the same would have cost at pace now.
    list_cost: CostShown,
    /// The difference.
    saved: CostShown,
    /// How often it was submitted under a new name: more than 1 after a submission that came to nothing.
    submission: i32,
    /// What people should know.
    note: Option<String>,
    /// That it is to be cancelled.
    cancel: Option<CancelWantedShown>,
}

/// That a batch is to be cancelled.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CancelWanted)]
pub(crate) struct CancelWantedShown {
    /// When its master said so.
    #[serde(with = "time::serde::rfc3339")]
    wanted_at: OffsetDateTime,
    /// What becomes of its asks: `now`, `batch` or `cancel`.
    then: &'static str,
}

impl BatchShown {
    pub(crate) fn of(view: BatchView, latencies: &Latencies, now: OffsetDateTime) -> Self {
        let expected_at = if view.ended_at.is_some() || view.state.is_over() {
            None
        } else {
            let since = view.submitted_at.unwrap_or(now);
            expected(since, view.expires_at, latencies.get(&view.provider), now)
        };
        let count = |state: &ItemState| view.tally.counts.get(state).copied().unwrap_or_default();
        let here = ItemState::ALL.iter().filter(|state| state.has_ended()).map(&count).sum::<i64>();
        let counts = ItemState::ALL.iter().filter(|state| **state != ItemState::Queued);
        let until = view.settled_at.or(view.ended_at.filter(|_| view.state.is_over())).unwrap_or(now);
        Self {
            id: view.id,
            state: view.state.as_str(),
            items: view.items,
            done: here.max(view.done_items.unwrap_or_default().into()),
            counts: counts.map(|state| (state.as_str(), count(state))).collect(),
            abandoned: view.tally.abandoned,
            created_at: view.created_at,
            submitted_at: view.submitted_at,
            expires_at: view.expires_at,
            ended_at: view.ended_at,
            settled_at: view.settled_at,
            age_ms: i64::try_from((until - view.created_at).whole_milliseconds()).unwrap_or(i64::MAX).max(0),
            expected_at,
            cost: view.tally.nanos.into(),
            list_cost: view.tally.list_nanos.into(),
            saved: saved(view.tally.nanos, view.tally.list_nanos),
            submission: view.submission,
            cancel: view.cancel_wanted_at.map(|wanted_at| CancelWantedShown {
                wanted_at,
                then: view.cancel_then.map_or("now", domain::batch::CancelThen::as_str),
            }),
            provider: view.provider,
            model: view.model,
            remote_id: view.remote_id,
            remote_state: view.remote_state,
            note: view.note,
        }
    }
}

/// What was saved: what the same would have cost at pace now, less what it cost.
pub(crate) fn saved(nanos: Nanos, list_nanos: Nanos) -> CostShown {
    Nanos(list_nanos.0.saturating_sub(nanos.0)).into()
}

/// When a batch will have ended: after as long as half of its provider's lately took; when that is over, as nine of
/// ten. What takes longer still is anybody's guess, and none is made.
fn expected(
    since: OffsetDateTime,
    expires_at: Option<OffsetDateTime>,
    latency: Option<&Latency>,
    now: OffsetDateTime,
) -> Option<OffsetDateTime> {
    let guesses = latency.into_iter().flat_map(|latency| [latency.median, latency.p90]);
    let mut guesses = guesses.filter_map(|took| since.checked_add(took.try_into().ok()?));
    let guess = guesses.find(|guess| *guess > now)?;
    Some(expires_at.map_or(guess, |expires| guess.min(expires)))
}

/// Asks that wait for others to share a batch with.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WaitingGroup)]
pub(crate) struct WaitingShown {
    /// The provider, or `provider/model` where it takes one model for each batch.
    #[schema(example = "openai/gpt-5.6-terra")]
    group: String,
    provider: String,
    /// How many.
    items: i64,
    /// Their size.
    bytes: i64,
    /// The most that they may cost.
    estimate: CostShown,
    /// Since when the oldest of them waits.
    #[serde(with = "time::serde::rfc3339")]
    since: OffsetDateTime,
    /// Whether they were told not to wait.
    flush: bool,
}

impl From<WaitingGroup> for WaitingShown {
    fn from(group: WaitingGroup) -> Self {
        Self {
            group: group.grp,
            provider: group.provider,
            items: group.items,
            bytes: group.bytes,
            estimate: group.estimate.into(),
            since: group.since,
            flush: group.flush,
        }
    }
}

/// A page of batches, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchPage)]
pub(crate) struct BatchesShown {
    /// The batches.
    pub(crate) batches: Vec<BatchShown>,
    /// On the first page, the groups of asks that wait for their batch.
    pub(crate) waiting: Vec<WaitingShown>,
    /// What to hand in as `cursor` for the next page; none on the last one.
    pub(crate) next: Option<String>,
}

/// An order that a batch has asks of.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchOrder)]
pub(crate) struct BatchOrderShown {
    id: Uuid,
    title: String,
    state: &'static str,
    /// How many of the batch's asks are its.
    items: i64,
}

impl From<BatchOrder> for BatchOrderShown {
    fn from(order: BatchOrder) -> Self {
        Self { id: order.id, title: order.title, state: order.state.as_str(), items: order.items }
    }
}

/// A batch with the orders that it has asks of.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchDetail)]
pub(crate) struct BatchDetailShown {
    #[serde(flatten)]
    pub(crate) batch: BatchShown,
    /// The oldest orders that it has asks of, at most 20.
    pub(crate) orders: Vec<BatchOrderShown>,
    /// How many orders it has asks of.
    pub(crate) orders_total: i64,
}

/// A batch that a task waits for, or that it is about to be put into.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = BatchWait)]
pub(crate) struct BatchWaitShown {
    /// The batch; null while others are waited for to share it.
    batch: Option<Uuid>,
    provider: String,
    /// `queued` while others are waited for, then the state of the batch.
    state: String,
    /// Since when it waits.
    #[serde(with = "time::serde::rfc3339")]
    since: OffsetDateTime,
    /// When the batch will have ended, as far as that can be said.
    #[serde(with = "time::serde::rfc3339::option")]
    expected_at: Option<OffsetDateTime>,
}

impl BatchWaitShown {
    pub(crate) fn of(wait: BatchWait, latencies: &Latencies, now: OffsetDateTime) -> Self {
        let since = wait.submitted_at.unwrap_or(now);
        let expected_at = expected(since, wait.expires_at, latencies.get(&wait.provider), now);
        Self { batch: wait.batch, provider: wait.provider, state: wait.state, since: wait.since, expected_at }
    }

    /// Tells whether two tasks wait for the same.
    pub(crate) fn is_with(&self, other: &Self) -> bool {
        (self.batch, &self.provider) == (other.batch, &other.provider)
    }
}

#[cfg(test)]
mod tests {
    use super::expected;
    use std::time::Duration;
    use store::Latency;
    use time::macros::datetime;

    #[test]
    fn what_is_expected_moves_on_and_ends_with_the_batch() {
        let since = datetime!(2026-11-22 09:00 UTC);
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let latency = Latency { median: minutes(10), p90: minutes(60), batches: 7 };
        let at = |now| expected(since, Some(datetime!(2026-11-23 09:00 UTC)), Some(&latency), now);
        assert_eq!(at(since), Some(datetime!(2026-11-22 09:10 UTC)));
        assert_eq!(at(since + minutes(10)), Some(datetime!(2026-11-22 10:00 UTC)));
        assert_eq!(at(since + minutes(60)), None);
        let soon = Some(datetime!(2026-11-22 09:05 UTC));
        assert_eq!(expected(since, soon, Some(&latency), since), soon, "never after it expires");
        assert_eq!(expected(since, None, None, since), None);
        let absurd = Latency { median: Duration::MAX, p90: Duration::MAX, batches: 1 };
        assert_eq!(expected(since, None, Some(&absurd), since), None);
    }
}
