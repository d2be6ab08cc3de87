//! What the executor did. Refuses to count what the rows tell.

use crate::outcome;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use sandbox::{Ended, Error, Layer};
use store::End;

/// Bucket bounds in seconds: from a mere `true` to the longest time limit.
const SECONDS: &[f64] = &[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0];

/// The executor's metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Commands that ended, by outcome
    commands_total: IntCounterVec,
    /// Time from a command's start to its end
    command_seconds: Histogram,
    /// Commands that run now
    running_commands: IntGauge,
    /// Output that was cut out because it was too long
    output_cut_bytes_total: IntCounter,
    /// Layers of the sandbox that were on in the latest run, 1 or 0
    sandbox_layer_on: IntGaugeVec,
    /// Runs that the sandbox refused for want of a layer
    sandbox_refusals_total: IntCounter,
}

impl Metrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// When the registry holds one of that name already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let commands = Opts::new("chavion_executor_commands_total", "Commands that ended, by outcome");
        let seconds = HistogramOpts::new("chavion_executor_command_seconds", "Time from a command's start to its end");
        let layers = Opts::new(
            "chavion_executor_sandbox_layer_on",
            "Layers of the sandbox that were on in the latest run, 1 or 0",
        );
        let metrics = Self {
            commands_total: IntCounterVec::new(commands, &["outcome"])?,
            command_seconds: Histogram::with_opts(seconds.buckets(SECONDS.to_vec()))?,
            running_commands: IntGauge::new("chavion_executor_running_commands", "Commands that run now")?,
            output_cut_bytes_total: IntCounter::new(
                "chavion_executor_output_cut_bytes_total",
                "Output that was cut out because it was too long",
            )?,
            sandbox_layer_on: IntGaugeVec::new(layers, &["layer"])?,
            sandbox_refusals_total: IntCounter::new(
                "chavion_executor_sandbox_refusals_total",
                "Runs that the sandbox refused for want of a layer",
            )?,
        };
        registry.register(Box::new(metrics.commands_total.clone()))?;
        registry.register(Box::new(metrics.command_seconds.clone()))?;
        registry.register(Box::new(metrics.running_commands.clone()))?;
        registry.register(Box::new(metrics.output_cut_bytes_total.clone()))?;
        registry.register(Box::new(metrics.sandbox_layer_on.clone()))?;
        registry.register(Box::new(metrics.sandbox_refusals_total.clone()))?;
        Ok(metrics)
    }

    /// Notes that a command starts.
    pub(crate) fn started(&self) {
        self.running_commands.inc();
    }

    /// Notes what the sandbox told of a command.
    pub(crate) fn told(&self, told: &Result<Ended, Error>) {
        self.running_commands.dec();
        self.layers(told);
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
                self.sandbox_refusals_total.inc();
                self.sandbox_layer_on.with_label_values(&[layer.as_str()]).set(0);
            }
            Err(_) => {}
        }
    }

    /// Notes how a command's task ended; `None`: it was not ours any more.
    pub(crate) fn ended(&self, end: Option<&End>) {
        self.commands_total.with_label_values(&[end.map_or("not_ours", outcome::word)]).inc();
    }
}
