//! What processes take of the machine, read from `/proc`, and what the machine is. Refuses to change anything.

use crate::{
    figures::{ratio, round},
    stand::SERVICES,
};
use anyhow::Context as _;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, fs, path::Path, time::Instant};

/// Clock ticks a second in `/proc`, which Linux fixes at 100.
const TICKS: f64 = 100.0;
/// What this program's own load is called.
pub(crate) const OWN: &str = "load_generator";
/// What Postgres with all its processes is called.
const POSTGRES: &str = "postgres";

/// Whom to watch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter {
    /// Processes by what they are called.
    pub(crate) processes: Vec<(&'static str, u32)>,
    /// The first process of Postgres.
    pub(crate) postmaster: u32,
}

/// CPU seconds that were used until a moment.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// The moment.
    pub(crate) at: Instant,
    used: BTreeMap<&'static str, f64>,
    machine: f64,
}

impl Meter {
    /// Reads what was used until now.
    pub(crate) fn snapshot(&self) -> anyhow::Result<Snapshot> {
        let mut used = BTreeMap::new();
        for (name, id) in self.processes.iter().chain([&(OWN, std::process::id())]) {
            let stat = Stat::of(*id).with_context(|| format!("{name} has ended"))?;
            used.insert(*name, stat.own);
        }
        used.insert(POSTGRES, self.postgres()?);
        Ok(Snapshot { at: Instant::now(), used, machine: machine()? })
    }

    /// Adds up the first process, its children that have ended, and those that live.
    fn postgres(&self) -> anyhow::Result<f64> {
        let first = Stat::of(self.postmaster).context("Postgres has ended")?;
        let living = fs::read_dir("/proc")?.flatten().filter_map(|entry| {
            let stat = Stat::of(entry.file_name().to_str()?.parse().ok()?)?;
            (stat.parent == self.postmaster).then_some(stat.own)
        });
        Ok(first.own + first.children + living.sum::<f64>())
    }

    /// Returns resident memory, all and anonymous, in MB, of each process.
    pub(crate) fn memory(&self) -> BTreeMap<&'static str, (f64, f64)> {
        let own = (OWN, std::process::id());
        let all = self.processes.iter().chain([&own]);
        all.map(|(name, id)| {
            let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
            let megabytes = |field| round(number(&status, field).unwrap_or_default() * 1024.0 / 1e6);
            (*name, (megabytes("VmRSS:"), megabytes("RssAnon:")))
        })
        .collect()
    }
}

impl Snapshot {
    /// Returns the CPU seconds of the services alone since an earlier moment.
    pub(crate) fn services(&self, before: &Self) -> f64 {
        let used = |of: &Self, name| of.used.get(name).copied().unwrap_or_default();
        SERVICES.iter().map(|name| used(self, *name) - used(before, *name)).sum()
    }

    /// Shows what each used since an earlier moment: CPU seconds for a thousand orders, and its share of one core.
    /// What the machine did besides all of these is noise.
    pub(crate) fn since(&self, before: &Self, orders: f64) -> Value {
        let seconds = self.at.duration_since(before.at).as_secs_f64();
        let mut shown = Map::new();
        let mut known = 0.0;
        for (name, now) in &self.used {
            let used = now - before.used.get(name).copied().unwrap_or_default();
            known += used;
            let cost = ratio(used * 1e3, orders);
            shown.insert((*name).to_owned(), json!({ "seconds_per_1000_orders": cost, "cores": ratio(used, seconds) }));
        }
        let busy = self.machine - before.machine;
        json!({
            "by_process": shown,
            "all_cores": ratio(known, seconds),
            "others_cores": ratio((busy - known).max(0.0), seconds),
        })
    }
}

/// What `/proc/PID/stat` says.
struct Stat {
    parent: u32,
    own: f64,
    children: f64,
}

impl Stat {
    fn of(id: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The program's name may itself hold spaces and brackets.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |place: usize| fields.get(place)?.parse::<f64>().ok();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own: (ticks(11)? + ticks(12)?) / TICKS,
            children: (ticks(13)? + ticks(14)?) / TICKS,
        })
    }
}

/// Returns the seconds that all cores together were busy since the start.
fn machine() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    let fields: Vec<f64> = line.split_whitespace().skip(1).take(8).filter_map(|word| word.parse().ok()).collect();
    // user, nice, system, then irq, softirq, stolen; between them idle and waiting for disks.
    let busy = [0, 1, 2, 5, 6, 7].iter().filter_map(|place| fields.get(*place)).sum::<f64>();
    Ok(busy / TICKS)
}

/// Returns the first number after a field's name.
pub(crate) fn number(text: &str, field: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(field))?.split_whitespace().next()?.parse().ok()
}

/// Describes the machine, and what lies under the data folder.
pub(crate) fn described(folder: &Path) -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).and_then(|rest| rest.split_once(':'));
    let memory = number(&read("/proc/meminfo"), "MemTotal:").unwrap_or_default();
    json!({
        "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        "cpu": model.map(|(_, model)| model.trim().to_owned()),
        "memory_mib": round(memory / 1024.0).round(),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "data_file_system": file_system(&read("/proc/mounts"), folder),
    })
}

/// Returns the CPU seconds that a process has used so far.
pub(crate) fn cpu(id: u32) -> Option<f64> {
    Stat::of(id).map(|stat| stat.own)
}

/// Returns the load average of the last minute.
pub(crate) fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

fn file_system(mounts: &str, folder: &Path) -> Option<String> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let under = mounts.filter(|(point, _)| folder.starts_with(point)).max_by_key(|(point, _)| point.len());
    under.map(|(_, kind)| kind.to_owned())
}
