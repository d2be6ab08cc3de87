//! One `/metrics` for several services in one process: each registry's figures, told apart by a label.

use prometheus::{
    Registry,
    core::{Collector, Desc},
    proto::{LabelPair, MetricFamily},
};

/// A service's registry, shown in another with the label `service`.
pub(super) struct Merged {
    service: &'static str,
    registry: Registry,
    described: Desc,
}

impl Merged {
    /// Shows `registry` as that of `service`.
    ///
    /// # Errors
    /// When the service's name is no label's value.
    pub(super) fn new(service: &'static str, registry: Registry) -> Result<Self, prometheus::Error> {
        // The outer registry tells collectors apart by what they describe; this name is never shown.
        let name = format!("chavion_up_{}", service.replace('-', "_"));
        let described =
            Desc::new(name, format!("The figures of {service}."), Vec::new(), std::collections::HashMap::new())?;
        Ok(Self { service, registry, described })
    }
}

impl Collector for Merged {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.described]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.registry.gather();
        for metric in families.iter_mut().flat_map(MetricFamily::mut_metric) {
            let mut label = LabelPair::default();
            label.set_name("service".to_owned());
            label.set_value(self.service.to_owned());
            let mut labels = metric.take_label();
            labels.push(label);
            metric.set_label(labels);
        }
        families
    }
}
