//! The figures that Postgres and Redis have for everybody. Every orchestrator publishes the same ones: whoever reads
//! them takes the greatest. Refuses labels without end: an order's id is none.

use boot::{Fresh, Listed};
use bus::Depth;
use domain::task::{HeldFor, Kind, State};
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};
use std::time::Duration;
use store::{Blackout, BudgetSum, Counts, SpentToday, Total};
use time::OffsetDateTime;

const BUDGET: &[&str] = &["scope", "name", "period"];
const SPENT: &[&str] = &["provider", "model", "agent", "pace", "emulated"];
/// How long figures are shown that cannot be read any more: a reading may fail, or come late.
const KEEP: Duration = Duration::from_mins(1);
/// The same of sums of money, which are read half as often.
const KEEP_MONEY: Duration = Duration::from_secs(90);

/// The gauges of facts.
pub(crate) struct Facts {
    tasks: (Fresh, Tasks),
    topics: (Fresh, IntGaugeVec, IntGaugeVec),
    blackouts: (Fresh, IntGaugeVec),
    budgets: (Fresh, Budgets),
    money: (Fresh, Money),
}

struct Tasks {
    live: IntGaugeVec,
    oldest_live: IntGauge,
    oldest: IntGaugeVec,
    held: IntGaugeVec,
    oldest_held: IntGaugeVec,
}

struct Budgets {
    limit: Listed,
    spent: Listed,
    reserved: Listed,
}

struct Money {
    booked: IntGauge,
    list: IntGauge,
    today: Listed,
    today_list: Listed,
}

/// Registers figures that are read together.
struct Maker<'a>(&'a Registry, Fresh);

