//! What holds before the first order and stays so: every counter is there at 0, because an increase from nothing is
//! invisible to Prometheus; no panel divides nothing by nothing; no label grows with the orders.

use crate::{
    dashboards::queries,
    live::{PATIENCE, array, ask, filled, is_left_out},
    promql::{metric, selectors},
    watchers::Watchers,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// Every label of ours: each has few values, known at start or set by the operator. Who adds one should think twice.
const LABELS: [&str; 30] = [
    "agent",
    "cause",
    "class",
    "code",
    "emulated",
    "facts",
    "for",
    "found",
    "held_for",
    "instance",
    "job",
    "kind",
    "layer",
    "le",
    "level",
    "method",
    "model",
    "name",
    "ordered",
    "outcome",
    "pace",
    "period",
    "provider",
    "reason",
    "route",
    "scope",
    "service",
    "state",
    "statement",
    "status",
];
/// Labels of which few figures have one.
const MORE_LABELS: [&str; 5] = ["topic", "transport", "verb", "version", "what"];
/// The most series of one figure in one process: buckets times statements come nearest.
const MOST: usize = 2_000;
/// Times by statement and by route begin with the first of each: zeros for all would be thousands of series, and their
/// panels show means and quantiles, which need no increase from nothing.
const BEGIN_LATER: [&str; 2] = ["chavion_store_statement_duration_seconds", "chavion_gateway_request_seconds"];

/// The counters that were there: each figure's labels, but for where it was scraped.
pub(crate) type Counters = BTreeSet<String>;

/// The counters of ours that panels and rules use; of a histogram its buckets.
async fn used(watchers: &mut Watchers) -> BTreeSet<String> {
    let rules = ask(watchers, "rules", &[]).await;
    let rules = array(&rules, "groups").iter().flat_map(|group| array(group, "rules").to_vec());
    let rules: Vec<String> = rules.map(|rule| rule["query"].as_str().unwrap().to_owned()).collect();
    let exprs = queries().into_iter().map(|query| filled(&query.expr)).chain(rules);
    let names = exprs.flat_map(|expr| selectors(&expr)).map(|selector| metric(&selector).to_owned());
    let is_ours =
        |name: &String| name.starts_with("chavion_") && !BEGIN_LATER.iter().any(|later| name.starts_with(later));
    let is_counter = |name: &String| name.ends_with("_total") || name.ends_with("_bucket");
    names.filter(is_ours).filter(is_counter).collect()
}

/// Lists the counters that panels and rules use. Every name must be among them.
pub(crate) async fn counters(watchers: &mut Watchers) -> Counters {
    let start = Instant::now();
    let names = used(watchers).await;
    assert!(names.len() > 30, "{names:?}");
    loop {
        let mut found = Counters::new();
        for name in &names {
            let data = ask(watchers, "query", &[("query", name)]).await;
            found.extend(array(&data, "result").iter().map(|series| labels(&series["metric"])));
        }
        let missing: Vec<&String> =
            names.iter().filter(|name| !found.iter().any(|series| series.starts_with(&format!("{name} ")))).collect();
        if missing.is_empty() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "not there before the first order: {missing:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// A series' name and labels, but for where it was scraped.
fn labels(series: &Value) -> String {
    let pairs: BTreeMap<&String, &Value> = series.as_object().unwrap().iter().collect();
    let own = pairs.into_iter().filter(|(name, _)| !["__name__", "instance", "le"].contains(&name.as_str()));
    let own: Vec<String> = own.map(|(name, value)| format!("{name}={value}")).collect();
    format!("{} {}", series["__name__"].as_str().unwrap(), own.join(" "))
}

/// What happened has brought no counter that was not there before.
pub(crate) async fn nothing_began_later(watchers: &mut Watchers, before: &Counters) {
    let after = counters(watchers).await;
    let new: Vec<&String> = after.difference(before).collect();
    assert!(new.is_empty(), "their first event is lost to increase(): {new:#?}");
}

/// Asks every panel while nothing happens: none may answer with what is no number.
pub(crate) async fn no_panel_divides_nothing_by_nothing(watchers: &mut Watchers) {
    let mut wrong = Vec::new();
    for query in queries() {
        let expr = filled(&query.expr);
        if is_left_out(&expr) {
            continue;
        }
        let data = ask(watchers, "query", &[("query", &expr)]).await;
        for series in array(&data, "result") {
            let value = series["value"][1].as_str().unwrap().parse::<f64>().unwrap();
            if !value.is_finite() {
                wrong.push(format!("{}: {value} of {}: {expr}", query.place, series["metric"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// No label names an order, a task or a batch, and no figure has more series than fit on a page of Prometheus.
pub(crate) async fn no_label_grows_with_the_orders(watchers: &mut Watchers) {
    let found = ask(watchers, "series", &[("match[]", "{__name__=~\"chavion_.+\"}")]).await;
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for series in found.as_array().unwrap() {
        let name = series["__name__"].as_str().unwrap().to_owned();
        *counts.entry((name, series["instance"].to_string())).or_default() += 1;
        for (label, value) in series.as_object().unwrap() {
            let known =
                label == "__name__" || LABELS.contains(&label.as_str()) || MORE_LABELS.contains(&label.as_str());
            // A route names its place for an id, `{id}`, and not the id.
            let names_one = value.as_str().unwrap().split(['/', ' ', '-']).any(|word| {
                word.len() >= 8
                    && word.chars().all(|letter| letter.is_ascii_hexdigit())
                    && word.contains(|letter: char| letter.is_ascii_digit())
            });
            if !known || names_one {
                wrong.push(format!("{label} of {series}"));
            }
        }
    }
    let widest = counts.iter().max_by_key(|(_, count)| **count);
    eprintln!("{} series of ours; the most has {widest:?}", counts.values().sum::<usize>());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(widest.is_some_and(|(_, count)| *count < MOST), "{widest:?}");
}
