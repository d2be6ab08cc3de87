//! The whole picture: what is alive, what waits, what it cost today. Refuses to ask for it more than once a second.

use crate::{
    announcer::{PLAN, SETTLED},
    error::{Problem, ProblemBody},
    fields::Fields,
    gateway::Gateway,
    shown::{CostShown, TokensShown},
};
use actix_web::{HttpRequest, HttpResponse, web::Data};
use bus::{Depth, Topic};
use domain::money::{Nanos, Usage};
use serde::Serialize;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use store::{Count, Counts, Day};
use tokio::sync::Mutex;
use utoipa::ToSchema;

/// Every topic, so that all depths are shown.
pub(crate) const TOPICS: [Topic; 6] = [
    PLAN,
    Topic::new("tasks.ask", "orchestrator"),
    Topic::new("tasks.deliver", "orchestrator"),
    SETTLED,
    Topic::new("tasks.command", "executor"),
    Topic::new("tasks.batch", "batch-poller"),
];

/// How long a picture is shown again.
const FRESH: Duration = Duration::from_secs(1);

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
    /// How many model calls that is.
    calls: i64,
    /// By model.
    models: Vec<ModelShown>,
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
    let (counts, days, depths) =
        tokio::join!(gateway.store.counts(), gateway.store.money_days(1), gateway.bus.depths());
    let (counts, days): (Counts, Vec<Day>) = (counts?, days?);
    let redis = match &depths {
        Ok(_) => true,
        Err(error) => {
            tracing::warn!(%error, "depths cannot be read");
            false
        }
    };
    let nanos = days.iter().fold(0_i64, |sum, day| sum.saturating_add(day.nanos.0));
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
            calls,
            models: days.into_iter().map(ModelShown::from).collect(),
        },
        event_clients: gateway.hub.clients(),
    })
}
