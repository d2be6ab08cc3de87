//! What the executor did. Refuses to count what the rows tell.

use crate::outcome::{self, Denial};
use domain::{level::Level, task::Cause};
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use sandbox::{Ended, Error, Layer};
use store::End;

/// Bucket bounds in seconds: from a mere `true` to the longest time limit.
const SECONDS: &[f64] = &[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0];

/// How a command's task ends, besides the causes of a failure: well, tried again, or taken from us meanwhile.
const OTHER_ENDS: [&str; 3] = ["completed", "again", "not_ours"];
/// Why a command's task fails here.
const FAILURES: [Cause; 5] = [Cause::CommandFailed, Cause::TimedOut, Cause::Unconfined, Cause::Lost, Cause::Internal];

/// The executor's metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Commands that ended, by level and outcome
    commands_total: IntCounterVec,
    /// Time from a command's start to its end
    command_seconds: Histogram,
    /// Commands that run now
    running_commands: IntGauge,
    /// Output that was cut out because it was too long
    output_cut_bytes_total: IntCounter,
    /// Layers of the sandbox that were on in the latest run, 1 or 0
    sandbox_layer_on: IntGaugeVec,
    /// Commands that were not run, or not to their end, by level and why
    denials_total: IntCounterVec,
}

impl Metrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// When the registry holds one of that name already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let commands = Opts::new("chavion_executor_commands_total", "Commands that ended, by level and outcome");
        let denials = Opts::new(
            "chavion_executor_denials_total",
            "Commands that were not run, or not to their end, by level and why",
        );
        let seconds = HistogramOpts::new("chavion_executor_command_seconds", "Time from a command's start to its end");
        let layers = Opts::new(
            "chavion_executor_sandbox_layer_on",
            "Layers of the sandbox that were on in the latest run, 1 or 0",
        );
        let metrics = Self {
            commands_total: IntCounterVec::new(commands, &["level", "outcome"])?,
            command_seconds: Histogram::with_opts(seconds.buckets(SECONDS.to_vec()))?,
            running_commands: IntGauge::new("chavion_executor_running_commands", "Commands that run now")?,
            output_cut_bytes_total: IntCounter::new(
                "chavion_executor_output_cut_bytes_total",
                "Output that was cut out because it was too long",
            )?,
            sandbox_layer_on: IntGaugeVec::new(layers, &["layer"])?,
            denials_total: IntCounterVec::new(denials, &["level", "reason"])?,
        };
        registry.register(Box::new(metrics.commands_total.clone()))?;
        registry.register(Box::new(metrics.command_seconds.clone()))?;
        registry.register(Box::new(metrics.running_commands.clone()))?;
        registry.register(Box::new(metrics.output_cut_bytes_total.clone()))?;
        registry.register(Box::new(metrics.sandbox_layer_on.clone()))?;
        registry.register(Box::new(metrics.denials_total.clone()))?;
        metrics.begin_at_nothing();
        Ok(metrics)
    }

    /// Shows every figure before its first event: an increase from nothing is invisible to Prometheus.
    fn begin_at_nothing(&self) {
        for level in Level::ALL {
            for outcome in OTHER_ENDS.into_iter().chain(FAILURES.map(Cause::as_str)) {
                self.commands_total.with_label_values(&[level.as_str(), outcome]);
            }
            for reason in Denial::ALL {
                self.denials_total.with_label_values(&[level.as_str(), reason.as_str()]);
            }
        }
    }

    /// Notes that a command starts.
    pub(crate) fn started(&self) {
        self.running_commands.inc();
    }

    /// Notes what the sandbox told of a command.
    pub(crate) fn told(&self, level: Level, told: &Result<Ended, Error>) {
        self.running_commands.dec();
        self.layers(told);
        if let Some(denial) = outcome::denial(told) {
            self.denials_total.with_label_values(&[level.as_str(), denial.as_str()]).inc();
        }
        if let Ok(ended) = told {
            self.command_seconds.observe(ended.wall.as_secs_f64());
            self.output_cut_bytes_total.inc_by(ended.stdout.cut.saturating_add(ended.stderr.cut));
        }
    }

    /// Notes which layers a run had.
    pub(crate) fn layers(&self, told: &Result<Ended, Error>) {
        match told {
            Ok(ended) => {
                for layer in Layer::ALL {
                    let on = ended.layers.contains(layer);
                    self.sandbox_layer_on.with_label_values(&[layer.as_str()]).set(i64::from(on));
                }
            }
            Err(Error::Refused { layer, .. }) => {
                self.sandbox_layer_on.with_label_values(&[layer.as_str()]).set(0);
            }
            Err(_) => {}
        }
    }

    /// Notes how a command's task ended; `None`: it was not ours any more.
    pub(crate) fn ended(&self, level: Level, end: Option<&End>) {
        let outcome = end.map_or("not_ours", outcome::word);
        self.commands_total.with_label_values(&[level.as_str(), outcome]).inc();
    }
}
