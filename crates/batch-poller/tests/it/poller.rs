//! A batch-poller in this process, which can be stopped well or dropped dead.

use crate::world::World;
use batch_poller::{Config, Service};
use boot::Life;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A running batch-poller.
pub(crate) struct Poller {
    life: Life,
    running: JoinSet<anyhow::Result<()>>,
}

impl Poller {
    /// Starts one and waits until it is ready.
    pub(crate) async fn start(world: &World) -> Self {
        Self::with(world, &[]).await
    }

    /// Starts one with variables of its own.
    pub(crate) async fn with(world: &World, own: &[(&str, &str)]) -> Self {
        let mut vars = world.vars.clone();
        vars.extend(own.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let life = Life::embedded("batch-poller", CancellationToken::new());
        let service = Service::build(Config::read(&vars).unwrap(), &life).unwrap();
        let mut running = JoinSet::new();
        let own = life.clone();
        running.spawn(async move { own.run(service.run()).await });
        tokio::time::timeout(testkit::PATIENCE, life.ready.wait()).await.expect("it gets ready");
        Self { life, running }
    }

    /// Sums one of its numbers over its labels; those that have this label's value, where one is given.
    pub(crate) fn number(&self, name: &str, label: &str) -> u64 {
        let families = self.life.registry.gather();
        let Some(family) = families.iter().find(|it| it.name() == name) else { return 0 };
        let metrics = family.get_metric().iter();
        let matching =
            metrics.filter(|metric| label.is_empty() || metric.get_label().iter().any(|it| it.value() == label));
        let sum: f64 = matching.map(|metric| metric.get_counter().get_value()).sum();
        format!("{sum:.0}").parse().unwrap()
    }

    /// Stops it and checks that it drained.
    pub(crate) async fn stop(mut self) {
        self.life.stop.cancel();
        let ended = self.running.join_next().await.unwrap().unwrap();
        self.life.finish(ended).await.unwrap();
    }

    /// Drops it where it stands.
    pub(crate) async fn kill(mut self) {
        self.running.shutdown().await;
        self.life.stop.cancel();
    }
}
