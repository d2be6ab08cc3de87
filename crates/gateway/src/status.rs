//! The whole picture: what is alive, what waits, what it cost today. Refuses to ask for it more than once a second.

use crate::{
    announcer::{ASK, BATCH, PLAN, SETTLED},
    error::{Problem, ProblemBody},
    fields::Fields,
    gateway::Gateway,
    shown::{BlackoutShown, BudgetShown, CostShown, TokensShown, saved},
};
use actix_web::{HttpRequest, HttpResponse, web::Data};
use bus::{Depth, Topic};
use domain::{
    batch::BatchState,
    money::{Nanos, Usage},
};
use serde::Serialize;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use store::{BatchCounts, Blackout, BudgetFilter, BudgetPage, Count, Counts, Day, Store, Total};
use tokio::sync::Mutex;
use utoipa::ToSchema;

/// Every topic, so that all depths are shown.
pub(crate) const TOPICS: [Topic; 6] =
    [PLAN, ASK, Topic::new("tasks.deliver", "orchestrator"), SETTLED, Topic::new("tasks.command", "executor"), BATCH];

/// How long a picture is shown again.
const FRESH: Duration = Duration::from_secs(1);
/// From how many percent on a budget counts as nearly spent.
const NEARLY: u8 = 80;
/// How many such budgets are shown.
const BUDGETS: u16 = 20;

/// The last picture; whoever finds it old takes a new one while the others wait for it.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<Option<(Instant, Arc<WholeShown>)>>);

/// The whole picture.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Whole)]
pub(crate) struct WholeShown {
    /// The version of the program.
    version: &'static str,
    /// Whether the emulator, not models, answered any of today's asks.
    emulated: bool,
    /// The servers that this gateway needs.
    services: Vec<ServiceShown>,
    /// How many tasks of live orders stand where.
    tasks: Vec<CountShown>,
    /// The age of the oldest of them, in milliseconds.
    oldest_live_ms: Option<u64>,
    /// What waits in the streams; null while Redis is away.
    topics: Option<Vec<TopicShown>>,
    /// What was spent today (UTC).
    money_today: MoneyShown,
    /// What was ever spent.
    money_total: TotalShown,
    /// What waits for a batch, and what is in one.
    batches: WholeBatchesShown,
    /// The providers that cannot serve.
    blackouts: Vec<BlackoutShown>,
    /// Budgets of which four fifths are spent or set aside, at most 20; those of ended orders are left out.
    budgets_nearly_spent: Vec<BudgetShown>,
    /// How many clients listen to this gateway's events.
    event_clients: usize,
}

/// A server and whether it answers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Service)]
pub(crate) struct ServiceShown {
    /// `postgres` or `redis`.
    name: &'static str,
    /// Whether it answers.
    up: bool,
}

/// How many tasks of one kind stand in one state.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Count)]
pub(crate) struct CountShown {
    /// Who performs them.
    kind: &'static str,
    /// Where they stand.
    state: &'static str,
    /// How many.
    count: i64,
}

impl From<&Count> for CountShown {
    fn from(count: &Count) -> Self {
        Self { kind: count.kind.as_str(), state: count.state.as_str(), count: count.count }
    }
}

/// What waits in one topic.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Topic)]
pub(crate) struct TopicShown {
    /// The topic.
    topic: &'static str,
    /// Entries that nobody has taken yet.
    waiting: u64,
    /// Entries that are being handled.
    pending: u64,
    /// Entries that nobody could handle.
    dead: u64,
    /// The age of the oldest that waits or is handled, in milliseconds.
    oldest_ms: u64,
}

impl From<Depth> for TopicShown {
    fn from(depth: Depth) -> Self {
        Self {
            topic: depth.topic.name(),
            waiting: depth.waiting,
            pending: depth.pending,
            dead: depth.dead,
            oldest_ms: depth.oldest_ms,
        }
    }
}

/// What was spent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Money)]
pub(crate) struct MoneyShown {
    /// All of it.
    cost: CostShown,
    /// What the same would have cost at pace now.
    list_cost: CostShown,
    /// The difference.
    saved: CostShown,
    /// How many model calls that is.
    calls: i64,
    /// By model.
    models: Vec<ModelShown>,
}

/// What was ever spent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TotalMoney)]
pub(crate) struct TotalShown {
    /// All of it.
    cost: CostShown,
    /// What the same would have cost at pace now.
    list_cost: CostShown,
    /// The difference.
    saved: CostShown,
    /// How many model calls that is.
    calls: i64,
}

/// What waits for a batch, and what is in one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WholeBatches)]
pub(crate) struct WholeBatchesShown {
    /// How many asks wait for others to share a batch with.
    waiting: i64,
    /// How many batches the providers work on, those that are just being handed in included.
    running: i64,
    /// How many asks these hold.
    items: i64,
    /// How many of them the providers say are done.
    done: i64,
    /// How many batches have ended whose results are being taken in.
    settling: i64,
}

