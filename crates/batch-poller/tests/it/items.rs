//! Item by item: every outcome that a provider has for one ask, among others that are well.

use crate::{
    poller::Poller,
    world::{ASK, MODELS, World, ask, asks, question},
};
use domain::{
    advance::{AskWork, Work},
    pace::Pace,
    task::{Cause, State},
};
use serde_json::json;

#[tokio::test]
async fn each_item_goes_its_own_way() {
    for model in MODELS {
        let world = World::new().await;
        let poller = Poller::start(&world).await;
        let once = |fault: &str| ask(model, &format!("후기를 요약하라. [[emulate: {fault}; times=1; key={fault}]]"));
        let mut works = asks(model, 3);
        works.extend(["item-missing", "item-expired", "item-cancelled", "500", "item-duplicate"].map(once));
        works.push(ask(model, "후기를 요약하라. [[emulate: 400]]"));
        let ids = world.order(&works).await;
        let tasks = world.ended(&ids).await;
        let (bad, good) = tasks.split_last().unwrap();
        assert!(good.iter().all(|task| task.state == State::Completed), "{model}: {good:#?}");
        let attempts: Vec<i32> = good.iter().map(|task| task.attempt).collect();
        assert_eq!(attempts, [1, 1, 1, 2, 2, 2, 2, 1], "{model}: only what failed was sent again");
        let failure = bad.failure.as_ref().unwrap();
        assert_eq!((bad.state, failure.cause), (State::Failed, Cause::Refused), "{model}: {failure:?}");
        world.done().await;
        world.audit().await;
        let resubmitted = "chavion_batch_poller_resubmitted_total";
        assert_eq!(poller.number(resubmitted, ""), 4, "{model}");
        assert_eq!(poller.number(resubmitted, "missing"), 1, "{model}");
        poller.stop().await;
    }
}

#[tokio::test]
async fn what_fails_in_every_batch_is_asked_at_pace_now_if_it_may() {
    let world = World::new().await;
    let mut told = world.listen(ASK);
    let poller = Poller::with(&world, &[("BATCH_TRIES", "2")]).await;
    let prompt = "후기를 요약하라. [[emulate: 500]]";
    let strict = Work::Ask(AskWork { fallback: false, ..question(MODELS[1], prompt) });
    let ids = world.order(&[ask(MODELS[1], prompt), strict]).await;
    let tasks = world.until(&ids, &[State::Queued, State::Failed]).await;
    let reason = tasks[0].pace_reason.clone().unwrap_or_default();
    testkit::until("both went their ways", || async {
        let now = world.store.task(ids[0]).await.unwrap().unwrap();
        now.pace == Pace::Now && world.store.task(ids[1]).await.unwrap().unwrap().state == State::Failed
    })
    .await;
    let tasks = [world.store.task(ids[0]).await.unwrap().unwrap(), world.store.task(ids[1]).await.unwrap().unwrap()];
    assert_eq!((tasks[0].state, tasks[0].attempt), (State::Queued, 2), "{reason}");
    assert!(tasks[0].pace_reason.as_deref().unwrap().contains("asked at now"), "{tasks:#?}");
    assert_eq!(told.next().await.id, ids[0]);
    assert_eq!(tasks[1].failure.as_ref().unwrap().cause, Cause::Exhausted);
    world.done().await;
    poller.stop().await;
    assert!(told.rest().await.is_empty());
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_asked_for_again_in_another_batch() {
    for model in MODELS {
        let world = World::new().await;
        let poller = Poller::start(&world).await;
        let schema = json!({
            "type": "object",
            "properties": {"요약": {"type": "string"}, "점수": {"type": "integer"}},
            "required": ["요약", "점수"],
            "additionalProperties": false
        });
        let work =
            |prompt: &str, retry| Work::Ask(AskWork { schema: Some(schema.clone()), retry, ..question(model, prompt) });
        let works = [
            work("후기를 요약하라.", 0),
            work("후기를 요약하라. [[emulate: misfit; times=1; key=하나]]", 1),
            work("후기를 요약하라. [[emulate: misfit]]", 1),
        ];
        let ids = world.order(&works).await;
        let tasks = world.ended(&ids).await;
        let seen: Vec<_> = tasks.iter().map(|task| (task.state, task.attempt, task.calls)).collect();
        let wanted = [(State::Completed, 1, 1), (State::Completed, 2, 2), (State::Failed, 2, 2)];
        assert_eq!(seen, wanted, "{model}: {tasks:#?}");
        assert_eq!(tasks[2].failure.as_ref().unwrap().cause, Cause::Misfit);
        let result = world.store.results(ids[1]).await.unwrap();
        assert!(result[0].result.as_ref().unwrap()["data"]["요약"].is_string());
        assert_eq!(poller.number("chavion_batch_poller_resubmitted_total", "misfit"), 2);
        world.done().await;
        world.audit().await;
        poller.stop().await;
    }
}

#[tokio::test]
async fn a_batch_that_ends_early_keeps_what_is_done_and_sends_the_rest_again() {
    for (model, fault) in [
        (MODELS[0], "batch-expired; done=50; times=1"),
        (MODELS[1], "batch-expired; done=50; silent=true; times=1"),
        (MODELS[2], "batch-expired; times=1"),
        (MODELS[1], "batch-cancelled; done=50; times=1"),
        (MODELS[2], "batch-cancelled; times=1"),
    ] {
        let world = World::new().await;
        world.fault(fault);
        let poller = Poller::start(&world).await;
        let ids = world.order(&asks(model, 10)).await;
        let tasks = world.ended(&ids).await;
        assert!(tasks.iter().all(|task| (task.state, task.calls) == (State::Completed, 1)), "{fault}: {tasks:#?}");
        let again = tasks.iter().filter(|task| task.attempt == 2).count();
        assert!(again > 0 && (model == MODELS[2] || again < 10), "{fault}: {again} again");
        world.done().await;
        world.audit().await;
        poller.stop().await;
    }
}

#[tokio::test]
async fn a_batch_that_is_refused_after_its_create() {
    // The provider's queue is full: later the same batch is taken.
    let world = World::new().await;
    world.fault("batch-failed; type=token_limit_exceeded; times=1");
    let poller = Poller::start(&world).await;
    let ids = world.order(&asks(MODELS[1], 4)).await;
    let tasks = world.ended(&ids).await;
    assert!(tasks.iter().all(|task| (task.state, task.attempt) == (State::Completed, 1)), "{tasks:#?}");
    assert_eq!(world.count("select max(submission)::bigint from batches").await, 2);

    // One line is at fault: it fails with the provider's reason, the others go again without it.
    world.fault("batch-failed; type=invalid_json_line; line=2; times=1");
    let ids = world.order(&asks(MODELS[1], 4)).await;
    let tasks = world.ended(&ids).await;
    assert_eq!(tasks.iter().filter(|task| task.state == State::Completed).count(), 3, "{tasks:#?}");
    let bad = tasks.iter().find(|task| task.state == State::Failed).unwrap();
    assert_eq!(bad.failure.as_ref().unwrap().cause, Cause::Refused);

    // Nobody can say who is at fault: it is halved until each is alone, and those are asked at once.
    world.fault("batch-failed; type=url_mismatch");
    let ids = world.order(&asks(MODELS[1], 2)).await;
    let tasks = world.elsewhere(&ids).await;
    assert!(tasks.iter().all(|task| task.pace == Pace::Now && task.pace_reason.is_some()), "{tasks:#?}");
    world.done().await;
    world.audit().await;
    poller.stop().await;
}
