//! The system's figures about this process, under the names that Prometheus users know.
//! Refuses to know what the process does.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge};

/// Clock ticks a second in `/proc`: `USER_HZ`, which Linux fixes at 100 for every architecture that Rust supports.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads `/proc/self` at each scrape; what cannot be read keeps its last figure.
pub(crate) struct ProcessFigures {
    cpu_seconds: Counter,
    resident_bytes: Gauge,
    virtual_bytes: Gauge,
    open_files: Gauge,
    threads: Gauge,
    start_seconds: Gauge,
}

impl ProcessFigures {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let figures = Self {
            cpu_seconds: Counter::new("process_cpu_seconds_total", "User and system CPU time, in seconds.")?,
            resident_bytes: Gauge::new("process_resident_memory_bytes", "Resident memory, in bytes.")?,
            virtual_bytes: Gauge::new("process_virtual_memory_bytes", "Virtual memory, in bytes.")?,
            open_files: Gauge::new("process_open_fds", "Open file descriptors.")?,
            threads: Gauge::new("process_threads", "Threads.")?,
            start_seconds: Gauge::new("process_start_time_seconds", "Start time, in seconds since 1970.")?,
        };
        figures.start_seconds.set(started().unwrap_or_default());
        Ok(figures)
    }

    fn refresh(&self) {
        if let Some(seconds) = cpu_seconds() {
            self.cpu_seconds.inc_by((seconds - self.cpu_seconds.get()).max(0.0));
        }
        if let Ok(status) = fs::read_to_string("/proc/self/status") {
            for (field, scale, gauge) in [
                ("VmRSS:", 1024.0, &self.resident_bytes),
                ("VmSize:", 1024.0, &self.virtual_bytes),
                ("Threads:", 1.0, &self.threads),
            ] {
                if let Some(figure) = field_of(&status, field) {
                    gauge.set(figure * scale);
                }
            }
        }
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            // The directory that is being read is itself open.
            let open = entries.count().saturating_sub(1);
            self.open_files.set(u32::try_from(open).map_or(f64::MAX, f64::from));
        }
    }

    fn all(&self) -> [&dyn Collector; 6] {
        [
            &self.cpu_seconds,
            &self.resident_bytes,
            &self.virtual_bytes,
            &self.open_files,
            &self.threads,
            &self.start_seconds,
        ]
    }
}

impl Collector for ProcessFigures {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.refresh();
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}

/// Returns the first number after `field` in the text of `/proc/self/status`.
fn field_of(status: &str, field: &str) -> Option<f64> {
    status.lines().find_map(|line| line.strip_prefix(field))?.split_whitespace().next()?.parse().ok()
}

/// Returns the fields of `/proc/self/stat` after the program's name, which may itself hold spaces and brackets.
fn stat_fields() -> Option<Vec<String>> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn cpu_seconds() -> Option<f64> {
    let fields = stat_fields()?;
    let user: f64 = fields.get(11)?.parse().ok()?;
    let system: f64 = fields.get(12)?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn started() -> Option<f64> {
    let ticks: f64 = stat_fields()?.get(19)?.parse().ok()?;
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let booted = field_of(&stat, "btime")?;
    Some(booted + ticks / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::ProcessFigures;
    use prometheus::core::Collector;

    #[test]
    fn knows_this_process() {
        let figures = ProcessFigures::new().unwrap();
        assert_eq!(figures.collect().len(), 6);
        assert!(figures.resident_bytes.get() > 100_000.0);
        assert!(figures.open_files.get() >= 3.0);
        assert!(figures.threads.get() >= 1.0);
        assert!(figures.start_seconds.get() > 1_600_000_000.0);
    }
}