impl<'a> Maker<'a> {
    fn new(registry: &'a Registry, facts: &str, keep: Duration) -> Result<Self, prometheus::Error> {
        Ok(Self(registry, Fresh::new(registry, facts, keep)?))
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.1.show(self.0, IntGauge::new(name, help)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
        self.1.show(self.0, IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn listed(&self, name: &str, help: &str, labels: &[&str]) -> Result<Listed, prometheus::Error> {
        self.gauges(name, help, labels).map(Listed::new)
    }
}

impl Facts {
    /// Registers all of them.
    ///
    /// # Errors
    /// When a name is taken.
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let make = Maker::new(registry, "topics", KEEP)?;
        let entries =
            make.gauges("chavion_topic_entries", "Entries of a topic: waiting, pending, dead.", &["topic", "state"])?;
        let oldest = make.gauges(
            "chavion_topic_oldest_seconds",
            "Age of the oldest entry of a topic that waits or is pending; 0 when there is none.",
            &["topic"],
        )?;
        let topics = (make.1, entries, oldest);
        let make = Maker::new(registry, "blackouts", KEEP)?;
        let blackout = make.gauges(
            "chavion_blackout_seconds",
            "For how long a provider that is switched on has not been able to serve; 0: it can.",
            &["provider"],
        )?;
        let blackouts = (make.1, blackout);
        Ok(Self { tasks: tasks(registry)?, topics, blackouts, budgets: budgets(registry)?, money: money(registry)? })
    }

    /// Publishes how many tasks stand where; what Postgres does not list is zero.
    pub(crate) fn tasks(&self, counts: &Counts) {
        let (fresh, tasks) = &self.tasks;
        for kind in Kind::ALL {
            for state in State::ALL.iter().filter(|state| !state.is_terminal()) {
                let found = counts.live.iter().find(|count| count.kind == *kind && count.state == *state);
                let labels = [kind.as_str(), state.as_str()];
                tasks.live.with_label_values(&labels).set(found.map_or(0, |count| count.count));
                tasks.oldest.with_label_values(&labels).set(found.map_or(0, |count| seconds(count.oldest)));
            }
        }
        for held_for in HeldFor::ALL {
            let held = counts.held.get(held_for).copied().unwrap_or_default();
            tasks.held.with_label_values(&[held_for.as_str()]).set(held.count);
            tasks.oldest_held.with_label_values(&[held_for.as_str()]).set(seconds(held.oldest));
        }
        tasks.oldest_live.set(counts.oldest_live.map_or(0, seconds));
        fresh.read();
    }

    /// Publishes what waits in Redis.
    pub(crate) fn topics(&self, depths: &[Depth]) {
        let (fresh, entries, oldest) = &self.topics;
        let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        for depth in depths {
            let topic = depth.topic.name();
            for (state, count) in [("waiting", depth.waiting), ("pending", depth.pending), ("dead", depth.dead)] {
                entries.with_label_values(&[topic, state]).set(whole(count));
            }
            oldest.with_label_values(&[topic]).set(whole(depth.oldest_ms / 1_000));
        }
        fresh.read();
    }

    /// Publishes for how long each of the providers that are switched on has been in blackout.
    pub(crate) fn blackouts(&self, on: &[String], blackouts: &[Blackout], now: OffsetDateTime) {
        let (fresh, gauge) = &self.blackouts;
        for provider in on {
            let since = blackouts.iter().find(|blackout| blackout.provider == *provider);
            // One that has just begun is one.
            let age =
                |blackout: &Blackout| seconds(Duration::try_from(now - blackout.since).unwrap_or_default()).max(1);
            gauge.with_label_values(&[provider]).set(since.map_or(0, age));
        }
        fresh.read();
    }

    /// Publishes how budgets stand.
    pub(crate) fn budgets(&self, sums: &[BudgetSum]) {
        let (fresh, budgets) = &self.budgets;
        let rows = |amount: fn(&BudgetSum) -> i64| {
            let row = |sum: &BudgetSum| (vec![sum.scope.clone(), sum.name.clone(), sum.period.clone()], amount(sum));
            sums.iter().map(row).collect::<Vec<_>>()
        };
        budgets.limit.show(rows(|sum| sum.limit.0));
        budgets.spent.show(rows(|sum| sum.spent.0));
        budgets.reserved.show(rows(|sum| sum.reserved.0));
        fresh.read();
    }

    /// Publishes what was spent.
    pub(crate) fn money(&self, total: &Total, today: &[SpentToday]) {
        let (fresh, money) = &self.money;
        money.booked.set(total.nanos.0);
        money.list.set(total.list_nanos.0);
        let rows = |amount: fn(&SpentToday) -> i64| {
            let row = |spent: &SpentToday| {
                let SpentToday { provider, model, agent, pace, emulated, .. } = spent;
                let labels = [provider.as_str(), model, agent, pace, if *emulated { "true" } else { "false" }];
                (labels.map(str::to_owned).to_vec(), amount(spent))
            };
            today.iter().map(row).collect::<Vec<_>>()
        };
        money.today.show(rows(|spent| spent.nanos.0));
        money.today_list.show(rows(|spent| spent.list_nanos.0));
        fresh.read();
    }
}

fn tasks(registry: &Registry) -> Result<(Fresh, Tasks), prometheus::Error> {
    let make = Maker::new(registry, "tasks", KEEP)?;
    let tasks = Tasks {
        live: make.gauges(
            "chavion_tasks_live",
            "Tasks that have not ended, by kind and state, as Postgres has them.",
            &["kind", "state"],
        )?,
        oldest_live: make.gauge(
            "chavion_tasks_oldest_live_seconds",
            "Age of the oldest task that has not ended, in seconds; 0 when there is none.",
        )?,
        oldest: make.gauges(
            "chavion_tasks_oldest_seconds",
            "Age of the oldest task of a kind in a state; of queued ones, for how long one that may be begun waits.",
            &["kind", "state"],
        )?,
        held: make.gauges("chavion_tasks_held", "Tasks that are held, by what they wait for.", &["held_for"])?,
        oldest_held: make.gauges(
            "chavion_tasks_held_oldest_seconds",
            "For how long the oldest task that is held has waited since it was ready, by what it waits for.",
            &["held_for"],
        )?,
    };
    Ok((make.1, tasks))
}

fn budgets(registry: &Registry) -> Result<(Fresh, Budgets), prometheus::Error> {
    let make = Maker::new(registry, "budgets", KEEP)?;
    let budgets = Budgets {
        limit: make.listed("chavion_budget_limit_nanodollars", "What a budget allows, in 10⁻⁹ USD.", BUDGET)?,
        spent: make.listed("chavion_budget_spent_nanodollars", "What of a budget is spent, in 10⁻⁹ USD.", BUDGET)?,
        reserved: make.listed(
            "chavion_budget_reserved_nanodollars",
            "What of a budget is set aside for asks that run, in 10⁻⁹ USD.",
            BUDGET,
        )?,
    };
    Ok((make.1, budgets))
}

fn money(registry: &Registry) -> Result<(Fresh, Money), prometheus::Error> {
    let make = Maker::new(registry, "money", KEEP_MONEY)?;
    let money = Money {
        booked: make.gauge("chavion_money_booked_nanodollars", "Money ever booked, in 10⁻⁹ USD.")?,
        list: make
            .gauge("chavion_money_list_nanodollars", "What the same would have cost at pace now, in 10⁻⁹ USD.")?,
        today: make.listed("chavion_money_today_nanodollars", "Money booked today (UTC), in 10⁻⁹ USD.", SPENT)?,
        today_list: make.listed(
            "chavion_money_today_list_nanodollars",
            "What the same would have cost at pace now, in 10⁻⁹ USD.",
            SPENT,
        )?,
    };
    Ok((make.1, money))
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blackout_that_has_just_begun_is_one() {
        let registry = Registry::new();
        let facts = Facts::new(&registry).unwrap();
        let now = OffsetDateTime::UNIX_EPOCH;
        let begun = Blackout {
            provider: "anthropic".to_owned(),
            cause: "key".to_owned(),
            reason: "열쇠".to_owned(),
            since: now,
            probe_at: now,
            probes: 0,
            probing_until: None,
        };
        facts.blackouts(&["anthropic".to_owned(), "openai".to_owned()], &[begun], now);
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        assert!(text.contains("chavion_blackout_seconds{provider=\"anthropic\"} 1"), "{text}");
        assert!(text.contains("chavion_blackout_seconds{provider=\"openai\"} 0"), "{text}");
        assert!(!text.contains("chavion_tasks_live"), "nobody has counted tasks: {text}");
    }
}
