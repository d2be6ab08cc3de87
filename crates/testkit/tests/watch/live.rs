//! A real Prometheus scrapes the real services while they carry out orders; then every panel's query must have data,
//! every rule must be evaluated, and nothing may cry wolf.
//!
//! A query counts as answered when one of its series has a number. Where a panel says by `noValue` what it means that
//! nothing is there, its query may be empty, but every metric and every label in it must exist. The same holds for the
//! expressions of alerts. What Debian has no package for (cAdvisor, Grafana itself) is left out, and said.

use crate::{
    dashboards::queries,
    facts, idle,
    load::{FAILS, LATE, MIXED, leave_one_under_way, load, until_ended},
    mailbox::Mailbox,
    promql::{metric, selectors},
    stack::{Shape, Stack},
    watchers::Watchers,
};
use emulator::Options;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// Metrics of what Debian has no package for.
const LEFT_OUT: &str = "container_";
/// The longest wait for all data: some facts are read every 30 s, and the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_panel_has_data_and_every_rule_its_metrics_under_load() {
    let began = Instant::now();
    let shape = Shape {
        emulator: Options { brief: true, batch_time: Duration::from_secs(1), ..Options::default() },
        providers: &["ANTHROPIC", "OPENAI", "GEMINI"],
        orchestrators: 2,
        pollers: 1,
        variables: &[
            ("BATCH_WINDOW_SECONDS", "0.5"),
            ("BATCH_POLL_SECONDS", "0.5"),
            ("WEBHOOK_SECRET", "whsec_Y2hhdmlvbi1jaGF2aW9uLWNoYXZpb24="),
        ],
    };
    let stack = Stack::start(shape, &[("mixed.toml", MIXED), ("fails.toml", FAILS), ("late.toml", LATE)]).await;
    // As compose.yml bounds it.
    assert_eq!(stack.redis("CONFIG SET maxmemory 268435456").await, "+OK");
    let folder = std::env::temp_dir().join(format!("chavion-watch-{}", uuid::Uuid::now_v7().simple()));
    let mailbox = Mailbox::open().await;
    let mut watchers = Watchers::start(&stack, folder, mailbox.address);
    until_scraped(&mut watchers).await;
    facts::until(&mut watchers, "chavion:approvals_waiting", Some(0.0)).await;
    let before = idle::counters(&mut watchers).await;
    idle::no_panel_divides_nothing_by_nothing(&mut watchers).await;
    eprintln!("{:?}: {} counters are there before the first order", began.elapsed(), before.len());
    let events = stack.http.get(format!("http://{}/api/events", stack.gateway)).bearer_auth(&stack.key);
    let listening = events.send().await.unwrap();
    load(&stack, mailbox.address).await;
    eprintln!("{:?}: the orders are given", began.elapsed());
    until_ended(&stack).await;
    eprintln!("{:?}: they have ended", began.elapsed());
    leave_one_under_way(&stack).await;

    every_query_has_data(&mut watchers).await;
    eprintln!("{:?}: every query has data", began.elapsed());
    for misspelt in ["chavion_tasks_alive", "chavion_tasks_live{kynd=\"ask\"}"] {
        assert_eq!(unknown(&mut watchers, misspelt).await.len(), 1, "{misspelt} is found out");
        assert!(!has_data(&mut watchers, misspelt).await, "{misspelt} has no data");
    }
    idle::nothing_began_later(&mut watchers, &before).await;
    idle::no_label_grows_with_the_orders(&mut watchers).await;
    first_events_are_seen(&mut watchers).await;
    every_rule_is_evaluated(&mut watchers).await;
    nobody_cries_wolf(&mut watchers).await;
    an_alert_reaches_the_operator(&watchers, &mailbox).await;
    eprintln!("{:?}: an alert has arrived", began.elapsed());
    facts::an_approval_that_waits_is_told(&stack, &mut watchers).await;
    facts::facts_that_cannot_be_read_are_gone(&stack, &mut watchers).await;
    eprintln!("{:?}: facts were gone and came back", began.elapsed());
    drop((watchers, listening));
    stack.stop().await;
    eprintln!("{:?}: done; left out for want of a Debian package: cAdvisor ({LEFT_OUT}*), Grafana", began.elapsed());
}

