//! The order of the measurements, and what comes of them. Refuses to run two at once.

use crate::{
    baseline,
    figures::{ratio, real, round},
    goals::{Measured, judged},
    idle,
    load::{Masters, Round},
    postgres::Counted,
    say,
    stand::{ASKS, SERVICES, Stand},
    usage,
};
use cli::servers::Servers;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, path::Path, time::Duration};

/// How many orders are in flight at once.
const IN_FLIGHT: [usize; 3] = [64, 128, 256];
/// How long after the last event client the services go on listening for it, and the servers' counters lag.
const SETTLING: Duration = Duration::from_secs(12);

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    is_quick: bool,
    warm_up: usize,
    alone: usize,
    run_up: Duration,
    window: Duration,
    baseline: Duration,
    idle: Duration,
    starts: usize,
}

impl Plan {
    /// What the goals are judged by.
    pub(crate) const FULL: Self = Self {
        is_quick: false,
        warm_up: 200,
        alone: 500,
        run_up: Duration::from_secs(2),
        window: Duration::from_secs(12),
        baseline: Duration::from_secs(3),
        idle: Duration::from_secs(30),
        starts: 5,
    };
    /// The same in less than a minute.
    pub(crate) const QUICK: Self = Self {
        is_quick: true,
        warm_up: 100,
        alone: 300,
        run_up: Duration::from_secs(1),
        window: Duration::from_secs(3),
        baseline: Duration::from_secs(1),
        idle: Duration::from_secs(10),
        starts: 3,
    };
}

/// Memory of each process, all and anonymous, in MB.
type Memory = BTreeMap<&'static str, (f64, f64)>;

/// Measures everything.
pub(crate) async fn measured(folder: &Path, servers: &Servers, plan: &Plan) -> anyhow::Result<Value> {
    let noise_before = usage::load_average();
    say("starting the services");
    let mut stand = Stand::start(folder, servers).await?;
    let fresh = stand.meter().memory();

    say("baselines: bare calls, bare commits, bare names");
    let calls = baseline::calls(stand.emulator, plan.alone, plan.baseline).await?;
    let commits = stand.postgres.commits(plan.alone, plan.baseline).await?;
    let hops = baseline::hops(&stand.redis_socket, plan.alone).await?;

    let masters = Masters::arrive(stand.gateway, &stand.key).await?;
    say("warming up");
    masters.one_by_one(plan.warm_up).await?;
    masters.closed_loop(64, plan.run_up, plan.run_up, &stand.meter()).await?;
    say("one order at a time");
    let used = stand.meter().snapshot()?;
    let (alone, accepted) = masters.one_by_one(plan.alone).await?;
    let alone_cpu = stand.meter().snapshot()?.since(&used, real(plan.alone));
    let mut rounds = Vec::new();
    for in_flight in IN_FLIGHT {
        say(&format!("{in_flight} orders in flight"));
        rounds.push(Level::measured(&masters, &mut stand, in_flight, plan).await?);
    }
    let whole = whole(&masters, &stand).await?;
    drop(masters);

    say("idle");
    tokio::time::sleep(SETTLING).await;
    let idle = idle::watch(&mut stand, plan.idle).await?;
    let rested = stand.meter().memory();
    say("starts");
    let starts = stand.starts(plan.starts).await?;

    let best = rounds.iter().map(|level| level.per_second).fold(0.0, f64::max);
    let measured = Measured {
        order_p50_ms: alone.quantile(50),
        orders_per_second: best,
        is_whole: whole.pointer("/is_whole") == Some(&json!(true)),
        idle_queries: idle.per_second,
        idle_mb: services(&fresh).max(services(&rested)),
        ready_ms: starts.values().map(|times| times.quantile(100)).fold(0.0, f64::max),
    };
    let loaded = rounds.last().map(|level| level.round.memory.clone()).unwrap_or_default();
    let answer = json!({
        "quick": plan.is_quick,
        "machine": machine(folder, &mut stand, noise_before).await?,
        "order_alone": { "latency": alone.shown(), "accepted": accepted.shown(), "cpu": alone_cpu },
        "orders_in_flight": rounds.iter().map(Level::shown).collect::<Vec<_>>(),
        "ratios": ratios(measured.order_p50_ms, best, [&calls, &commits, &hops]),
        "baseline": { "emulator_calls": calls, "postgres_commits": commits, "redis_hop": hops },
        "orders": whole,
        "memory_mb": { "started": memory(&fresh), "loaded": memory(&loaded), "idle": memory(&rested) },
        "idle": idle.shown,
        "ready": starts.iter().map(|(name, times)| ((*name).to_owned(), times.shown())).collect::<Map<_, _>>(),
        "goals": judged(&measured),
    });
    say("stopping");
    stand.stop().await?;
    Ok(answer)
}

/// One closed loop and what the servers did for it.
struct Level {
    in_flight: usize,
    round: Round,
    per_second: f64,
    per_order: Value,
}