impl From<BatchCounts> for WholeBatchesShown {
    fn from(counts: BatchCounts) -> Self {
        let sum = |numbers: &mut dyn Iterator<Item = i64>| numbers.fold(0_i64, i64::saturating_add);
        let in_state =
            |states: &'static [BatchState]| counts.batches.iter().filter(move |it| states.contains(&it.state));
        let running = || in_state(&[BatchState::Submitting, BatchState::Running]);
        Self {
            waiting: sum(&mut counts.waiting.iter().map(|group| group.items)),
            running: sum(&mut running().map(|it| it.batches)),
            items: sum(&mut running().map(|it| it.items)),
            done: sum(&mut running().map(|it| it.done)),
            settling: sum(&mut in_state(&[BatchState::Ended]).map(|it| it.batches)),
        }
    }
}

/// What was spent on one model.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ModelMoney)]
pub(crate) struct ModelShown {
    /// Who answered.
    provider: String,
    /// With which model.
    model: String,
    /// Whether it was the emulator.
    emulated: bool,
    /// How many calls.
    calls: i64,
    /// The tokens.
    tokens: TokensShown,
    /// The money.
    cost: CostShown,
    /// What was saved: what the same would have cost at pace now, less that.
    saved: CostShown,
}

impl From<Day> for ModelShown {
    fn from(day: Day) -> Self {
        let usage: Usage = day.usage;
        Self {
            provider: day.provider,
            model: day.model,
            emulated: day.emulated,
            calls: day.calls,
            tokens: usage.into(),
            saved: saved(day.nanos, day.list_nanos),
            cost: day.nanos.into(),
        }
    }
}

/// Shows the whole picture, at most a second old.
#[utoipa::path(get, path = "/api/status", tag = "service", responses(
    (status = 200, description = "The picture.", body = WholeShown),
    (status = 401, description = "No known key.", body = ProblemBody),
    (status = 503, description = "Postgres is away.", body = ProblemBody),
))]
pub(crate) async fn show(request: HttpRequest, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    Fields::of_query(request.query_string()).finish()?;
    let mut kept = gateway.status.0.lock().await;
    if let Some((taken, picture)) = &*kept
        && taken.elapsed() < FRESH
    {
        return Ok(HttpResponse::Ok().json(&**picture));
    }
    let picture = Arc::new(look(&gateway).await?);
    *kept = Some((Instant::now(), Arc::clone(&picture)));
    drop(kept);
    Ok(HttpResponse::Ok().json(&*picture))
}

async fn look(gateway: &Gateway) -> Result<WholeShown, Problem> {
    let (rows, depths) = tokio::join!(rows(&gateway.store), gateway.bus.depths());
    let Rows { counts, days, total, batches, blackouts, budgets } = rows?;
    let redis = match &depths {
        Ok(_) => true,
        Err(error) => {
            tracing::warn!(%error, "depths cannot be read");
            false
        }
    };
    let nanos = days.iter().fold(0_i64, |sum, day| sum.saturating_add(day.nanos.0));
    let list = days.iter().fold(0_i64, |sum, day| sum.saturating_add(day.list_nanos.0));
    let calls = days.iter().fold(0_i64, |sum, day| sum.saturating_add(day.calls));
    Ok(WholeShown {
        version: env!("CARGO_PKG_VERSION"),
        emulated: days.iter().any(|day| day.emulated),
        services: vec![ServiceShown { name: "postgres", up: true }, ServiceShown { name: "redis", up: redis }],
        tasks: counts.live.iter().map(CountShown::from).collect(),
        oldest_live_ms: counts.oldest_live.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        topics: depths.ok().map(|depths| depths.into_iter().map(TopicShown::from).collect()),
        money_today: MoneyShown {
            cost: Nanos(nanos).into(),
            list_cost: Nanos(list).into(),
            saved: saved(Nanos(nanos), Nanos(list)),
            calls,
            models: days.into_iter().map(ModelShown::from).collect(),
        },
        money_total: TotalShown {
            cost: total.nanos.into(),
            list_cost: total.list_nanos.into(),
            saved: saved(total.nanos, total.list_nanos),
            calls: total.calls,
        },
        batches: batches.into(),
        blackouts: blackouts.into_iter().map(BlackoutShown::from).collect(),
        budgets_nearly_spent: budgets.budgets.into_iter().map(BudgetShown::from).collect(),
        event_clients: gateway.hub.clients(),
    })
}

/// What the picture is made of.
struct Rows {
    counts: Counts,
    days: Vec<Day>,
    total: Total,
    batches: BatchCounts,
    blackouts: Vec<Blackout>,
    budgets: BudgetPage,
}

async fn rows(store: &Store) -> Result<Rows, store::Error> {
    let nearly = BudgetFilter { used: Some(NEARLY), ..BudgetFilter::default() };
    // One after the other: a picture a second must not take all connections from those who order.
    Ok(Rows {
        counts: store.counts().await?,
        days: store.money_days(1).await?,
        total: store.money_total().await?,
        batches: store.batch_counts().await?,
        blackouts: store.blackouts().await?,
        budgets: store.budget_list(&nearly, None, BUDGETS).await?,
    })
}