pub(crate) async fn ask(watchers: &mut Watchers, path: &str, parameters: &[(&str, &str)]) -> Value {
    let answer = watchers.ask(path, parameters).await.unwrap_or_else(|| panic!("Prometheus does not answer {path}"));
    answer.unwrap_or_else(|error| panic!("{path} {parameters:?}: {error}"))
}

pub(crate) fn array<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// Waits until every target was scraped and Alertmanager was found.
async fn until_scraped(watchers: &mut Watchers) {
    let start = Instant::now();
    loop {
        if let Some(Ok(targets)) = watchers.ask("targets", &[("state", "active")]).await {
            let targets = array(&targets, "activeTargets");
            let of = |job: &str| targets.iter().filter(|target| target["labels"]["job"] == job).count();
            let found = ["gateway", "orchestrator", "executor", "batch-poller", "postgres", "redis", "node"].map(of);
            assert!(targets.is_empty() || found == [1, 2, 1, 1, 1, 1, 1], "not every replica is scraped: {found:?}");
            let healthy = targets.iter().filter(|target| target["health"] == "up").count();
            let alertmanagers = ask(watchers, "alertmanagers", &[]).await;
            if healthy == targets.len() && healthy > 8 && array(&alertmanagers, "activeAlertmanagers").len() == 1 {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{healthy} of these are up: {targets:?}");
        }
        assert!(start.elapsed() < PATIENCE, "Prometheus does not answer");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Fills in Grafana's variables.
pub(crate) fn filled(expr: &str) -> String {
    [("$__rate_interval", "20s"), ("$__interval", "5s"), ("$__range", "5m"), ("$service", ".+"), ("$replica", ".*")]
        .iter()
        .fold(expr.to_owned(), |expr, (variable, value)| expr.replace(variable, value))
}

pub(crate) fn is_left_out(expr: &str) -> bool {
    selectors(expr).iter().any(|selector| metric(selector).starts_with(LEFT_OUT))
}

/// Tells whether a query had a number at any moment of the last minutes.
async fn has_data(watchers: &mut Watchers, expr: &str) -> bool {
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let (start, end) = ((now - 120).to_string(), now.to_string());
    let parameters = [("query", expr), ("start", &start), ("end", &end), ("step", "2")];
    let data = ask(watchers, "query_range", &parameters).await;
    let is_number = |sample: &Value| {
        let number = sample[1].as_str().and_then(|text| text.parse::<f64>().ok());
        number.is_some_and(f64::is_finite)
    };
    array(&data, "result").iter().any(|series| array(series, "values").iter().any(is_number))
}

/// Lists what of a query Prometheus has never seen: metrics, and labels of them.
async fn unknown(watchers: &mut Watchers, expr: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for selector in selectors(expr) {
        let name = metric(&selector);
        // A window of ALERTS has no series while all is well.
        if name == "ALERTS" || name.starts_with(LEFT_OUT) {
            continue;
        }
        let labels = selector.split_once('{').map_or(Vec::new(), |(_, inner)| labels(inner));
        let exist: Vec<String> = labels.iter().map(|label| format!("{label}!=\"\"")).collect();
        let any = format!("{name}{{{}}}", exist.join(","));
        let found = ask(watchers, "series", &[("match[]", any.as_str())]).await;
        if found.as_array().is_none_or(Vec::is_empty) {
            wrong.push(any);
        }
    }
    wrong
}

/// The names of the labels in a selector's braces.
fn labels(inner: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = inner;
    while let Some(at) = rest.find(['=', '!']) {
        found.push(rest[..at].trim_matches([',', ' ']));
        let Some(open) = rest.find('"') else { break };
        let Some(length) = rest[open + 1..].find('"') else { break };
        rest = &rest[open + length + 2..];
    }
    found
}

async fn every_query_has_data(watchers: &mut Watchers) {
    let mut open: Vec<(String, String, bool)> = Vec::new();
    let mut left_out = 0;
    for query in queries() {
        let expr = filled(&query.expr);
        assert!(!expr.contains('$'), "{}: a variable is not filled in: {expr}", query.place);
        if is_left_out(&expr) {
            left_out += 1;
            continue;
        }
        open.push((query.place, expr, query.empty_is_good));
    }
    eprintln!("{} queries of panels are asked, {left_out} left out", open.len());
    let start = Instant::now();
    loop {
        let mut still = Vec::new();
        for (place, expr, empty_is_good) in open {
            let answered =
                if empty_is_good { unknown(watchers, &expr).await.is_empty() } else { has_data(watchers, &expr).await };
            if !answered {
                still.push((place, expr, empty_is_good));
            }
        }
        if still.is_empty() {
            return;
        }
        if start.elapsed() > PATIENCE {
            let mut lines = Vec::new();
            for (place, expr, _) in &still {
                lines.push(format!("{place}: {expr}\n    never seen: {:?}", unknown(watchers, expr).await));
            }
            panic!("{} queries have no data:\n{}", still.len(), lines.join("\n"));
        }
        open = still;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn every_rule_is_evaluated(watchers: &mut Watchers) {
    let start = Instant::now();
    loop {
        let (wrong, kinds) = wrong_rules(watchers).await;
        if wrong.is_empty() {
            eprintln!("rules: {kinds:?}");
            assert!(kinds["alerting"] > 30 && kinds["recording"] > 10, "{kinds:?}");
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{}", wrong.join("\n"));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// What is wrong with the rules: not evaluated, nothing recorded, metrics or labels that nobody has seen.
async fn wrong_rules(watchers: &mut Watchers) -> (Vec<String>, BTreeMap<String, usize>) {
    let rules = ask(watchers, "rules", &[]).await;
    let rules: Vec<Value> = array(&rules, "groups").iter().flat_map(|group| array(group, "rules").to_vec()).collect();
    let mut wrong = Vec::new();
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for rule in &rules {
        let (name, query) = (rule["name"].as_str().unwrap(), rule["query"].as_str().unwrap());
        *kinds.entry(rule["type"].as_str().unwrap().to_owned()).or_default() += 1;
        if rule["health"] != "ok" {
            wrong.push(format!("{name}: {} {}", rule["health"], rule["lastError"]));
        }
        if rule["type"] == "recording" && !has_data(watchers, name).await {
            wrong.push(format!("{name} records nothing"));
        }
        for selector in unknown(watchers, query).await {
            wrong.push(format!("{name}: {selector} was never seen"));
        }
    }
    (wrong, kinds)
}

/// What happened once and never before is an increase.
async fn first_events_are_seen(watchers: &mut Watchers) {
    for (query, times) in [
        ("chavion_orders_ended_total{outcome=\"cancelled\"}", 1.0),
        ("chavion_orders_failed_total{cause=\"agent_failed\"}", 1.0),
        ("chavion_executor_denials_total{level=\"high\", reason=\"time\"}", 1.0),
        ("chavion_executor_commands_total{level=\"high\", outcome=\"timed_out\"}", 1.0),
    ] {
        facts::until(watchers, &format!("sum({query})"), Some(times)).await;
        facts::until(watchers, &format!("sum(increase({query}[10m])) > bool 0.5"), Some(1.0)).await;
    }
}

/// Some orders failed and a provider was busy: that is a day like others.
async fn nobody_cries_wolf(watchers: &mut Watchers) {
    let data = ask(watchers, "query", &[("query", "ALERTS{alertstate=\"firing\"}")]).await;
    let firing: BTreeSet<String> = array(&data, "result").iter().map(|series| series["metric"].to_string()).collect();
    assert!(firing.is_empty(), "{firing:?}");
}

/// A backup grows old; the operator is told, with what to do.
async fn an_alert_reaches_the_operator(watchers: &Watchers, mailbox: &Mailbox) {
    watchers.write_facts(Duration::from_secs(30 * 3_600));
    testkit::until("the alert is posted", || async { mailbox.taken().contains("BackupTooOld") }).await;
    let taken = mailbox.taken();
    let said = ["CRITICAL: BackupTooOld", "The latest good backup is 1d 6h 0m", "Run `scripts/backup` by hand"];
    for words in said {
        assert!(taken.contains(words), "{words}: {taken}");
    }
    assert!(!taken.contains("ServiceDown"), "{taken}");
}

#[test]
fn a_selector_names_its_labels() {
    assert_eq!(labels("job=\"a, b=c\", instance=~\".*\",x!=\"1\"}"), ["job", "instance", "x"]);
    assert_eq!(filled("rate(a{instance=~\"$replica\"}[$__rate_interval])"), "rate(a{instance=~\".*\"}[20s])");
}
