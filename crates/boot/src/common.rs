//! The variables that every service has. Refuses to know any service's own.

use std::net::SocketAddr;
use std::time::Duration;

use url::Url;

use crate::Reader;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    Json,
    /// One line of text, for people.
    Pretty,
}

/// What every service is told in the same words.
#[derive(Clone, Debug)]
pub struct Common {
    /// LOG: which lines are written, such as `info` or `info,bus=debug` (default `info`).
    pub log: String,
    /// LOG_FORMAT: `json` or `pretty` (default `json`).
    pub log_format: LogFormat,
    /// OTEL_EXPORTER_OTLP_ENDPOINT: where traces go, as OTLP over HTTP (default nowhere).
    pub otlp: Option<Url>,
    /// ADMIN_ADDR: where `/health`, `/ready` and `/metrics` answer.
    pub admin_addr: SocketAddr,
    /// DRAIN_SECONDS: how long a stop may take before what still runs is cut (default 25).
    pub drain: Duration,
    /// REPLICA: this replica's name, unique among the service's replicas (default host and process id).
    pub replica: String,
    /// WORKER_THREADS: threads of the async runtime (default 2).
    pub worker_threads: usize,
}

impl Common {
    /// Reads the variables that every service has.
    pub fn read(reader: &mut Reader<'_>, default_admin_addr: &str) -> Self {
        let log = reader.text("LOG", "which log lines are written, such as info or info,bus=debug", "info");
        check_log(reader, &log);
        let format = reader.choice("LOG_FORMAT", "how log lines are written", "json", &["json", "pretty"]);
        Self {
            log,
            log_format: if format == "pretty" { LogFormat::Pretty } else { LogFormat::Json },
            otlp: reader.url("OTEL_EXPORTER_OTLP_ENDPOINT", "where traces go, as OTLP over HTTP", None),
            admin_addr: reader.address("ADMIN_ADDR", "where /health, /ready and /metrics answer", default_admin_addr),
            drain: reader.duration_seconds("DRAIN_SECONDS", "seconds that a stop may take", 25, 0..=3600),
            replica: read_replica(reader),
            worker_threads: reader.count("WORKER_THREADS", "threads of the async runtime", 2, 1..=256),
        }
    }
}

/// Refuses a bare word that is no level: the filter would take it for a module's name and silence the rest.
fn check_log(reader: &mut Reader<'_>, log: &str) {
    let expected = "a level (off, error, warn, info, debug, trace), then module=level pairs, such as info,bus=debug";
    let level = |word: &str| LEVELS.contains(&word.trim().to_ascii_lowercase().as_str());
    let known = log.split(',').all(|part| match part.split_once('=') {
        Some((module, word)) => !module.trim().is_empty() && level(word),
        None => level(part),
    });
    if !known || tracing_subscriber::EnvFilter::try_new(log).is_err() {
        reader.refuse("LOG", &format!("is {log:?}"), expected);
    }
}

fn read_replica(reader: &mut Reader<'_>) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "localhost" } else { host.trim() };
    let own = format!("{host}-{}", std::process::id());
    let about = "this replica's name, unique among the service's replicas (default: host name and process id)";
    reader.text_optional("REPLICA", about).unwrap_or(own)
}
