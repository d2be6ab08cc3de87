//! Batches that a provider does not take: for what is in them, for want of money or of a good key, or not just now.

use crate::{
    poller::Poller,
    world::{ASK, MODELS, World, ask, asks, question},
};
use domain::{
    advance::{AskWork, Work},
    pace::Pace,
    task::{Cause, HeldFor, Kind, State},
};
use serde_json::json;

/// Asks that may go to two providers.
fn either(count: usize) -> Vec<Work> {
    let models = vec![MODELS[1].to_owned(), MODELS[0].to_owned()];
    let one = |number| AskWork {
        models: models.clone(),
        ..question(MODELS[1], &format!("후기 {number}번을 요약하라."))
    };
    (0..count).map(|number| Work::Ask(one(number))).collect()
}

#[tokio::test]
async fn a_provider_that_cannot_serve_sends_the_asks_of_its_batch_to_their_next_model() {
    for fault in ["insufficient-quota; at=create; times=1", "insufficient-quota; at=upload; times=1"] {
        let world = World::new().await;
        world.fault(fault);
        let poller = Poller::start(&world).await;
        let ids = world.order(&either(3)).await;
        let tasks = world.ended(&ids).await;
        assert!(tasks.iter().all(|task| (task.state, task.attempt) == (State::Completed, 2)), "{fault}: {tasks:#?}");
        assert!(tasks.iter().all(|task| task.pace == Pace::Batch && task.model.as_deref() == Some(MODELS[0])));
        assert_eq!(world.count("select count(*) from tasks where holds = 1").await, 3, "no attempt was in vain");
        assert_eq!(world.count("select count(*) from blackouts where provider = 'openai'").await, 1);
        world.done().await;
        world.audit().await;
        poller.stop().await;
    }
}

#[tokio::test]
async fn a_batch_that_is_closed_does_not_wait_for_the_end_of_a_blackout() {
    let world = World::new().await;
    let poller = Poller::with(&world, &[("BATCH_WINDOW_SECONDS", "3600")]).await;
    let ids = world.order(&either(2)).await;
    testkit::until("they wait for a batch", || async {
        world.count("select count(*) from batch_items where state = 'queued'").await == 2
    })
    .await;
    world.store.blackout_put("openai", "quota", "쓸 돈이 없다").await.unwrap();
    poller.stop().await;
    let poller = Poller::start(&world).await;
    let tasks = world.ended(&ids).await;
    assert!(tasks.iter().all(|task| task.model.as_deref() == Some(MODELS[0])), "{tasks:#?}");
    world.done().await;
    world.audit().await;
    poller.stop().await;
}

#[tokio::test]
async fn a_batch_that_is_refused_for_what_is_in_it_is_halved_until_that_is_alone() {
    for (model, fault) in [(MODELS[0], "413; at=create; match=나쁜"), (MODELS[1], "400; at=create; match=나쁜")] {
        let world = World::new().await;
        world.fault(fault);
        let mut told = world.listen(ASK);
        // The fault looks at the first item of a batch: all are there when the poller comes, and are taken in one slice.
        let works: Vec<Work> = std::iter::once(ask(model, "나쁜 물음이다.")).chain(asks(model, 8)).collect();
        let ids = world.order(&works).await;
        let poller = Poller::start(&world).await;
        let bad = world.elsewhere(&ids[..1]).await;
        assert!(bad[0].pace_reason.as_deref().unwrap().starts_with("batch: "), "{bad:#?}");
        let good = world.ended(&ids[1..]).await;
        assert!(good.iter().all(|task| (task.state, task.attempt) == (State::Completed, 1)), "{good:#?}");
        world.done().await;
        world.audit().await;
        assert_eq!(told.next().await.id, ids[0]);
        assert!(told.rest().await.is_empty(), "nobody else is asked at the full price");
        // 9, 5, 3, 2 and the one.
        assert_eq!(world.count("select count(*) from batches where state = 'failed'").await, 5);
        assert_eq!(poller.number("chavion_batch_poller_halved_total", ""), 4);
        poller.stop().await;
    }
}

