//! `.env.example` names every variable that the services read, with its default, and no other.

use boot::{ConfigError, Variable};
use providers::Catalogue;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// STYLE: no service has more variables of its own than this.
const MOST: usize = 15;

type Service = (&'static str, Vec<Variable>);

/// What each service asks for when nothing is set.
fn services() -> [Service; 4] {
    let nothing: BTreeMap<String, String> = BTreeMap::new();
    let asked = |error: Option<ConfigError>| error.expect("two variables are required").variables;
    [
        ("gateway", asked(gateway::Config::read(&nothing).err())),
        ("orchestrator", asked(orchestrator::Config::read(&nothing).err())),
        ("executor", asked(executor::Config::read(&nothing).err())),
        ("batch-poller", asked(batch_poller::Config::read(&nothing).err())),
    ]
}

/// Begins the part of the file that only containers read.
const CONTAINERS: &str = "# == containers";

fn text(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)).unwrap()
}

/// The names and values of the file's part for the services, in order.
fn written() -> Vec<(String, String)> {
    assignments(text(".env.example").split(CONTAINERS).next().unwrap())
}

fn assignments(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_once('=').unwrap_or_else(|| panic!("{line}")))
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .collect()
}

/// The variables of the built-in providers, which the orchestrator reads when they are set.
fn of_providers() -> BTreeSet<String> {
    let providers = Catalogue::built_in().unwrap().providers;
    let names =
        providers.into_iter().flat_map(|it| [Some(it.key_variable), Some(it.base_url_variable), it.model_variable]);
    names.flatten().collect()
}

#[test]
fn the_file_names_every_variable_once_and_no_other() {
    let names: Vec<String> = written().into_iter().map(|(name, _)| name).collect();
    let written: BTreeSet<String> = names.iter().cloned().collect();
    assert_eq!(written.len(), names.len(), "a variable is there twice");
    let mut read = of_providers();
    read.extend(services().into_iter().flat_map(|(_, variables)| variables).map(|variable| variable.name));
    let missing: Vec<_> = read.difference(&written).collect();
    let stale: Vec<_> = written.difference(&read).collect();
    assert!(missing.is_empty() && stale.is_empty(), "missing: {missing:?}; read by nobody: {stale:?}");
}

#[test]
fn every_value_in_the_file_is_the_default_in_the_code() {
    let all: Vec<Variable> = services().into_iter().flat_map(|(_, variables)| variables).collect();
    for (name, value) in written() {
        let defaults: BTreeSet<String> =
            all.iter().filter(|it| it.name == name).filter_map(|it| it.default.clone()).collect();
        // Where services differ, or a default cannot be written down, the line above says so in words.
        if defaults.len() == 1 {
            assert!(defaults.contains(&value), "{name}={value}, but the code says {defaults:?}");
        } else {
            assert_eq!(value, "", "{name} has {defaults:?}");
        }
    }
}

#[test]
fn the_part_for_containers_names_what_they_read() {
    let example = text(".env.example");
    let (services, containers) = example.split_once(CONTAINERS).unwrap();
    let (_, containers) = containers.split_once('\n').unwrap();
    let names = |text: &str| assignments(text).into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>();
    let (services, containers) = (names(services), names(containers));
    let compose = text("compose.yml");
    let asked: BTreeSet<String> = compose
        .split("${")
        .skip(1)
        .map(|rest| rest.chars().take_while(|it| it.is_ascii_uppercase() || *it == '_').collect())
        .filter(|name: &String| !name.is_empty())
        .collect();
    let missing: Vec<_> = asked.iter().filter(|it| !services.contains(*it) && !containers.contains(*it)).collect();
    let others = compose + &text("docker/prepare");
    let stale: Vec<_> = containers.iter().filter(|it| !others.contains(it.as_str())).collect();
    assert!(missing.is_empty() && stale.is_empty(), "missing: {missing:?}; read by nobody: {stale:?}");
    assert!(services.is_disjoint(&containers), "a variable is in both parts");

    // What an operator fills in for the services reaches them in containers too, or it is said that it does not.
    let fixed = example.split_once(CONTAINERS).unwrap().1.lines().nth(1).unwrap();
    let fixed: BTreeSet<String> = fixed.trim_start_matches("# ").split(", ").map(str::to_owned).collect();
    let prepared = |name: &str| {
        let of_provider = ["_API_KEY", "_BASE_URL", "_MODEL"].iter().any(|end| name.ends_with(end));
        of_provider || text("docker/prepare").contains(&format!("given {name}"))
    };
    let lost: Vec<_> =
        services.iter().filter(|name| !asked.contains(*name) && !fixed.contains(*name) && !prepared(name)).collect();
    assert!(lost.is_empty() && fixed.is_subset(&services), "set in .env, and no container is told: {lost:?}");
}

#[test]
fn no_service_has_too_many_variables() {
    let services = services();
    let in_all = |name: &str| services.iter().all(|(_, variables)| variables.iter().any(|it| it.name == name));
    for (service, variables) in &services {
        let own: Vec<&str> = variables.iter().map(|it| it.name.as_str()).filter(|name| !in_all(name)).collect();
        assert!(own.len() <= MOST, "{service} has {}: {own:?}", own.len());
    }
}
