//! Batches in hand: taken, submitted, polled, and what is due next. Whoever lost one writes nothing to it.

use crate::{
    batch::{LONG, NONE, answered, close, created, item},
    fixture::{Fixture, LEASE},
};
use domain::batch::{BatchState, CancelThen};
use futures_util::TryStreamExt;
use std::collections::HashSet;
use store::{JobEnd, NewItem, Polled};
use time::OffsetDateTime;
use uuid::Uuid;

#[tokio::test]
async fn a_batch_is_taken_by_one_worker_whose_lease_and_hold_decide() {
    let fixture = Fixture::new().await;
    let (batch, _) = fixture.closed(1).await;
    let store = &fixture.store;
    let first = store.batch_take("하나", LEASE, 10).await.unwrap().remove(0);
    assert_eq!((first.id, first.hold), (batch.id, 1));
    assert!(store.batch_take("둘", LEASE, 10).await.unwrap().is_empty());
    assert_eq!(store.batch_keep("하나", &[(batch.id, 1)], LEASE).await.unwrap(), [batch.id]);
    assert!(store.batch_keep("둘", &[(batch.id, 1)], LEASE).await.unwrap().is_empty());
    assert!(store.batch_keep("하나", &[], LEASE).await.unwrap().is_empty());
    fixture.sql("update batches set lease_until = now() - interval '1 s'").await;
    let second = store.batch_take("둘", LEASE, 10).await.unwrap().remove(0);
    assert_eq!(second.hold, 2);
    assert!(store.batch_keep("하나", &[(batch.id, 1)], LEASE).await.unwrap().is_empty());
    // Released, it is due when it says.
    assert!(!store.batch_release(batch.id, 1, NONE, None).await.unwrap());
    assert!(store.batch_release(batch.id, 2, LONG, Some("기다린다")).await.unwrap());
    assert!(store.batch_take("하나", LEASE, 10).await.unwrap().is_empty());
    fixture.sql("update batches set due_at = now()").await;
    let third = store.batch_take("하나", LEASE, 10).await.unwrap().remove(0);
    assert_eq!((third.hold, third.note.as_deref()), (3, Some("기다린다")));
    assert!(store.batch_release(batch.id, 3, NONE, None).await.unwrap());
    let fourth = store.batch_take("하나", LEASE, 10).await.unwrap().remove(0);
    assert_eq!((fourth.hold, fourth.note.as_deref()), (4, Some("기다린다")), "no note leaves the last one");
}

#[tokio::test]
async fn a_batch_that_somebody_asked_for_while_it_was_in_hand_is_due_again_at_once() {
    let fixture = Fixture::new().await;
    let (batch, _) = fixture.running(1).await;
    fixture.store.batch_cancel_wish(batch.id, CancelThen::Now).await.unwrap();
    assert!(fixture.store.batch_release(batch.id, batch.hold, LONG, None).await.unwrap());
    let again = fixture.store.batch_take("test", LEASE, 10).await.unwrap().remove(0);
    assert_eq!((again.hold, again.cancel_then), (batch.hold + 1, Some(CancelThen::Now)));
    assert!(again.cancel_wanted_at.is_some());
    assert!(fixture.store.batch_release(batch.id, again.hold, LONG, None).await.unwrap());
    assert!(fixture.store.batch_take("test", LEASE, 10).await.unwrap().is_empty(), "once is enough");
}

