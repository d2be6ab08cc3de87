//! The dashboards as files: what Grafana would only tell on the page.

use crate::{files, name, read, top};
use serde_json::Value;
use std::collections::HashSet;

/// One query of a panel.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    /// Dashboard, panel and target, for people.
    pub(crate) place: String,
    /// PromQL, with Grafana's variables.
    pub(crate) expr: String,
    /// The panel says `none` where there is no data (`noValue`): nothing has happened, and that is good.
    pub(crate) empty_is_good: bool,
}

fn dashboards() -> Vec<(String, Value)> {
    let files = files("grafana/dashboards", ".json");
    files.iter().map(|path| (name(path), serde_json::from_str(&read(path)).unwrap())).collect()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Every panel of a dashboard that shows something.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(dashboard, "panels").iter().filter(|panel| text(panel, "type") != "row")
}

/// Every query of every dashboard, those of variables and annotations included.
pub(crate) fn queries() -> Vec<Query> {
    let mut found = Vec::new();
    for (file, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            let empty_is_good = text(&panel["fieldConfig"]["defaults"], "noValue") == "none";
            for target in list(panel, "targets") {
                let place = format!("{file}, {:?}, {}", text(panel, "title"), text(target, "refId"));
                found.push(Query { place, expr: text(target, "expr").to_owned(), empty_is_good });
            }
        }
        for variable in list(&dashboard["templating"], "list") {
            if let Some(inner) = text(variable, "definition").strip_prefix("label_values(") {
                let (expr, _) = inner.rsplit_once(',').unwrap();
                let place = format!("{file}, variable {}", text(variable, "name"));
                found.push(Query { place, expr: expr.to_owned(), empty_is_good: false });
            }
        }
    }
    assert!(found.len() > 100, "{} queries", found.len());
    found
}

#[test]
fn the_issue_names_these_dashboards() {
    let found: Vec<String> = dashboards().into_iter().map(|(file, _)| file).collect();
    assert_eq!(found, ["batches.json", "hands.json", "insides.json", "money.json", "orders.json"]);
}

