//! Creates whose outcome nobody knows: looked up, adopted, or sent again, and never twice.

use crate::{
    poller::Poller,
    world::{MODELS, World, asks},
};
use domain::task::State;

async fn all_complete(world: &World, poller: Poller, wanted: &[(&str, &str, u64)], ids: &[uuid::Uuid]) {
    let tasks = world.ended(ids).await;
    assert!(tasks.iter().all(|task| (task.state, task.attempt) == (State::Completed, 1)), "{tasks:#?}");
    world.done().await;
    world.audit().await;
    for (name, label, number) in wanted {
        assert_eq!(poller.number(&format!("chavion_batch_poller_{name}_total"), label), *number, "{name} {label}");
    }
    poller.stop().await;
}

#[tokio::test]
async fn a_lost_answer_is_looked_up_and_adopted() {
    for model in MODELS {
        let world = World::new().await;
        world.fault("reset; at=create; committed=true; times=1");
        let poller = Poller::start(&world).await;
        let ids = world.order(&asks(model, 4)).await;
        all_complete(&world, poller, &[("adopted", "", 1), ("created", "", 0), ("sent_again", "", 0)], &ids).await;
    }
}

#[tokio::test]
async fn a_create_that_came_to_nothing_is_sent_again_when_that_is_certain() {
    for model in MODELS {
        let world = World::new().await;
        world.fault("500; at=create; times=1");
        let poller = Poller::start(&world).await;
        let ids = world.order(&asks(model, 4)).await;
        all_complete(&world, poller, &[("adopted", "", 0), ("sent_again", "", 1), ("created", "", 1)], &ids).await;
    }
}

#[tokio::test]
async fn what_is_not_listed_at_once_is_not_sent_twice() {
    for model in MODELS {
        let world = World::new().await;
        world.fault("reset; at=create; committed=true; times=1");
        world.fault("batch-unlisted; ms=300");
        world.fault("503; at=list; times=1");
        let poller = Poller::start(&world).await;
        let ids = world.order(&asks(model, 4)).await;
        all_complete(&world, poller, &[("adopted", "", 1), ("sent_again", "", 0)], &ids).await;
    }
}

#[tokio::test]
async fn batches_of_one_size_that_are_in_doubt_together_are_told_apart_by_their_results() {
    let world = World::new().await;
    // Anthropic keeps no label: two batches of one size at one time cannot be told apart before they end.
    world.fault("reset; at=create; committed=true; times=2; provider=anthropic");
    let poller = Poller::with(&world, &[("BATCH_WINDOW_SECONDS", "0")]).await;
    let mut ids = world.order(&asks(MODELS[0], 3)).await;
    testkit::until("the first is a batch", || async { world.count("select count(*) from batches").await == 1 }).await;
    ids.extend(world.order(&asks(MODELS[0], 3)).await);
    all_complete(&world, poller, &[("sent_again", "", 0), ("adopted", "", 2)], &ids).await;
}

#[tokio::test]
async fn a_refused_create_waits_and_is_not_looked_up() {
    let world = World::new().await;
    world.fault("429; at=create; times=2; retry-after-ms=50");
    let poller = Poller::start(&world).await;
    let ids = world.order(&asks(MODELS[1], 4)).await;
    all_complete(&world, poller, &[("lookups", "", 0), ("created", "", 1), ("sent_again", "", 0)], &ids).await;
}

#[tokio::test]
async fn a_fresh_batch_that_is_not_known_yet_is_waited_for() {
    for model in MODELS {
        let world = World::new().await;
        world.fault("batch-hidden; ms=200");
        world.fault("batch-unknown-state; provider=openai");
        let poller = Poller::start(&world).await;
        let ids = world.order(&asks(model, 4)).await;
        all_complete(&world, poller, &[("sent_again", "", 0), ("created", "", 1)], &ids).await;
    }
}
