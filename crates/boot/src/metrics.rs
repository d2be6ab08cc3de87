//! The numbers that every process has for being one of ours. Refuses to know a service's own numbers.

use prometheus::{IntCounter, IntGauge, Opts, Registry};

/// What a process tells about itself beside the system's figures.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// 1 while `/ready` says ready, else 0.
    pub(crate) ready: IntGauge,
    /// Spans that could not be handed to the trace collector.
    pub(crate) spans_lost: IntCounter,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry, service: &str) -> Result<Self, prometheus::Error> {
        let ready = IntGauge::new("chavion_boot_ready", "1 while `/ready` says ready, else 0.")?;
        let spans_lost =
            IntCounter::new("chavion_boot_spans_lost_total", "Spans that could not be handed to the trace collector.")?;
        let build = IntGauge::with_opts(
            Opts::new("chavion_boot_build_info", "Always 1; its labels tell what is running.")
                .const_label("service", service)
                .const_label("version", env!("CARGO_PKG_VERSION")),
        )?;
        build.set(1);
        registry.register(Box::new(build))?;
        registry.register(Box::new(ready.clone()))?;
        registry.register(Box::new(spans_lost.clone()))?;
        Ok(Self { ready, spans_lost })
    }
}
