//! The schema and the statements: they fit each other, and the way in is one-way.

use crate::fixture::{Fixture, completed, connect};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};
use store::Error;
use tokio::task::JoinSet;

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Every source of the crate, those in folders included.
fn sources() -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = files("src");
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            found.push(fs::read_to_string(path).unwrap());
        }
    }
    found
}

fn stem(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}

#[tokio::test]
async fn migrations_apply_to_an_empty_schema_and_only_once() {
    let fixture = Fixture::empty(2).await;
    assert!(matches!(fixture.store.check_version().await, Err(Error::Version { found: 0, .. })));
    let first = fixture.store.migrate().await.unwrap();
    let expected: Vec<_> = files("migrations").iter().map(|path| stem(path).to_owned()).collect();
    assert_eq!(first.names, expected);
    let second = fixture.store.migrate().await.unwrap();
    assert!(second.names.is_empty());
    assert_eq!(second.version, first.version);
    fixture.store.check_version().await.unwrap();
}

#[tokio::test]
async fn replicas_that_migrate_at_once_apply_each_migration_once() {
    let fixture = Fixture::empty(8).await;
    let mut replicas = JoinSet::new();
    for _ in 0..8 {
        let store = fixture.store.clone();
        replicas.spawn(async move { store.migrate().await.unwrap().names.len() });
    }
    assert_eq!(replicas.join_all().await.iter().sum::<usize>(), files("migrations").len());
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_named() {
    let fixture = Fixture::new().await;
    fixture.sql("insert into schema_migrations (version, name, checksum) values (7777, '7777_later', 'x')").await;
    for refused in [fixture.store.migrate().await.map(|_| ()), fixture.store.check_version().await] {
        let error = refused.unwrap_err();
        assert!(!error.is_transient());
        let text = error.to_string();
        assert!(text.contains("7777") && text.contains("newer program"), "{text}");
    }
    assert_eq!(fixture.value::<i64>("select count(*) from tasks").await, 0);
}

#[tokio::test]
async fn a_schema_made_by_other_migrations_is_refused() {
    let fixture = Fixture::new().await;
    fixture.sql("update schema_migrations set checksum = 'other' where version = 1").await;
    assert!(matches!(fixture.store.migrate().await, Err(Error::Changed { version: 1 })));
    assert!(matches!(fixture.store.check_version().await, Err(Error::Changed { version: 1 })));
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_behind() {
    let fixture = Fixture::empty(2).await;
    // Something of that name is in the way of the first migration's last table.
    fixture.sql("create table idempotency (x int)").await;
    assert!(fixture.store.migrate().await.is_err());
    assert!(fixture.value::<bool>("select to_regclass('tasks') is null").await);
    fixture.sql("drop table idempotency").await;
    assert!(!fixture.store.migrate().await.unwrap().names.is_empty());
}

#[tokio::test]
async fn every_statement_prepares_against_the_schema() {
    let fixture = Fixture::new().await;
    let (client, _driver) = fixture.client().await;
    for path in files("sql") {
        let prepared = client.prepare(&fs::read_to_string(&path).unwrap()).await;
        assert!(prepared.is_ok(), "{}: {:?}", path.display(), prepared.err());
    }
}

/// Statements are planned once, in whatever state the tables are then. A plan made over few rows must not read them
/// all, for it is used when there are many.
#[tokio::test]
async fn no_plan_reads_a_whole_table_however_small_it_was_when_planned() {
    let settings: Vec<&str> = include_str!("../../src/connect.rs")
        .split("-c ")
        .skip(1)
        .filter_map(|text| text.split([' ', '"', ';']).next())
        .filter(|setting| setting.contains('='))
        .collect();
    assert!(settings.len() > 5, "{settings:?}");
    let fixture = Fixture::new().await;
    for orders in [0, 5, 40] {
        for _ in 0..orders {
            let (_, ids) = fixture.asks(3).await;
            let outcomes: Vec<_> = fixture.claim(&ids).await.iter().map(completed).collect();
            fixture.store.finish(&outcomes).await.unwrap();
            // One rides, one waits.
            fixture.running(1).await;
            fixture.collect(&fixture.claimed(1).await).await;
        }
        if orders > 0 {
            fixture
                .sql("analyze tasks, charges, reports, idempotency, playbooks, agents, api_keys, batches, batch_items")
                .await;
        }
        let (client, _driver) = fixture.client().await;
        for setting in &settings {
            let (name, value) = setting.split_once('=').unwrap();
            client.batch_execute(&format!("set {name} = '{value}'")).await.unwrap();
        }
        for path in files("sql") {
            let name = stem(&path);
            if name.starts_with("schema_") {
                continue;
            }
            client.batch_execute(&format!("prepare {name} as {}", fs::read_to_string(&path).unwrap())).await.unwrap();
            let count: i32 = client
                .query_one("select cardinality(parameter_types) from pg_prepared_statements where name = $1", &[&name])
                .await
                .unwrap()
                .get(0);
            let nulls = vec!["null"; usize::try_from(count).unwrap()].join(", ");
            let nulls = if nulls.is_empty() { nulls } else { format!("({nulls})") };
            let row = client.query_one(&format!("explain (format json) execute {name}{nulls}"), &[]).await.unwrap();
            let plan: Value = row.get(0);
            let mut wide = Vec::new();
            wide_scans(&plan[0]["Plan"], &mut wide);
            // A page of a list walks an index from its end, as far as the page goes.
            wide.retain(|(_, index)| {
                !(name.starts_with("task_list") && ["tasks_pkey", "tasks_roots"].contains(&index.as_str()))
            });
            assert!(wide.is_empty(), "{name} with {orders} orders: {wide:?}\n{plan:#}");
        }
    }
}

/// Gathers the scans of the tables that grow which go by no key.
fn wide_scans(plan: &Value, found: &mut Vec<(String, String)>) {
    let text = |key: &str| plan[key].as_str().unwrap_or_default().to_owned();
    let by_key = plan.get("Index Cond").is_some() || text("Node Type") == "Bitmap Heap Scan";
    let (table, index) = (text("Relation Name"), text("Index Name"));
    let grows = ["tasks", "charges", "reports", "idempotency", "batches", "batch_items"].contains(&table.as_str())
        || !index.is_empty();
    let written = text("Node Type") == "ModifyTable";
    // What is alive is few by its nature.
    let alive = [
        "tasks_live",
        "playbooks_current",
        "batches_due",
        "batch_items_queued",
        "batch_items_flush",
        "batch_items_give_up",
    ];
    let kept_small = alive.contains(&index.as_str());
    let few = ["playbooks", "agents", "departments", "api_keys", "blackouts", "reservations"];
    let kept_small = kept_small || few.contains(&table.as_str());
    if grows && !by_key && !written && !kept_small {
        found.push((table, index));
    }
    for child in plan["Plans"].as_array().into_iter().flatten() {
        wide_scans(child, found);
    }
}

#[test]
fn every_statement_is_included_once_and_used() {
    let sources = sources();
    for path in files("sql") {
        let name = stem(&path);
        let included = format!("{} = {name:?},", name.to_uppercase());
        let constant = name.to_uppercase();
        assert_eq!(sources.iter().map(|text| text.matches(&included).count()).sum::<usize>(), 1, "{name} is included");
        // Once in its declaration, once imported, once at least called.
        let words = |text: &String| {
            text.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
                .filter(|word| *word == constant)
                .count()
        };
        assert!(sources.iter().map(words).sum::<usize>() >= 3, "{name} is used");
    }
}

#[tokio::test]
async fn every_foreign_key_has_an_index() {
    let fixture = Fixture::new().await;
    let missing: Vec<String> = fixture
        .value(
            "select coalesce(array_agg(c.conrelid::regclass || '.' || c.conname), '{}') from pg_constraint c
             join pg_class t on t.oid = c.conrelid
             where c.contype = 'f' and t.relnamespace = current_schema()::regnamespace and not exists (
                 select from pg_index i
                 where i.indrelid = c.conrelid and i.indpred is null
                     and (i.indkey::int2[])[0:cardinality(c.conkey) - 1] @> c.conkey
             )",
        )
        .await;
    assert_eq!(missing, Vec::<String>::new());
    assert!(fixture.value::<i64>("select count(*) from pg_constraint where contype = 'f'").await > 0);
}

/// An update that touches a column of an index, or of an index's predicate, costs an entry in every index.
#[tokio::test]
async fn no_index_stands_in_the_way_of_a_childs_updates() {
    let fixture = Fixture::new().await;
    let (client, _driver) = fixture.client().await;
    let rows = client
        .query(
            "select distinct a.attname::text from pg_index i
             join pg_depend d on d.objid = i.indexrelid and d.refobjid = i.indrelid
             join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
             where i.indrelid = 'tasks'::regclass
             union
             select a.attname::text from pg_index i
             join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
             where i.indrelid = 'tasks'::regclass",
            &[],
        )
        .await
        .unwrap();
    let columns: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let fixed = ["id", "item", "live", "parent_id", "root_id", "step"].map(str::to_owned);
    assert_eq!(columns, BTreeSet::from(fixed));
}

#[tokio::test]
async fn a_url_that_is_none_is_refused_without_repeating_it() {
    let registry = prometheus::Registry::new();
    for url in ["", "hunter2", "postgres://u:hunter2@", "mysql://u:hunter2@h/d", "postgres://u:hunter2@h:port/d"] {
        let options = store::Options { url: url.into(), max_connections: 1, application_name: "t".to_owned() };
        let error = store::Store::connect(&options, &registry).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    let fixture = Fixture::empty(1).await;
    assert!(!format!("{:?}", connect(&fixture.database, 1)).contains("postgres://"));
}
