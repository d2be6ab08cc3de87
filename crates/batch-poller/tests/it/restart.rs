//! Pollers that die at any moment: the next one leads to the same end, and nothing is sent or booked twice.

use crate::{
    poller::Poller,
    world::{MODELS, World, asks},
};
use domain::task::State;
use std::time::Duration;

#[tokio::test]
async fn deaths_at_any_moment_lead_to_the_same_end() {
    for step in 0..6_u64 {
        let mut world = World::new().await;
        // The dead leave their leases behind.
        world.vars.insert("LEASE_SECONDS".to_owned(), "1".to_owned());
        world.fault("slow; at=create; ms=120");
        world.fault("slow; at=upload; ms=60");
        world.fault("slow; at=results; ms=60");
        let works: Vec<_> = MODELS.iter().flat_map(|model| asks(model, 20)).collect();
        let ids = world.order(&works).await;
        for life in 0..6_u64 {
            let replica = format!("시험-{life}");
            let poller = Poller::with(&world, &[("REPLICA", &replica)]).await;
            tokio::time::sleep(Duration::from_millis(180 + 70 * ((step + life * 5) % 7))).await;
            poller.kill().await;
            sweep(&world).await;
        }
        let last = Poller::with(&world, &[("REPLICA", "시험-끝")]).await;
        testkit::until("all have ended", || async {
            sweep(&world).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            world.store.names(&ids).await.unwrap().iter().all(|row| row.state.is_terminal())
        })
        .await;
        let tasks = world.ended(&ids).await;
        assert!(tasks.iter().all(|task| task.state == State::Completed && task.calls == 1), "{tasks:#?}");
        world.done().await;
        world.audit().await;
        last.stop().await;
    }
}

/// Does the orchestrator's part: asks whose lease ran out are queued and announced again.
async fn sweep(world: &World) {
    let swept = world.store.sweep(Duration::from_secs(1), 1000, true).await.unwrap();
    let ids: Vec<_> = swept.batch.iter().map(|name| name.id).collect();
    world.announce(&ids, domain::task::Kind::Ask).await;
}