#[test]
fn dashboards_are_whole() {
    let mut wrong = Vec::new();
    let mut uids = HashSet::new();
    let mut titles = HashSet::new();
    for (file, dashboard) in dashboards() {
        let mut need = |holds: bool, what: String| {
            if !holds {
                wrong.push(format!("{file}: {what}"));
            }
        };
        let uid = text(&dashboard, "uid").to_owned();
        need(uid == format!("chavion-{}", file.trim_end_matches(".json")), format!("uid {uid}"));
        need(uids.insert(uid), "its uid is taken".to_owned());
        need(titles.insert(text(&dashboard, "title").to_owned()), "its title is taken".to_owned());
        need(dashboard["schemaVersion"].as_u64().is_some_and(|version| version >= 39), "schemaVersion".to_owned());
        need(dashboard["id"].is_null(), "an id belongs to one Grafana".to_owned());
        let variables: HashSet<&str> =
            list(&dashboard["templating"], "list").iter().map(|variable| text(variable, "name")).collect();
        need(variables.contains("datasource"), "no variable for the data source".to_owned());
        for note in list(&dashboard["annotations"], "list") {
            need(text(&note["datasource"], "uid") == "${datasource}", "an annotation's data source".to_owned());
        }
        let mut ids = HashSet::new();
        let mut spots = HashSet::new();
        for panel in list(&dashboard, "panels") {
            let title = text(panel, "title");
            need(ids.insert(panel["id"].as_u64().unwrap_or(0)), format!("{title}: its id is taken"));
            let grid = &panel["gridPos"];
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| grid[key].as_u64().unwrap_or(99));
            need(w > 0 && x + w <= 24, format!("{title}: sticks out"));
            let free = (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))).all(|spot| spots.insert(spot));
            need(free, format!("{title}: lies over another panel"));
        }
        for panel in panels(&dashboard) {
            let title = text(panel, "title");
            need(!title.is_empty() && text(panel, "description").len() > 3, format!("{title}: says not what it is"));
            need(!text(&panel["fieldConfig"]["defaults"], "unit").is_empty(), format!("{title}: has no unit"));
            let kinds = ["stat", "timeseries", "bargauge", "table"];
            need(kinds.contains(&text(panel, "type")), format!("{title}: type {}", text(panel, "type")));
            need(!list(panel, "targets").is_empty(), format!("{title}: asks nothing"));
            let mut refs = HashSet::new();
            for target in list(panel, "targets") {
                need(refs.insert(text(target, "refId")), format!("{title}: a refId is taken"));
                need(!text(target, "expr").is_empty(), format!("{title}: a target without a query"));
                for used in [panel, target] {
                    let uid = text(&used["datasource"], "uid");
                    need(uid == "${datasource}", format!("{title}: data source {uid}"));
                }
                for variable in used_variables(text(target, "expr")) {
                    let known = variables.contains(variable) || variable.starts_with("__");
                    need(known, format!("{title}: ${variable} is no variable"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn variables_are_defined_once_and_used() {
    let mut wrong = Vec::new();
    for (file, dashboard) in dashboards() {
        let mut need = |holds: bool, what: String| {
            if !holds {
                wrong.push(format!("{file}: {what}"));
            }
        };
        let mut defined = HashSet::new();
        for variable in list(&dashboard["templating"], "list") {
            let name = text(variable, "name");
            let asked = text(variable, "definition");
            for used in used_variables(asked) {
                need(defined.contains(used), format!("variable {name} uses ${used}, which is not defined before it"));
            }
            let is_query = text(variable, "type") == "query";
            need(!is_query || variable["query"]["query"] == asked, format!("variable {name} asks two things"));
            need(!is_query || !asked.is_empty(), format!("variable {name} asks nothing"));
            need(defined.insert(name), format!("variable {name} is defined twice"));
            let used = dashboard["panels"].to_string() + &dashboard["templating"].to_string();
            need(
                used.contains(&format!("${name}")) || used.contains(&format!("${{{name}}}")),
                format!("${name} is of no use"),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_panel_asks_for_what_it_shows() {
    let mut wrong = Vec::new();
    for (file, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            let title = text(panel, "title");
            let mut need = |holds: bool, what: String| {
                if !holds {
                    wrong.push(format!("{file}: {what}"));
                }
            };
            let unit = text(&panel["fieldConfig"]["defaults"], "unit");
            for (start, right) in [("60 * ", "suffix: /min"), ("histogram_quantile(", "s"), ("time() - ", "s")] {
                let all = list(panel, "targets").iter().all(|target| text(target, "expr").starts_with(start));
                need(!all || unit == right, format!("{title}: {start} is shown as {unit}"));
            }
            let kind = text(panel, "type");
            for target in list(panel, "targets") {
                let expr = text(target, "expr");
                let at_once = kind != "timeseries";
                need(
                    target["instant"].as_bool().unwrap_or(false) == at_once,
                    format!("{title}: {kind} asks for the wrong thing"),
                );
                need(
                    at_once || !expr.contains("$__range"),
                    format!("{title}: sums what is shown at each of its points"),
                );
                let number = !expr.starts_with("histogram_quantile(") || expr.ends_with(">= 0");
                need(number, format!("{title}: a quantile of nothing is no number"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The names of the variables of a query.
fn used_variables(expr: &str) -> impl Iterator<Item = &str> {
    expr.split('$').skip(1).map(|rest| {
        let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(rest.len());
        &rest[..end]
    })
}

#[test]
fn what_is_provisioned_is_there() {
    let sources = read(&top().join("grafana/provisioning/datasources/chavion.yml"));
    assert!(sources.lines().any(|line| line.trim() == "uid: prometheus") && sources.contains("isDefault: true"));
    for (file, dashboard) in dashboards() {
        let variables = list(&dashboard["templating"], "list");
        let source = variables.iter().find(|variable| text(variable, "name") == "datasource").unwrap();
        assert_eq!(source["current"]["value"], "prometheus", "{file}");
    }
    let compose = top().join("compose.yml");
    if compose.exists() {
        let path = "/etc/grafana/dashboards";
        assert!(read(&top().join("grafana/provisioning/dashboards/chavion.yml")).contains(path));
        assert!(read(&compose).contains(path), "compose.yml mounts the dashboards where Grafana looks for them");
    }
}