impl Level {
    async fn measured(masters: &Masters, stand: &mut Stand, in_flight: usize, plan: &Plan) -> anyhow::Result<Self> {
        let given = masters.given();
        let (counted, commands) = (stand.postgres.counted().await?, stand.redis.calls().await?);
        let round = masters.closed_loop(in_flight, plan.run_up, plan.window, &stand.meter()).await?;
        let orders = real(masters.given() - given);
        let now = stand.postgres.counted().await?;
        let per_order = per_order(orders, (counted, now), (&commands, &stand.redis.calls().await?));
        let seconds = round.after.at.duration_since(round.before.at).as_secs_f64();
        let per_second = real(round.times.count()) / seconds;
        say(&format!("  {per_second:.0} orders a second, p50 {} ms", round.times.quantile(50)));
        Ok(Self { in_flight, round, per_second, per_order })
    }

    fn shown(&self) -> Value {
        let Round { times, accepted, before, after, .. } = &self.round;
        json!({
            "in_flight": self.in_flight,
            "orders_per_second": round(self.per_second),
            "asks_per_second": round(self.per_second * ASKS),
            "latency": times.shown(),
            "accepted": accepted.shown(),
            "cpu": after.since(before, real(times.count())),
            "per_order": self.per_order,
        })
    }
}

/// What the servers were asked for each order.
fn per_order(orders: f64, rows: (Counted, Counted), names: (&BTreeMap<String, f64>, &BTreeMap<String, f64>)) -> Value {
    let mut commands = Map::new();
    for (name, now) in names.1 {
        let made = now - names.0.get(name).copied().unwrap_or_default();
        if made > 0.0 {
            commands.insert(name.clone(), json!(ratio(made, orders)));
        }
    }
    json!({
        "postgres_transactions": ratio(rows.1.transactions - rows.0.transactions, orders),
        "postgres_log_bytes": ratio(rows.1.log_bytes - rows.0.log_bytes, orders).round(),
        "redis_commands": commands,
    })
}

/// Counts what the rows say: a benchmark of orders that were not carried out whole would be none.
async fn whole(masters: &Masters, stand: &Stand) -> anyhow::Result<Value> {
    let given = real(masters.given());
    let ended = "count(*) from tasks where state = 'completed' and";
    let orders = stand.postgres.number(&format!("{ended} parent_id is null")).await?;
    let asks = stand.postgres.number(&format!("{ended} kind = 'ask' and attempt = 1")).await?;
    let charges = stand.postgres.number("count(*) from charges").await?;
    let (failed, lost, reopened) = masters.troubles();
    let is_whole = failed + lost == 0 && given == orders && [asks, charges].iter().all(|all| *all == given * ASKS);
    Ok(json!({
        "given": given,
        "completed": orders,
        "asks_answered_once": asks,
        "charges_booked": charges,
        "failed": failed,
        "lost": lost,
        "event_stream_reopened": reopened,
        "is_whole": is_whole,
    }))
}

fn ratios(p50: f64, best: f64, [calls, commits, hops]: [&Value; 3]) -> Value {
    let number = |of: &Value, path| of.pointer(path).and_then(Value::as_f64).unwrap_or_default();
    let (call, commit) = (number(calls, "/alone/p50_ms"), number(commits, "/alone/p50_ms"));
    json!({
        "order_p50_to_three_calls": ratio(p50, ASKS * call),
        "order_p50_to_one_commit": ratio(p50, commit),
        "order_p50_to_one_hop": ratio(p50, number(hops, "/p50_ms")),
        "asks_per_second_to_calls_per_second": ratio(best * ASKS, number(calls, "/per_second")),
        "orders_per_second_to_commits_per_second": ratio(best, number(commits, "/per_second")),
    })
}

async fn machine(folder: &Path, stand: &mut Stand, noise_before: f64) -> anyhow::Result<Value> {
    Ok(json!({
        "hardware": usage::described(folder),
        "postgres": stand.postgres.setting("server_version").await?,
        "postgres_fsync": stand.postgres.setting("fsync").await?,
        "postgres_synchronous_commit": stand.postgres.setting("synchronous_commit").await?,
        "redis": stand.redis.fact("redis_version").await?,
        "load_average": { "before": noise_before, "after": usage::load_average() },
    }))
}

fn services(memory: &Memory) -> f64 {
    SERVICES.iter().filter_map(|name| memory.get(name)).map(|(all, _)| all).sum()
}

fn memory(memory: &Memory) -> Value {
    let each = memory
        .iter()
        .map(|(name, (all, anonymous))| ((*name).to_owned(), json!({ "resident": all, "anonymous": anonymous })));
    let mut shown: Map<String, Value> = each.collect();
    shown.insert("four_services".to_owned(), json!(round(services(memory))));
    Value::Object(shown)
}
