//! What to do about tasks that are held: the very command that lets them go on. Refuses to run it.

use crate::{
    batch::list_of,
    client::Client,
    output,
    tree::{children, word},
};
use serde_json::Value;

const CENT: i64 = 10_000_000;

/// A task that is held for money.
#[derive(Debug, PartialEq, Eq)]
struct Held<'a> {
    agent: &'a str,
    provider: &'a str,
    nanos: i64,
}

/// Says what lets the held tasks of a tree go on, one line each; nothing when none is held, or when the server does not
/// say what would help.
pub(crate) async fn advice(client: &Client, tree: &Value) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut dark = Vec::new();
    gather(tree, &mut |task| {
        if word(task, "held_for") == "blackout" {
            dark.push(word(task, "held_provider"));
        }
    });
    let held = of_money(tree);
    if !held.is_empty() {
        let budgets = budgets(client, word(tree, "root_id")).await;
        lines.extend(held.iter().flat_map(|held| raise(held, &budgets)));
    }
    dark.retain(|provider| !provider.is_empty());
    lines.extend(dark.into_iter().map(|provider| format!("blackout end {provider}")));
    lines.sort_unstable();
    lines.dedup();
    lines.into_iter().map(|line| format!("to go on: {} {line}", output::typed())).collect()
}

/// Tells whether any task of a tree is held.
pub(crate) fn is_any(tree: &Value) -> bool {
    let mut any = false;
    gather(tree, &mut |_| any = true);
    any
}

fn gather<'a>(task: &'a Value, see: &mut impl FnMut(&'a Value)) {
    if word(task, "state") == "held" {
        see(task);
    }
    for child in children(task) {
        gather(child, see);
    }
}

fn of_money(tree: &Value) -> Vec<Held<'_>> {
    let mut held = Vec::new();
    gather(tree, &mut |task| {
        if word(task, "held_for") == "budget" {
            let nanos = task.pointer("/held/nanos").and_then(Value::as_i64).unwrap_or_default();
            held.push(Held { agent: word(task, "agent"), provider: word(task, "held_provider"), nanos });
        }
    });
    held
}

/// Reads the budgets that the tasks of an order can fall under, as far as they can be read.
async fn budgets(client: &Client, root: &str) -> Vec<Value> {
    let mut found = Vec::new();
    for scope in ["agent", "all", "provider"] {
        if let Ok(page) = client.get(&format!("/api/budgets?scope={scope}&limit=200")).await {
            found.extend(list_of(&page, "budgets").to_vec());
        }
    }
    for period in ["total", "day"] {
        found.extend(client.get(&format!("/api/budgets/order/{root}/{period}")).await);
    }
    found
}

/// Says which limits stand in the way of a task, and how high they would have to be.
fn raise(held: &Held<'_>, budgets: &[Value]) -> Vec<String> {
    let nanos = |budget: &Value, field: &str| {
        budget.pointer(&format!("/{field}/nanos")).and_then(Value::as_i64).unwrap_or_default()
    };
    let concerns = |budget: &&Value| match word(budget, "scope") {
        "agent" => word(budget, "name") == held.agent,
        "provider" => word(budget, "name") == held.provider,
        _ => true,
    };
    let tight = budgets.iter().filter(concerns).filter(|budget| nanos(budget, "left") < held.nanos);
    let lines = tight.map(|budget| {
        let needed = nanos(budget, "spent").saturating_add(nanos(budget, "reserved")).saturating_add(held.nanos);
        // Cents are easier to type, and more is enough as well.
        let cents = needed.saturating_add(CENT - 1) / CENT;
        let dollars = format!("{}.{:02}", cents / 100, cents % 100);
        let (scope, name) = (word(budget, "scope"), word(budget, "name"));
        let whose = if scope == "all" { "all".to_owned() } else { format!("{scope} {name}") };
        let limit = if word(budget, "period") == "day" { format!("--day {dollars}") } else { dollars };
        format!("budget set {whose} {limit}")
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn budget(scope: &str, name: &str, period: &str, spent: i64, left: i64) -> Value {
        let money = |nanos: i64| json!({ "nanos": nanos });
        json!({ "scope": scope, "name": name, "period": period, "spent": money(spent), "reserved": money(1), "left": money(left) })
    }

    #[test]
    fn the_command_names_the_budget_that_is_too_small_and_what_would_do() {
        let budgets = [
            budget("order", "01a1", "total", 480_000_000, 20_000_000),
            budget("agent", "bora", "total", 0, 1),
            budget("agent", "lead", "total", 0, 1),
            budget("provider", "openai", "day", 19_999_999_999, 0),
            budget("all", "all", "total", 0, 900_000_000),
        ];
        let tree = json!({ "state": "in_progress", "children": [
            { "state": "held", "held_for": "budget", "held": { "nanos": 30_000_000 }, "agent": "bora", "held_provider": "openai" },
            { "state": "held", "held_for": "approval" },
            { "state": "completed", "held_for": "budget" },
        ] });
        let held = of_money(&tree);
        assert_eq!(held.len(), 1);
        let lines = raise(&held[0], &budgets);
        assert_eq!(
            lines,
            ["budget set order 01a1 0.52", "budget set agent bora 0.04", "budget set provider openai --day 20.03"]
        );
        assert!(is_any(&tree) && !is_any(&json!({ "state": "queued" })));
    }
}
