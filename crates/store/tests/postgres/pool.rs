//! The pool: what it does when the server is not there, goes away, and comes back.

use crate::fixture::{Fixture, new_task};
use prometheus::{Encoder, Registry, TextEncoder};
use std::time::Duration;
use store::{Accepted, Error, Options, Store};
use tokio::task::JoinSet;

#[tokio::test]
async fn a_server_that_is_not_there_is_a_transient_error_and_the_start_does_not_need_it() {
    let options = Options {
        url: "postgres://nobody:hunter2@127.0.0.1:1/none".into(),
        max_connections: 2,
        application_name: "test".to_owned(),
    };
    let store = Store::connect(&options, &Registry::new()).unwrap();
    let error = store.ping().await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(error.class(), "connection");
    assert!(!format!("{error} {error:?} {store:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_wrong_database_is_an_error_that_waiting_does_not_heal() {
    let fixture = Fixture::empty(1).await;
    let url = fixture.database.url.replacen("/postgres", "/there_is_no_such_database", 1);
    let options = Options { url: url.into(), max_connections: 1, application_name: "test".to_owned() };
    let error = Store::connect(&options, &Registry::new()).unwrap().ping().await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
}

#[tokio::test]
async fn connections_that_the_server_drops_are_replaced() {
    let fixture = Fixture::with_connections(4).await;
    let kill = format!(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity
         where application_name = '{}' and pid <> pg_backend_pid()",
        fixture.database.schema
    );
    for _ in 0..5 {
        let mut calls = JoinSet::new();
        for _ in 0..4 {
            let store = fixture.store.clone();
            calls.spawn(async move { store.counts().await });
        }
        assert!(fixture.value::<i64>(&kill).await > 0);
        for answer in calls.join_all().await {
            assert!(answer.as_ref().err().is_none_or(Error::is_transient), "{answer:?}");
        }
        testkit::until("the store serves again", || async { fixture.store.ping().await.is_ok() }).await;
    }
    // In the middle of an advance: the transaction is lost, the order is not.
    let root = fixture.order().await;
    let advance = fixture.store.begin(&[root], &[]).await.unwrap();
    assert!(fixture.value::<i64>(&kill).await > 0);
    let error = advance.commit(&[store::Write::Start(root)]).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    testkit::until("the store serves again", || async { fixture.store.ping().await.is_ok() }).await;
    assert_eq!(fixture.state(root).await, domain::task::State::Pending);
    let again = fixture.store.begin(&[root], &[]).await.unwrap();
    again.commit(&[store::Write::Start(root)]).await.unwrap();
    assert_eq!(fixture.state(root).await, domain::task::State::InProgress);
}

#[tokio::test]
async fn a_call_that_is_given_up_half_way_harms_no_other() {
    let fixture = Fixture::with_connections(1).await;
    let root = fixture.order().await;
    let mut given_up = 0;
    for round in 0..200_u32 {
        let patience = Duration::from_micros(u64::from(round % 50) * 40);
        let work = async {
            let advance = fixture.store.begin(&[root], &[]).await.unwrap();
            advance.commit(&[]).await.unwrap();
        };
        if tokio::time::timeout(patience, work).await.is_err() {
            given_up += 1;
        }
        assert_eq!(fixture.store.tree(root).await.unwrap().len(), 1);
    }
    assert!(given_up > 0);
    let locks = "select count(*) from pg_locks l join pg_class c on c.oid = l.relation
        where c.relnamespace = current_schema()::regnamespace and l.mode = 'RowShareLock'";
    testkit::until("no transaction is left open", || async { fixture.value::<i64>(locks).await == 0 }).await;
}

#[tokio::test]
async fn the_session_is_set_up_and_the_urls_own_options_are_kept() {
    let fixture = Fixture::new().await;
    // The schema of the test's URL is in use, or none of this would work.
    assert_eq!(fixture.store.accept(&new_task("설정")).await.unwrap(), Accepted::Created);
    let activity =
        format!("select count(*) from pg_stat_activity where application_name = '{}'", fixture.database.schema);
    assert!(fixture.value::<i64>(&activity).await > 0);
}

#[tokio::test]
async fn metrics_name_the_pool_the_statements_and_the_errors() {
    let fixture = Fixture::empty(3).await;
    let registry = Registry::new();
    let options = Options {
        url: fixture.database.url.clone().into(),
        max_connections: 3,
        application_name: "metrics".to_owned(),
    };
    let store = Store::connect(&options, &registry).unwrap();
    store.migrate().await.unwrap();
    let (root, ..) = (new_task("없는 플레이북").id, ());
    store.begin(&[root], &[]).await.unwrap().commit(&[]).await.unwrap();
    assert!(store.key_revoke(root).await.is_ok());
    assert!(Store::connect(&options, &registry).is_err(), "a registry holds one store");
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    for line in [
        "chavion_store_pool_connections 1",
        "chavion_store_pool_waiting 0",
        "chavion_store_statement_duration_seconds_count{statement=\"advance_begin\"} 1",
        "chavion_store_statement_duration_seconds_count{statement=\"advance_commit\"} 1",
        "chavion_store_statement_duration_seconds_count{statement=\"key_revoke\"} 1",
        "chavion_store_errors_total{class=\"connection\"} 0",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}
