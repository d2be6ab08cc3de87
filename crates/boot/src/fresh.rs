//! Figures that a process reads elsewhere and shows for everybody: they are shown while they are fresh, and then no
//! more. Refuses to show an old figure: nobody could tell it from a true one.

use prometheus::{
    IntGauge, IntGaugeVec, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// Figures that are read together.
#[derive(Clone, Debug)]
pub struct Fresh {
    read: Arc<Mutex<Option<Instant>>>,
    /// How long after a reading its figures are shown.
    keep: Duration,
    /// When that was, for people and alerts: this one stays.
    stamp: IntGauge,
}

impl Fresh {
    /// Names the figures, to be shown for `keep` after each reading.
    ///
    /// # Errors
    /// When the registry has figures of that name.
    pub fn new(registry: &Registry, facts: &str, keep: Duration) -> Result<Self, prometheus::Error> {
        let stamp = IntGauge::with_opts(
            Opts::new(
                "chavion_facts_read_timestamp_seconds",
                "When the facts were read last, in seconds since 1970; before the first time, when that was begun.",
            )
            .const_label("facts", facts),
        )?;
        registry.register(Box::new(stamp.clone()))?;
        stamp.set(now());
        Ok(Self { read: Arc::default(), keep, stamp })
    }

    /// Registers a figure of theirs.
    ///
    /// # Errors
    /// When the registry has one of its name.
    pub fn show<C: Collector + Clone + 'static>(&self, registry: &Registry, figure: C) -> Result<C, prometheus::Error> {
        registry.register(Box::new(Shown { figure: figure.clone(), fresh: self.clone() }))?;
        Ok(figure)
    }

    /// Notes that all of them were read and set just now.
    pub fn read(&self) {
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.stamp.set(now());
    }

    fn is_fresh(&self) -> bool {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.is_some_and(|read| read.elapsed() < self.keep)
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// A figure that is there while it is fresh. It looks at each scrape, so a reader that hangs keeps nothing alive.
struct Shown<C> {
    figure: C,
    fresh: Fresh,
}

impl<C: Collector> Collector for Shown<C> {
    fn desc(&self) -> Vec<&Desc> {
        self.figure.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if self.fresh.is_fresh() { self.figure.collect() } else { Vec::new() }
    }
}

/// A gauge whose labels come and go with the rows that it shows.
#[derive(Debug)]
pub struct Listed {
    gauge: IntGaugeVec,
    shown: Mutex<HashSet<Vec<String>>>,
}

impl Listed {
    /// Shows rows by this gauge.
    #[must_use]
    pub fn new(gauge: IntGaugeVec) -> Self {
        Self { gauge, shown: Mutex::default() }
    }

    /// Shows these rows and no others. No scrape finds the gauge empty meanwhile.
    pub fn show(&self, rows: impl IntoIterator<Item = (Vec<String>, i64)>) {
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

    fn shown(registry: &Registry) -> String {
        prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
    }

    #[test]
    fn a_figure_is_shown_from_its_reading_until_it_is_old() {
        let registry = Registry::new();
        let (short, long) = (Duration::ZERO, Duration::from_secs(3_600));
        let gone = Fresh::new(&registry, "gone", short).unwrap();
        let here = Fresh::new(&registry, "here", long).unwrap();
        let old = gone.show(&registry, IntGauge::new("old", "It is old at once.").unwrap()).unwrap();
        let new = here.show(&registry, IntGauge::new("new", "It stays.").unwrap()).unwrap();
        old.set(7);
        new.set(8);
        let before = shown(&registry);
        assert!(!before.contains("old 7") && !before.contains("new 8"), "nothing was read: {before}");
        gone.read();
        here.read();
        let after = shown(&registry);
        assert!(!after.contains("old") && after.contains("new 8"), "{after}");
        for facts in ["gone", "here"] {
            assert!(after.contains(&format!("chavion_facts_read_timestamp_seconds{{facts=\"{facts}\"}} 1")), "{after}");
        }
    }

    #[test]
    fn what_is_no_longer_listed_is_no_longer_shown() {
        let registry = Registry::new();
        let gauge = IntGaugeVec::new(Opts::new("rows", "Rows."), &["name"]).unwrap();
        registry.register(Box::new(gauge.clone())).unwrap();
        let listed = Listed::new(gauge);
        let row = |name: &str, value| (vec![name.to_owned()], value);
        listed.show([row("총괄", 3), row("verifier", 4)]);
        listed.show([row("총괄", 5)]);
        let text = shown(&registry);
        assert!(text.contains("rows{name=\"총괄\"} 5") && !text.contains("verifier"), "{text}");
    }
}
