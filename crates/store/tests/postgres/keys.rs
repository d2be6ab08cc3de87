//! Keys, playbooks and the roster: what services put there at their start, and find again.

use crate::fixture::{Fixture, playbook};
use domain::roster::{Agent, Department, Roster};
use store::{NewKey, NewPlaybook, Origin, Role};
use tokio::task::JoinSet;
use uuid::Uuid;

fn key(role: Role, agent_name: Option<&str>) -> NewKey {
    let id = Uuid::now_v7();
    let agent_name = agent_name.map(str::to_owned);
    NewKey { id, name: format!("{role} 열쇠"), role, agent_name, hash: id.as_bytes().repeat(2) }
}

#[tokio::test]
async fn a_key_is_found_by_its_hash_until_it_is_revoked() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let (master, agent) = (key(Role::Master, None), key(Role::Agent, Some("bora")));
    store.key_new(&master).await.unwrap();
    store.key_new(&agent).await.unwrap();
    assert!(store.key_new(&key(Role::Agent, None)).await.is_err(), "an agent's key names its agent");
    let found = store.key_find(&agent.hash).await.unwrap().unwrap();
    assert_eq!((found.id, found.role, found.agent_name.as_deref()), (agent.id, Role::Agent, Some("bora")));
    assert!(store.key_find(b"other").await.unwrap().is_none());
    assert_eq!(store.key_count_masters().await.unwrap(), 1);
    assert!(store.key_revoke(master.id).await.unwrap());
    assert!(!store.key_revoke(master.id).await.unwrap());
    assert!(store.key_find(&master.hash).await.unwrap().is_none());
    assert_eq!(store.key_count_masters().await.unwrap(), 0);
    let names: Vec<_> =
        store.key_list().await.unwrap().into_iter().map(|key| (key.name, key.revoked_at.is_some())).collect();
    assert_eq!(names, [("master 열쇠".to_owned(), true), ("agent 열쇠".to_owned(), false)]);
    assert!(!format!("{master:?}").contains("hash"));
}

#[tokio::test]
async fn of_many_first_keys_one_is_kept() {
    let fixture = Fixture::new().await;
    let mut replicas = JoinSet::new();
    for _ in 0..8 {
        let store = fixture.store.clone();
        replicas.spawn(async move { store.key_first(&key(Role::Master, None), shown).await.unwrap().unwrap() });
    }
    assert_eq!(replicas.join_all().await.into_iter().filter(|first| *first).count(), 1);
    assert_eq!(fixture.store.key_count_masters().await.unwrap(), 1);
}

const fn shown() -> Result<(), ()> {
    Ok(())
}

#[tokio::test]
async fn the_first_key_is_kept_only_once_it_was_shown() {
    let fixture = Fixture::with_connections(1).await;
    let store = &fixture.store;
    let first = key(Role::Master, None);
    assert_eq!(store.key_first(&first, || Err("아무도 없음")).await.unwrap(), Err("아무도 없음"));
    assert_eq!(store.key_count_masters().await.unwrap(), 0, "what nobody has seen is not kept");
    let mut shows = 0;
    let show = || -> Result<(), ()> {
        shows += 1;
        Ok(())
    };
    assert_eq!(store.key_first(&first, show).await.unwrap(), Ok(true));
    assert_eq!(store.key_first(&first, || -> Result<(), ()> { panic!("a second one") }).await.unwrap(), Ok(false));
    assert_eq!((shows, store.key_count_masters().await.unwrap()), (1, 1));
}

#[tokio::test]
async fn a_new_version_of_a_playbook_takes_the_name_and_the_old_one_stays_readable() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let from_api = NewPlaybook { origin: Origin::Api, ..playbook("mine", "v1") };
    store.playbooks_put(&[playbook("report", "v2"), playbook("answer", "v1"), from_api]).await.unwrap();
    store.playbooks_put(&[playbook("report", "v3"), playbook("mine", "v2")]).await.unwrap();
    let current: Vec<_> = store.playbooks_list().await.unwrap().into_iter().map(|row| row.hash).collect();
    assert_eq!(current, ["mine-v1", "report-v3"]);
    let old = store.playbook_by_hash("report-v1").await.unwrap().unwrap();
    assert_eq!((old.current, old.source.as_str()), (false, playbook("report", "v1").source.as_str()));
    // Back to what was before.
    store.playbooks_put(&[playbook("report", "v1")]).await.unwrap();
    assert!(store.playbook_by_hash("report-v1").await.unwrap().unwrap().current);
    assert!(store.playbook_by_hash("nothing").await.unwrap().is_none());
}

#[tokio::test]
async fn the_roster_is_replaced_as_a_whole_and_visitors_stay() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let agent = |name: &str| Agent {
        name: name.to_owned(),
        title: format!("{name} 요원"),
        system: "비밀 지시".to_owned(),
        models: vec!["a/b".to_owned(), "c/d\"e".to_owned()],
        max_tokens: 1,
    };
    let department = |name: &str, head: &str, specialists: &[&str]| Department {
        name: name.to_owned(),
        title: "마케팅".to_owned(),
        purpose: "예약을 늘린다".to_owned(),
        head: head.to_owned(),
        specialists: specialists.iter().map(|name| (*name).to_owned()).collect(),
        keywords: Vec::new(),
    };
    let first = Roster {
        departments: vec![department("marketing", "bora", &["nari"]), department("legal", "duri", &[])],
        agents: vec![agent("bora"), agent("nari"), agent("duri")],
    };
    store.roster_put(&first).await.unwrap();
    fixture.sql("insert into agents (name, title, role, resident) values ('visitor', '손님', 'visiting', false)").await;
    let (_, asks) = fixture.asks(2).await;
    fixture.claim(&asks).await;
    let agents = store.agents_list().await.unwrap();
    let bora = agents.iter().find(|agent| agent.name == "bora").unwrap();
    assert_eq!((bora.role.as_str(), bora.department.as_deref(), bora.working), ("head", Some("marketing"), 2));
    assert_eq!(bora.models, ["a/b", "c/d\"e"]);

    let second = Roster {
        departments: vec![department("marketing", "nari", &["bora"])],
        agents: vec![agent("bora"), agent("nari")],
    };
    store.roster_put(&second).await.unwrap();
    let agents = store.agents_list().await.unwrap();
    let found: Vec<_> = agents.iter().map(|agent| (agent.name.as_str(), agent.role.as_str())).collect();
    assert_eq!(found, [("nari", "head"), ("bora", "specialist"), ("visitor", "visiting")]);
    assert_eq!(store.departments_list().await.unwrap().len(), 1);
}
