//! The figures that Postgres and Redis have for everybody. Every orchestrator publishes the same ones: whoever reads
//! them takes the greatest. Refuses labels without end: an order's id is none.

use bus::Depth;
use domain::task::{HeldFor, Kind, State};
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};
use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use store::{BudgetSum, Counts, SpentToday, Total};

const BUDGET: &[&str] = &["scope", "name", "period"];
const SPENT: &[&str] = &["provider", "model", "agent", "pace", "emulated"];

/// The gauges of facts.
pub(crate) struct Facts {
    live: IntGaugeVec,
    oldest_live: IntGauge,
    oldest: IntGaugeVec,
    held: IntGaugeVec,
    entries: IntGaugeVec,
    oldest_entry: IntGaugeVec,
    blackout: IntGaugeVec,
    booked: IntGauge,
    list: IntGauge,
    today: Listed,
    today_list: Listed,
    limit: Listed,
    spent: Listed,
    reserved: Listed,
}

impl Facts {
    /// Registers all of them.
    ///
    /// # Errors
    /// When a name is taken.
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| -> Result<IntGaugeVec, prometheus::Error> {
            let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauges.clone()))?;
            Ok(gauges)
        };
        let listed = |name: &str, help: &str, labels: &[&str]| gauges(name, help, labels).map(Listed::new);
        Ok(Self {
            live: gauges(
                "chavion_tasks_live",
                "Tasks that have not ended, by kind and state, as Postgres has them.",
                &["kind", "state"],
            )?,
            oldest_live: gauge(
                "chavion_tasks_oldest_live_seconds",
                "Age of the oldest task that has not ended, in seconds; 0 when there is none.",
            )?,
            oldest: gauges(
                "chavion_tasks_oldest_seconds",
                "Age of the oldest task of a kind in a state; of queued ones, for how long one that may be begun waits.",
                &["kind", "state"],
            )?,
            held: gauges("chavion_tasks_held", "Tasks that are held, by what they wait for.", &["held_for"])?,
            entries: gauges(
                "chavion_topic_entries",
                "Entries of a topic: waiting, pending, dead.",
                &["topic", "state"],
            )?,
            oldest_entry: gauges(
                "chavion_topic_oldest_seconds",
                "Age of the oldest entry of a topic that waits or is pending; 0 when there is none.",
                &["topic"],
            )?,
            blackout: gauges(
                "chavion_blackout_seconds",
                "For how long a provider that is switched on has not been able to serve; 0: it can.",
                &["provider"],
            )?,
            booked: gauge("chavion_money_booked_nanodollars", "Money ever booked, in 10⁻⁹ USD.")?,
            list: gauge("chavion_money_list_nanodollars", "What the same would have cost at pace now, in 10⁻⁹ USD.")?,
            today: listed("chavion_money_today_nanodollars", "Money booked today (UTC), in 10⁻⁹ USD.", SPENT)?,
            today_list: listed(
                "chavion_money_today_list_nanodollars",
                "What the same would have cost at pace now, in 10⁻⁹ USD.",
                SPENT,
            )?,
            limit: listed("chavion_budget_limit_nanodollars", "What a budget allows, in 10⁻⁹ USD.", BUDGET)?,
            spent: listed("chavion_budget_spent_nanodollars", "What of a budget is spent, in 10⁻⁹ USD.", BUDGET)?,
            reserved: listed(
                "chavion_budget_reserved_nanodollars",
                "What of a budget is set aside for asks that run, in 10⁻⁹ USD.",
                BUDGET,
            )?,
        })
    }

    /// Publishes how many tasks stand where; what Postgres no longer lists is zero.
    pub(crate) fn tasks(&self, counts: &Counts) {
        for kind in Kind::ALL {
            for state in State::ALL.iter().filter(|state| !state.is_terminal()) {
                let found = counts.live.iter().find(|count| count.kind == *kind && count.state == *state);
                let labels = [kind.as_str(), state.as_str()];
                self.live.with_label_values(&labels).set(found.map_or(0, |count| count.count));
                self.oldest.with_label_values(&labels).set(found.map_or(0, |count| seconds(count.oldest)));
            }
        }
        for held_for in HeldFor::ALL {
            let held = counts.held.get(held_for).copied().unwrap_or(0);
            self.held.with_label_values(&[held_for.as_str()]).set(held);
        }
        self.oldest_live.set(counts.oldest_live.map_or(0, seconds));
    }

    /// Publishes what waits in Redis.
    pub(crate) fn topics(&self, depths: &[Depth]) {
        let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        for depth in depths {
            let topic = depth.topic.name();
            for (state, count) in [("waiting", depth.waiting), ("pending", depth.pending), ("dead", depth.dead)] {
                self.entries.with_label_values(&[topic, state]).set(whole(count));
            }
            self.oldest_entry.with_label_values(&[topic]).set(whole(depth.oldest_ms / 1_000));
        }
    }

    /// Publishes for how long a provider has been in blackout; `None`: it is not.
    pub(crate) fn blackout(&self, provider: &str, since: Option<Duration>) {
        // One that has just begun is one.
        self.blackout.with_label_values(&[provider]).set(since.map_or(0, |since| seconds(since).max(1)));
    }

    /// Publishes how budgets stand.
    pub(crate) fn budgets(&self, sums: &[BudgetSum]) {
        let rows = |amount: fn(&BudgetSum) -> i64| {
            let row = |sum: &BudgetSum| (vec![sum.scope.clone(), sum.name.clone(), sum.period.clone()], amount(sum));
            sums.iter().map(row).collect::<Vec<_>>()
        };
        self.limit.show(rows(|sum| sum.limit.0));
        self.spent.show(rows(|sum| sum.spent.0));
        self.reserved.show(rows(|sum| sum.reserved.0));
    }

    /// Publishes what was spent.
    pub(crate) fn money(&self, total: &Total, today: &[SpentToday]) {
        self.booked.set(total.nanos.0);
        self.list.set(total.list_nanos.0);
        let rows = |amount: fn(&SpentToday) -> i64| {
            let row = |spent: &SpentToday| {
                let SpentToday { provider, model, agent, pace, emulated, .. } = spent;
                let labels = [provider.as_str(), model, agent, pace, if *emulated { "true" } else { "false" }];
                (labels.map(str::to_owned).to_vec(), amount(spent))
            };
            today.iter().map(row).collect::<Vec<_>>()
        };
        self.today.show(rows(|spent| spent.nanos.0));
        self.today_list.show(rows(|spent| spent.list_nanos.0));
    }
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// A gauge whose labels come and go with the rows that it shows.
struct Listed {
    gauge: IntGaugeVec,
    shown: Mutex<HashSet<Vec<String>>>,
}

