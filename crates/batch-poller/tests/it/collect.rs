//! Which asks become items, and where the others go.

use crate::{
    poller::Poller,
    world::{ASK, MODELS, World, ask, asks, command, question},
};
use domain::{
    advance::{AskWork, Work},
    pace::Pace,
    task::{Cause, Kind, State},
};
use std::time::Duration;
use time::OffsetDateTime;
use uuid::Uuid;

#[tokio::test]
async fn a_model_without_batches_goes_another_way_and_says_so() {
    let world = World::new().await;
    let mut told = world.listen(ASK);
    let own = [("MISTRAL_API_KEY", "emulated"), ("MISTRAL_BASE_URL", "http://127.0.0.1:9/v1")];
    let poller = Poller::with(&world, &own).await;
    let only_batch =
        Work::Ask(AskWork { fallback: false, ..question("mistral/mistral-large-latest", "요약하라.") });
    let works = [ask("mistral/mistral-large-latest", "요약하라."), ask("nobody/none", "요약하라."), only_batch];
    let ids = world.order(&works).await;
    let tasks = world.elsewhere(&ids[..2]).await;
    for task in &tasks {
        assert_eq!(task.pace, Pace::Now, "{task:#?}");
        assert!(ids.contains(&told.next().await.id));
    }
    assert!(tasks[0].pace_reason.as_deref().unwrap().contains("cannot be asked in batches"), "{tasks:#?}");
    assert!(tasks[1].pace_reason.as_deref().unwrap().contains("belongs to a provider that is on"), "{tasks:#?}");
    let failed = world.ended(&ids[2..]).await;
    assert_eq!(failed[0].failure.as_ref().unwrap().cause, Cause::Unavailable);
    assert_eq!(poller.number("chavion_batch_poller_declined_total", ""), 2);
    poller.stop().await;
    assert!(told.rest().await.is_empty());
}

#[tokio::test]
async fn the_first_of_its_models_that_has_batches_is_asked() {
    let world = World::new().await;
    let poller = Poller::start(&world).await;
    let models = ["nobody/none", MODELS[2], MODELS[0]].map(str::to_owned).to_vec();
    let ids = world.order(&[Work::Ask(AskWork { models, ..question("", "후기를 요약하라.") })]).await;
    let tasks = world.ended(&ids).await;
    assert!(tasks[0].model.as_deref().unwrap().starts_with("gemini/"), "{tasks:#?}");
    poller.stop().await;
}

#[tokio::test]
async fn no_batch_is_begun_when_no_time_is_left_for_one() {
    let world = World::new().await;
    let poller = Poller::start(&world).await;
    let ids = world.order_by(Some(OffsetDateTime::now_utc() - Duration::from_secs(5)), &asks(MODELS[1], 1)).await;
    world.announce(&ids, Kind::Ask).await;
    let tasks = world.elsewhere(&ids).await;
    assert!(tasks[0].pace_reason.as_deref().unwrap().contains("no time is left"), "{tasks:#?}");
    assert_eq!(world.count("select count(*) from batch_items").await, 0);
    poller.stop().await;
}

#[tokio::test]
async fn what_is_not_its_own_is_left_alone() {
    let world = World::new().await;
    let ids = world.order_by(None, &[command(), ask(MODELS[1], "요약하라.")]).await;
    world.store.cancel(ids[1], "그만").await.unwrap();
    let poller = Poller::start(&world).await;
    world.announce(&[ids[0], ids[1], Uuid::now_v7()], Kind::Ask).await;
    testkit::until("the entries were handled", || async {
        poller.number("chavion_batch_poller_passed_over_total", "") == 3
    })
    .await;
    world.until_quiet().await;
    assert_eq!(world.store.task(ids[0]).await.unwrap().unwrap().state, State::Queued);
    assert_eq!(world.store.task(ids[1]).await.unwrap().unwrap().state, State::Cancelled);
    poller.stop().await;
}

#[tokio::test]
async fn an_old_announcement_sends_an_ask_back_to_its_pace() {
    let world = World::new().await;
    let mut told = world.listen(ASK);
    let ids = world.order_by(None, &asks(MODELS[1], 1)).await;
    world.sql("update tasks set pace = 'now' where parent_id is not null").await;
    let poller = Poller::start(&world).await;
    world.announce(&ids, Kind::Ask).await;
    assert_eq!(told.next().await.id, ids[0]);
    let task = world.store.task(ids[0]).await.unwrap().unwrap();
    assert_eq!((task.state, task.pace), (State::Queued, Pace::Now));
    poller.stop().await;
}