#[tokio::test]
async fn what_is_refused_alone_fails_when_it_may_not_be_asked_at_once() {
    let world = World::new().await;
    world.fault("400; at=create");
    let poller = Poller::start(&world).await;
    let works: Vec<Work> = (0..3)
        .map(|number| {
            Work::Ask(AskWork {
                fallback: false, ..question(MODELS[1], &format!("후기 {number}번을 요약하라."))
            })
        })
        .collect();
    let tasks = world.ended(&world.order(&works).await).await;
    assert!(tasks.iter().all(|task| task.failure.as_ref().unwrap().cause == Cause::Refused), "{tasks:#?}");
    world.done().await;
    poller.stop().await;
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_not_sent() {
    for model in [MODELS[0], MODELS[1]] {
        let world = World::new().await;
        world.fault(if model == MODELS[0] {
            "429; at=create; retry-after=60; times=1"
        } else {
            "429; at=upload; retry-after=60; times=1"
        });
        let poller = Poller::start(&world).await;
        let ids = world.order(&asks(model, 6)).await;
        testkit::until("the batch waits", || async {
            world.count("select count(*) from batches where note is not null and worker is null").await == 1
        })
        .await;
        for id in &ids[..2] {
            world.store.cancel(*id, "그만").await.unwrap();
        }
        world.a_minute_later().await;
        assert!(world.ended(&ids[2..]).await.iter().all(|task| task.state == State::Completed));
        world.done().await;
        assert_eq!(world.count("select items::bigint from batches").await, 4);
        assert_eq!(
            world.count("select count(*) from batch_items where state = 'cancelled' and batch_id is null").await,
            2
        );
        assert_eq!(world.emulator.ledger().requests.len(), 4, "what was cancelled is not paid for");
        world.audit().await;
        poller.stop().await;
    }
}

#[tokio::test]
async fn a_line_at_fault_is_found_although_others_were_taken_out() {
    let world = World::new().await;
    world.fault("429; at=upload; retry-after=60; times=1");
    world.fault("batch-failed; type=invalid_json_line; line=2; times=1");
    let poller = Poller::start(&world).await;
    let ids = world.order(&asks(MODELS[1], 4)).await;
    testkit::until("the batch waits", || async {
        world.count("select count(*) from batches where note is not null and worker is null").await == 1
    })
    .await;
    let query = "select task_id::text from batch_items order by seq";
    let order: Vec<uuid::Uuid> = world.texts(query).await.iter().map(|id| id.parse().unwrap()).collect();
    world.store.cancel(order[0], "그만").await.unwrap();
    world.a_minute_later().await;
    let rest = world.ended(&order[1..]).await;
    let states: Vec<State> = rest.iter().map(|task| task.state).collect();
    assert_eq!(states, [State::Completed, State::Failed, State::Completed], "the second line is the third item");
    assert_eq!(ids.len(), order.len());
    world.done().await;
    poller.stop().await;
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_not_asked_for_again_without_money() {
    let world = World::new().await;
    world
        .sql(
            "insert into budgets (scope, name, period, limit_nanos) values ('provider', 'openai', 'total', 1000000000)",
        )
        .await;
    let poller = Poller::start(&world).await;
    let schema = json!({"type": "object", "properties": {"요약": {"type": "string"}}, "required": ["요약"]});
    let prompt = "후기를 요약하라. [[emulate: misfit; times=1; key=하나]]";
    let work = AskWork { schema: Some(schema), retry: 1, ..question(MODELS[1], prompt) };
    // There is money for the question, and none for a second one; until that is so nobody hears that it has ended.
    world.fault("503; at=status");
    let ids = world.order(&[Work::Ask(work)]).await;
    testkit::until("it is sent", || async {
        world.count("select count(*) from batch_items where state = 'submitted'").await == 1
    })
    .await;
    world.sql("update budgets set limit_nanos = reserved_nanos where reserved_nanos > 0").await;
    world.emulator.clear_faults();
    let tasks = world.until(&ids, &[State::Held, State::Completed]).await;
    assert_eq!((tasks[0].state, tasks[0].held_for), (State::Held, Some(HeldFor::Budget)), "{tasks:#?}");
    assert_eq!(tasks[0].held_provider.as_deref(), Some("openai"));
    assert_eq!(world.count("select reserved_nanos from budgets").await, 0);
    assert_eq!(world.count("select spent_nanos from budgets").await, world.count("select nanos from charges").await);
    assert_eq!(world.count("select count(*) from batch_items where state in ('queued', 'submitted')").await, 0);

    world.sql("update budgets set limit_nanos = 1000000000").await;
    assert_eq!(world.store.unhold(&store::Release::Budgets).await.unwrap().len(), 1);
    world.announce(&ids, Kind::Ask).await;
    assert_eq!(world.ended(&ids).await[0].state, State::Completed);
    world.done().await;
    world.audit().await;
    poller.stop().await;
}

#[tokio::test]
async fn a_provider_that_hangs_holds_nobody_else_up() {
    let world = World::new().await;
    world.fault("slow; ms=120000; at=status; provider=anthropic");
    let poller = Poller::with(&world, &[("BATCH_WINDOW_SECONDS", "0")]).await;
    for number in 0..5 {
        world.order(&asks(MODELS[0], 1)).await;
        testkit::until("it is a batch", || async { world.count("select count(*) from batches").await == number + 1 })
            .await;
    }
    let ids = world.order(&asks(MODELS[1], 2)).await;
    assert!(world.ended(&ids).await.iter().all(|task| task.state == State::Completed));
    poller.kill().await;
}

#[tokio::test]
async fn a_provider_that_forgets_a_batch_for_a_moment_keeps_it() {
    let world = World::new().await;
    // Long enough for the poller to ask twice more after the faults are scripted, also on a busy machine.
    world.fault("batch-slow; ms=8000");
    // Long after the create.
    let poller = Poller::with(&world, &[("BATCH_POLL_SECONDS", "0.1")]).await;
    let ids = world.order(&asks(MODELS[1], 2)).await;
    testkit::until("it runs for a while", || async {
        let old = "select count(*) from batches where state = 'running' and submitted_at < now() - interval '1.5 s'";
        world.count(old).await == 1
    })
    .await;
    world.fault("404; at=status; times=2");
    testkit::until("it is not known", || async {
        world.count("select count(*) from batches where unknown_since is not null").await == 1
    })
    .await;
    let tasks = world.ended(&ids).await;
    assert!(tasks.iter().all(|task| (task.state, task.attempt) == (State::Completed, 1)), "{tasks:#?}");
    world.done().await;
    assert_eq!(world.count("select count(*) from batches where unknown_since is null").await, 1);
    world.audit().await;
    poller.stop().await;
}
