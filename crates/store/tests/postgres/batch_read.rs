//! Batches as people see them: pages that read no archive, what they cost, who waits for them, what their master wants.

use crate::{
    batch::{answered, close},
    fixture::Fixture,
};
use domain::{
    batch::{BatchState, CancelThen, ItemState},
    money::Nanos,
    task::State,
};
use serde_json::Value;
use std::time::Duration;
use store::{BatchFilter, CancelWish, JobEnd, Tally};
use uuid::Uuid;

/// Fills the archive: so many settled batches of each of three providers, every hundredth one failed.
async fn archive(fixture: &Fixture, batches: usize) {
    fixture
        .sql(&format!(
            "insert into batches (id, provider, state, items, bytes, submitted_at, ended_at, settled_at, cleaned_at, tally)
             select lpad(to_hex(n), 32, '0')::uuid, p, case when n % 100 = 0 then 'failed' else 'settled' end, 10, 1000,
                 now() - interval '2 hours', now() - interval '1 hour', now(), now(),
                 '{{\"counts\": {{\"succeeded\": 10}}, \"nanos\": 50, \"list_nanos\": 100}}'
             from generate_series(1, {batches}) n, lateral (select (array['anthropic', 'gemini', 'openai'])[n % 3 + 1] as p) q"
        ))
        .await;
    fixture.sql("analyze batches").await;
}

async fn pages(fixture: &Fixture, filter: &BatchFilter, limit: u16) -> Vec<Uuid> {
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = fixture.store.batch_list(filter, after, limit).await.unwrap();
        seen.extend(page.batches.iter().map(|batch| batch.id));
        match page.next {
            Some(next) => after = Some(next),
            None => return seen,
        }
    }
}

#[tokio::test]
async fn pages_hold_what_was_asked_for_newest_first() {
    let fixture = Fixture::new().await;
    archive(&fixture, 300).await;
    let (running, _) = fixture.running(2).await;
    let all = pages(&fixture, &BatchFilter::default(), 7).await;
    assert_eq!((all.len(), all[0]), (301, running.id));
    assert!(all.is_sorted_by(|one, next| one > next));
    let of = |provider: &str| BatchFilter { provider: Some(provider.to_owned()), ..BatchFilter::default() };
    assert_eq!(pages(&fixture, &of("anthropic"), 9).await.len(), 101);
    assert!(pages(&fixture, &of("없음"), 9).await.is_empty());
    let failed = BatchFilter { state: Some(BatchState::Failed), ..BatchFilter::default() };
    assert_eq!(pages(&fixture, &failed, 2).await.len(), 3);
    let failed = BatchFilter { state: Some(BatchState::Failed), ..of("anthropic") };
    assert_eq!(pages(&fixture, &failed, 2).await.len(), 1);
    for filter in [
        BatchFilter { live: true, ..BatchFilter::default() },
        BatchFilter { state: Some(BatchState::Running), ..of("anthropic") },
    ] {
        assert_eq!(pages(&fixture, &filter, 1).await, [running.id]);
    }
    let none = BatchFilter { live: true, state: Some(BatchState::Settled), ..BatchFilter::default() };
    assert!(pages(&fixture, &none, 1).await.is_empty());
    let nul = of("\0");
    assert!(fixture.store.batch_list(&nul, None, 1).await.is_err());
}

fn has_ended() -> JobEnd {
    JobEnd {
        remote_state: "ended".to_owned(),
        done: None,
        ended_at: None,
        output_file: None,
        error_file: None,
        note: None,
    }
}

/// How many rows of the batches a page of ten reads.
async fn rows_read(fixture: &Fixture, statement: &str, provider: &str, state: &str) -> u64 {
    let path = format!("{}/sql/{statement}.sql", env!("CARGO_MANIFEST_DIR"));
    let (client, _driver) = fixture.client().await;
    // As the store has its statements planned.
    let settings = include_str!("../../src/connect.rs").split("-c ").skip(1);
    for (name, value) in settings.filter_map(|text| text.split([' ', '"', ';']).next()?.split_once('=')) {
        client.batch_execute(&format!("set {name} = '{value}'")).await.unwrap();
    }
    client.batch_execute(&format!("prepare page as {}", std::fs::read_to_string(path).unwrap())).await.unwrap();
    let explain = format!("explain (analyze, format json) execute page (null, {provider}, {state}, 10)");
    let plan: Value = client.query_one(&explain, &[]).await.unwrap().get(0);
    fn sum(plan: &Value) -> u64 {
        let own = if plan["Relation Name"] == "batches" {
            let number = |key: &str| plan[key].as_f64().unwrap_or_default();
            let rows = number("Actual Rows") + number("Rows Removed by Filter");
            format!("{:.0}", rows * number("Actual Loops")).parse().unwrap()
        } else {
            0
        };
        own + plan["Plans"].as_array().into_iter().flatten().map(sum).sum::<u64>()
    }
    sum(&plan[0]["Plan"])
}