#[tokio::test]
async fn whoever_lost_a_batch_writes_nothing_to_it() {
    let fixture = Fixture::new().await;
    let (batch, _) = fixture.running(1).await;
    let before: String = fixture.value("select b::text from batches b").await;
    let (id, old, store) = (batch.id, batch.hold - 1, &fixture.store);
    assert!(!store.batch_uploaded(id, old, "file").await.unwrap());
    assert!(!store.batch_intent(id, old).await.unwrap());
    assert!(!store.batch_withdraw(id, old).await.unwrap());
    assert!(!store.batch_created(id, old, &created("other")).await.unwrap());
    assert!(!store.batch_resubmit(id, old, "다시").await.unwrap());
    assert!(!store.batch_polled(id, old, &Polled::default()).await.unwrap());
    assert!(!store.batch_ended(id, old, &JobEnd::default()).await.unwrap());
    assert!(!store.batch_settled(id, old).await.unwrap());
    assert!(!store.batch_failed(id, old, "실패").await.unwrap());
    assert!(!store.batch_cleaned(id, old).await.unwrap());
    assert!(!store.batch_release(id, old, NONE, None).await.unwrap());
    assert!(store.batch_settle(id, old, &[answered(0)]).await.unwrap().is_empty());
    assert_eq!(fixture.value::<String>("select b::text from batches b").await, before);
    assert_eq!(fixture.count("charges").await, 0);
}

#[tokio::test]
async fn a_batch_is_submitted_step_by_step_and_each_step_may_be_repeated() {
    let fixture = Fixture::new().await;
    let (batch, _) = fixture.closed(2).await;
    let store = &fixture.store;
    let row = store.batch_take("test", LEASE, 1).await.unwrap().remove(0);
    let (id, hold) = (row.id, row.hold);
    assert!(!store.batch_polled(id, hold, &Polled::default()).await.unwrap(), "it does not run yet");
    for _ in 0..2 {
        assert!(store.batch_uploaded(id, hold, "file-1").await.unwrap());
        assert!(store.batch_intent(id, hold).await.unwrap());
    }
    assert!(store.batch_withdraw(id, hold).await.unwrap());
    assert_eq!(fixture.count("batches where intent_at is null and input_file = 'file-1'").await, 1);
    assert!(store.batch_intent(id, hold).await.unwrap());
    let adopted = created("msgbatch_1");
    assert!(store.batch_created(id, hold, &adopted).await.unwrap());
    assert!(!store.batch_created(id, hold, &adopted).await.unwrap(), "it runs already");
    assert!(!store.batch_withdraw(id, hold).await.unwrap() && !store.batch_intent(id, hold).await.unwrap());
    assert!(store.batch_resubmit(id, hold, "없었다").await.unwrap());
    let fresh = "batches where submission = 2 and state = 'submitting' and intent_at is null and input_file is null
        and remote_id is null and note = '없었다'";
    assert_eq!(fixture.count(fresh).await, 1);
    assert!(store.batch_created(id, hold, &created("msgbatch_2")).await.unwrap());
    let polled = Polled {
        remote_state: "in_progress".to_owned(),
        done: Some(1),
        output_file: Some("out".to_owned()),
        ..Polled::default()
    };
    assert!(store.batch_polled(id, hold, &polled).await.unwrap());
    let end = JobEnd { remote_state: "ended".to_owned(), error_file: Some("err".to_owned()), ..JobEnd::default() };
    assert!(store.batch_ended(id, hold, &end).await.unwrap());
    assert!(!store.batch_ended(id, hold, &end).await.unwrap());
    assert!(store.batch_release(id, hold, NONE, None).await.unwrap());
    let row = store.batch_take("test", LEASE, 1).await.unwrap().remove(0);
    assert_eq!((row.state, row.done_items, row.submission), (BatchState::Ended, Some(1), 2));
    assert_eq!((row.output_file.as_deref(), row.error_file.as_deref()), (Some("out"), Some("err")));
    assert!(row.ended_at.is_some() && row.submitted_at.is_some() && row.now >= row.created_at);
    assert_eq!(row.id, batch.id);
}

