//! `chavion order`: creates, watches, prints the report.

use crate::{
    FAILED, REFUSED,
    args::Order,
    client::{Client, Done, Trouble, done},
    output, tree, watch,
};
use serde_json::{Value, json};
use std::io::Read as _;

/// The longest title that is made of an order's first line, in characters.
const TITLE: usize = 120;

/// Gives the order and waits for its report.
pub(crate) async fn run(client: &Client, order: &Order, json: bool) -> Done {
    let task = client.post("/api/tasks", &body(order)?).await?;
    let id = tree::word(&task, "id").to_owned();
    if order.detach {
        if json { output::json(&task) } else { output::say(&id) }
        return done();
    }
    follow(client, &id, json).await
}

/// Watches a task until it ends; prints its report and what it took.
pub(crate) async fn follow(client: &Client, id: &str, json: bool) -> Done {
    let ended = watch::until_ended(client, id, json).await?;
    let results = client.get(&format!("/api/tasks/{id}/results")).await?;
    let completed = tree::word(&ended, "state") == "completed";
    if json {
        output::json(&json!({ "task": ended, "results": results }));
    } else {
        if completed {
            output::say(&format!("\n{}\n", tree::word(&results, "report").trim_end()));
        }
        output::say(&summary(client, &ended, id));
    }
    if completed { done() } else { Ok(FAILED) }
}

/// The tree with its figures, and where the report can be read again.
fn summary(client: &Client, task: &Value, id: &str) -> String {
    let mut text = format!("---\n{}", tree::draw(task));
    if task.get("emulated").and_then(Value::as_bool) == Some(true) {
        text.push_str("\nEMULATED: no provider key is set, so the emulator answered, not a model. · 모델이 아니라 에뮬레이터의 답입니다.\n");
    }
    text.push_str(&format!("\nAgain: {}\n", client.address(&format!("/api/tasks/{id}/results"))));
    text
}

fn body(order: &Order) -> Result<Value, Trouble> {
    let mut text = order.text.clone();
    if text == "-" {
        text.clear();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| Trouble::new(REFUSED, format!("standard input cannot be read as text: {error}")))?;
    }
    let text = text.trim();
    let mut body = json!({ "title": title(text), "playbook": order.playbook });
    let mut set = |name: &str, value: Option<Value>| {
        if let (Some(object), Some(value)) = (body.as_object_mut(), value) {
            object.insert(name.to_owned(), value);
        }
    };
    set("description", (title(text) != text).then(|| text.into()));
    set("pace", order.pace.clone().map(Value::from));
    set("priority", order.priority.clone().map(Value::from));
    set("deadline", order.deadline.clone().map(Value::from));
    set("agents", (!order.agents.is_empty()).then(|| order.agents.clone().into()));
    let hooks: Vec<Value> = order.webhooks.iter().map(|url| json!({ "kind": "webhook", "url": url })).collect();
    set("deliver", (!hooks.is_empty()).then(|| hooks.into()));
    Ok(body)
}

/// The first line, cut at a character (never inside one) when it is long.
fn title(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim();
    if line.chars().count() <= TITLE {
        return line.to_owned();
    }
    let cut: String = line.chars().take(TITLE - 1).collect();
    format!("{}…", cut.trim_end())
}

#[cfg(test)]
mod tests {
    use super::title;

    #[test]
    fn a_title_is_the_first_line_cut_between_characters() {
        assert_eq!(title("겨울 예약\n자세히"), "겨울 예약");
        let long = "가".repeat(200);
        assert_eq!(title(&long).chars().count(), 120);
        assert!(title(&long).ends_with('…'));
        assert_eq!(title(""), "");
    }
}