impl Listed {
    fn new(gauge: IntGaugeVec) -> Self {
        Self { gauge, shown: Mutex::default() }
    }

    /// Shows these rows and no others. No scrape finds the gauge empty meanwhile.
    fn show(&self, rows: Vec<(Vec<String>, i64)>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone = std::mem::take(&mut *shown);
        for (labels, value) in rows {
            let words: Vec<&str> = labels.iter().map(String::as_str).collect();
            self.gauge.with_label_values(&words).set(value);
            gone.remove(&labels);
            shown.insert(labels);
        }
        for labels in gone {
            let words: Vec<&str> = labels.iter().map(String::as_str).collect();
            // An error means that it is gone already.
            let _ = self.gauge.remove_label_values(&words);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::money::Nanos;

    fn budget(name: &str, spent: i64) -> BudgetSum {
        let (scope, period) = ("agent".to_owned(), "day".to_owned());
        BudgetSum { scope, name: name.to_owned(), period, limit: Nanos(10), spent: Nanos(spent), reserved: Nanos(1) }
    }

    fn shown(registry: &Registry) -> String {
        prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
    }

    #[test]
    fn what_is_no_longer_listed_is_no_longer_shown() {
        let registry = Registry::new();
        let facts = Facts::new(&registry).unwrap();
        facts.budgets(&[budget("총괄", 3), budget("verifier", 4)]);
        facts.budgets(&[budget("총괄", 5)]);
        let text = shown(&registry);
        let spent = "chavion_budget_spent_nanodollars{name=\"총괄\",period=\"day\",scope=\"agent\"} 5";
        assert!(text.contains(spent) && !text.contains("verifier"), "{text}");
    }

    #[test]
    fn a_blackout_that_has_just_begun_is_one() {
        let registry = Registry::new();
        let facts = Facts::new(&registry).unwrap();
        facts.blackout("anthropic", Some(Duration::from_millis(3)));
        facts.blackout("openai", None);
        let text = shown(&registry);
        assert!(text.contains("chavion_blackout_seconds{provider=\"anthropic\"} 1"), "{text}");
        assert!(text.contains("chavion_blackout_seconds{provider=\"openai\"} 0"), "{text}");
    }
}