#[tokio::test]
async fn a_page_reads_no_more_than_a_page() {
    let fixture = Fixture::new().await;
    archive(&fixture, 30_000).await;
    for (statement, provider, state) in [
        ("batch_list", "null", "null"),
        ("batch_list", "'openai'", "null"),
        ("batch_list", "'nobody'", "null"),
        ("batch_list", "null", "'settled'"),
        ("batch_list", "'gemini'", "'settled'"),
        ("batch_list", "null", "'failed'"),
        ("batch_list_live", "null", "null"),
        ("batch_list_live", "'openai'", "'running'"),
    ] {
        let read = rows_read(&fixture, statement, provider, state).await;
        // Ten of each provider, some of them passed over, and the providers themselves.
        assert!((0..500).contains(&read), "{statement} {provider} {state}: {read}");
    }
}

#[tokio::test]
async fn a_batch_is_seen_with_its_asks_its_orders_and_its_money() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let claimed = [fixture.claimed(2).await, fixture.claimed(1).await].concat();
    fixture.collect(&claimed).await;

    let waiting = store.batch_waiting(None).await.unwrap();
    assert_eq!(waiting.len(), 1);
    let group = &waiting[0];
    assert_eq!(
        (group.grp.as_str(), group.items, group.bytes, group.estimate, group.flush),
        ("anthropic", 3, 300, Nanos(15_000), false)
    );
    assert_eq!(store.batch_waiting(Some("openai")).await.unwrap(), []);
    let waits = store.batch_waits(claimed[0].root_id, None).await.unwrap();
    assert_eq!(waits.iter().map(|wait| (wait.batch, wait.state.as_str())).collect::<Vec<_>>(), [(None, "queued"); 2]);
    assert_eq!(store.batch_flush(Some("openai")).await.unwrap(), []);
    assert_eq!(store.batch_flush(None).await.unwrap(), [("anthropic".to_owned(), 3)]);
    assert!(store.batch_waiting(Some("anthropic")).await.unwrap()[0].flush);
    assert!(store.batch_groups().await.unwrap()[0].flush, "the batch-poller sees it");

    // Told not to wait, the group closes before its window is over.
    let batch = store.batch_close(&close(Duration::from_secs(3_600))).await.unwrap().unwrap();
    let batch = store
        .batch_take("test", crate::fixture::LEASE, 9)
        .await
        .unwrap()
        .into_iter()
        .find(|one| one.id == batch.id)
        .unwrap();
    assert!(store.batch_intent(batch.id, batch.hold).await.unwrap());
    assert!(store.batch_created(batch.id, batch.hold, &crate::batch::created("remote-1")).await.unwrap());
    let view = store.batch_views(&[batch.id, Uuid::now_v7()]).await.unwrap().pop().unwrap();
    assert_eq!((view.state, view.items, view.remote_id.as_deref()), (BatchState::Running, 3, Some("remote-1")));
    assert_eq!(view.tally, Tally { counts: [(ItemState::Submitted, 3)].into(), ..Tally::default() });
    let waits = store.batch_waits(claimed[0].root_id, Some(claimed[0].id)).await.unwrap();
    assert_eq!((waits.len(), waits[0].batch, waits[0].state.as_str()), (1, Some(batch.id), "running"));

    let (orders, all) = store.batch_orders(batch.id, 1).await.unwrap();
    assert_eq!((orders.len(), all), (1, 2));
    assert_eq!(
        (orders[0].id, orders[0].items, orders[0].state),
        (claimed[0].root_id.min(claimed[2].root_id), 2, State::InProgress)
    );

    let ended = has_ended();
    assert!(store.batch_ended(batch.id, batch.hold, &ended).await.unwrap());
    store.batch_settle(batch.id, batch.hold, &[answered(0), answered(1)]).await.unwrap();
    let so_far = store.batch_views(&[batch.id]).await.unwrap().pop().unwrap().tally;
    assert_eq!(
        (so_far.nanos, so_far.list_nanos, so_far.counts[&ItemState::Succeeded]),
        (Nanos(1_000), Nanos(2_000), 2)
    );
    store.batch_settle(batch.id, batch.hold, &[answered(2)]).await.unwrap();
    assert!(store.batch_settled(batch.id, batch.hold).await.unwrap());
    let view = store.batch_views(&[batch.id]).await.unwrap().pop().unwrap();
    assert_eq!(
        (view.state, view.tally.nanos, view.tally.list_nanos),
        (BatchState::Settled, Nanos(1_500), Nanos(3_000))
    );
    // The order and its parts say the same of the money.
    let task = fixture.task(claimed[0].root_id).await;
    assert_eq!((task.nanos, task.list_nanos), (Nanos(1_000), Nanos(2_000)));
    let results = store.results(claimed[0].root_id).await.unwrap();
    assert_eq!(
        (results[0].nanos, results[0].list_nanos, results[1].list_nanos),
        (Nanos(1_000), Nanos(2_000), Nanos(1_000))
    );
    assert_eq!(store.batch_waits(claimed[0].root_id, None).await.unwrap(), []);
    let latency = store.batch_latency(&["anthropic".to_owned(), "openai".to_owned()]).await.unwrap();
    assert_eq!((latency.len(), latency["anthropic"].batches), (1, 1));
}