#[tokio::test]
async fn a_name_at_a_provider_belongs_to_one_batch_of_ours() {
    let fixture = Fixture::new().await;
    let (first, _) = fixture.running(1).await;
    let (second, _) = fixture.closed(1).await;
    let store = &fixture.store;
    let row = store.batch_take("test", LEASE, 10).await.unwrap().remove(0);
    assert_eq!(row.id, second.id);
    let taken = format!("remote-{}", first.id.simple());
    assert!(!store.batch_created(row.id, row.hold, &created(&taken)).await.unwrap());
    let hour = time::Duration::hours(1);
    let now = OffsetDateTime::now_utc();
    assert_eq!(store.batch_remotes("anthropic", now).await.unwrap(), HashSet::from([taken.clone()]), "it runs");
    assert!(store.batch_remotes("openai", now - hour).await.unwrap().is_empty());
    fixture.sql("update batches set ended_at = now(), cleaned_at = now() where remote_id is not null").await;
    assert_eq!(store.batch_remotes("anthropic", now - hour).await.unwrap(), HashSet::from([taken]));
    assert!(store.batch_remotes("anthropic", now + hour).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_due_next_is_known_without_looking_at_everything() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let due = async |window| store.batch_next_due(window).await.unwrap();
    assert_eq!(due(NONE).await, None);
    let claimed = fixture.claimed(1).await;
    fixture.collect(&claimed).await;
    assert_eq!(due(NONE).await, Some(NONE), "the window is over");
    let wait = due(LONG).await.unwrap();
    assert!(wait <= LONG && wait > LONG / 2, "{wait:?}");
    fixture.sql("update batch_items set flush = true").await;
    assert_eq!(due(LONG).await, Some(NONE), "it is to be sent now");
    let batch = store.batch_close(&close(NONE)).await.unwrap().unwrap();
    assert_eq!(due(LONG).await, Some(NONE), "a batch is due");
    let hold = store.batch_take("test", LEASE, 1).await.unwrap().remove(0).hold;
    let wait = due(LONG).await.unwrap();
    assert!(wait <= LEASE && wait > LEASE / 2, "{wait:?}: when its holder has died");
    store.batch_release(batch.id, hold, LONG, None).await.unwrap();
    let wait = due(LONG).await.unwrap();
    assert!(wait <= LONG && wait > LEASE, "{wait:?}");
    fixture.sql("update batch_items set give_up_at = now()").await;
    assert_eq!(due(LONG).await, Some(NONE), "an item is to be given up");
    fixture.sql("update batch_items set abandoned_at = now()").await;
    assert!(due(LONG).await.unwrap() > LEASE);
    fixture.sql("update batches set cleaned_at = now()").await;
    assert_eq!(due(LONG).await, None);
}

#[tokio::test]
async fn requests_are_read_in_pages_of_any_size_and_as_one_stream() {
    let fixture = Fixture::new().await;
    let claimed = fixture.claimed(250).await;
    let mut items: Vec<NewItem> = claimed.iter().map(item).collect();
    for (place, item) in items.iter_mut().enumerate() {
        item.body = format!("{{\"차례\":{place}}}");
        // One of them alone is larger than a page.
        item.bytes = if place == 7 { 3 << 20 } else { 20_000 };
    }
    fixture.store.batch_collect("test", &items).await.unwrap();
    let batch = fixture.store.batch_close(&close(NONE)).await.unwrap().unwrap();
    let store = &fixture.store;
    let expected: Vec<(i32, String)> = (0..250).map(|seq| (seq, format!("{{\"차례\":{seq}}}"))).collect();
    for (limit, bytes) in [(1, i64::MAX), (7, i64::MAX), (1_000, 100_000), (1_000, 1), (1_000, i64::MAX)] {
        let (mut read, mut after) = (Vec::new(), -1);
        loop {
            let page = store.batch_lines(batch.id, after, limit, bytes).await.unwrap();
            let Some(last) = page.last() else { break };
            after = last.0;
            assert!(page.len() == 1 || i64::try_from(page.len()).unwrap() * 20_000 <= bytes, "{bytes}");
            read.extend(page);
        }
        assert_eq!(read, expected);
    }
    assert_eq!(store.batch_stream(batch.id).try_collect::<Vec<_>>().await.unwrap(), expected);
    assert!(store.batch_stream(Uuid::now_v7()).try_collect::<Vec<_>>().await.unwrap().is_empty());
}