#[tokio::test]
async fn a_wish_to_cancel_is_noted_while_there_is_something_to_cancel() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    assert_eq!(store.batch_cancel_wish(Uuid::now_v7(), CancelThen::Now).await.unwrap(), CancelWish::Unknown);
    let (batch, _) = fixture.running(1).await;
    store.batch_release(batch.id, batch.hold, Duration::from_secs(600), None).await.unwrap();
    assert!(store.batch_take("test", crate::fixture::LEASE, 1).await.unwrap().is_empty());
    for then in [CancelThen::Now, CancelThen::Batch] {
        let noted = store.batch_cancel_wish(batch.id, then).await.unwrap();
        assert_eq!(noted, CancelWish::Noted(BatchState::Running));
        let view = store.batch_views(&[batch.id]).await.unwrap().pop().unwrap();
        assert_eq!((view.cancel_then, view.cancel_wanted_at.is_some()), (Some(then), true));
    }
    let taken = store.batch_take("test", crate::fixture::LEASE, 1).await.unwrap();
    assert_eq!((taken.len(), taken[0].cancel_then), (1, Some(CancelThen::Batch)), "it is due at once");
    let ended = has_ended();
    assert!(store.batch_ended(batch.id, taken[0].hold, &ended).await.unwrap());
    assert_eq!(
        store.batch_cancel_wish(batch.id, CancelThen::Now).await.unwrap(),
        CancelWish::TooLate(BatchState::Ended)
    );
}

#[tokio::test]
async fn a_row_that_cannot_be_read_does_not_take_the_others_with_it() {
    let fixture = Fixture::new().await;
    let (root, asks) = fixture.asks(2).await;
    let (batch, _) = fixture.running(1).await;
    archive(&fixture, 1).await;
    // What only a newer program, or a hand in the database, could have written.
    fixture.sql("alter table tasks drop constraint tasks_pace_check").await;
    fixture.sql("alter table batches drop constraint batches_state_check").await;
    fixture.sql(&format!("update tasks set pace = 'warp' where id = '{}'", asks[0])).await;
    fixture.sql(&format!("update batches set state = 'thinking' where id = '{}'", batch.id)).await;
    let store = &fixture.store;
    let filter = store::Filter::default();
    let page = store.list(&filter, None, 100).await.unwrap();
    assert!(page.tasks.iter().any(|task| task.id == asks[1]) && page.tasks.iter().all(|task| task.id != asks[0]));
    let first = store.list(&filter, Some(asks[1]), 1).await.unwrap();
    assert_eq!((first.tasks.len(), first.next), (0, Some(asks[0])), "the next page is still to be found");
    assert_eq!(store.tree(root).await.unwrap().len(), 2);
    assert_eq!(store.results(root).await.unwrap().len(), 2);
    assert_eq!(store.names(&asks).await.unwrap().len(), 1);
    assert_eq!(store.batch_list(&BatchFilter::default(), None, 10).await.unwrap().batches.len(), 1);
    assert_eq!(store.batch_views(&[batch.id]).await.unwrap().len(), 0);
    assert!(store.task(asks[0]).await.is_err(), "whoever asks for it alone is told");
}
