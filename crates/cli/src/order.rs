//! `chavion order`: creates, watches, prints the report.

use crate::{
    FAILED, INTERRUPTED, REFUSED, UNREACHABLE,
    args::Order,
    batch,
    client::{Client, Done, Trouble, done},
    moment, output, tree,
    watch::{self, Show},
};
use serde_json::{Value, json};
use std::io::Read as _;
use time::OffsetDateTime;

/// The longest title that is made of an order's first line, in characters.
const TITLE: usize = 120;

/// Gives the order and waits for its report, or for Ctrl-C, which ends the waiting alone.
pub(crate) async fn run(client: &Client, order: &Order, json: bool) -> Done {
    let task = give(client, order).await?;
    let id = tree::word(&task, "id");
    if order.detach {
        output::answer(json, &task, id);
        return done();
    }
    attend(client, id, json).await
}

/// Gives the order and returns its task.
pub(crate) async fn give(client: &Client, order: &Order) -> Result<Value, Trouble> {
    client.post("/api/tasks", &body(order)?).await
}

/// Follows a task until it ends or the watching is given up; says how to come back to it.
pub(crate) async fn attend(client: &Client, id: &str, json: bool) -> Done {
    let again = format!("watch it again with: {} task watch {id}", output::typed());
    let followed = tokio::select! {
        followed = follow(client, id, if json { Show::Nothing } else { Show::ChangesAndEmulator }) => followed,
        Ok(()) = tokio::signal::ctrl_c() => {
            return Err(Trouble::new(INTERRUPTED, format!("no longer watching. The order goes on; {again}")));
        }
    };
    followed.map_err(|mut trouble| {
        if trouble.code == UNREACHABLE {
            trouble.words.push_str(&format!(". The order is kept; {again}"));
        }
        trouble
    })
}

/// Watches a task until it ends; prints its report and what it took.
pub(crate) async fn follow(client: &Client, id: &str, show: Show) -> Done {
    let ended = watch::until_ended(client, id, show).await?;
    let results = client.get(&format!("/api/tasks/{id}/results")).await?;
    let (completed, emulated) = (tree::word(&ended, "state") == "completed", tree::is_emulated(&ended));
    let again = client.address(&format!("/api/tasks/{id}/results"));
    if show == Show::Nothing {
        output::json(&json!({ "emulated": emulated, "again": again, "task": ended, "results": results }));
    } else {
        if emulated {
            output::say(output::EMULATED);
        }
        if completed {
            output::say(&format!("\n{}\n\n", tree::word(&results, "report").trim_end()));
        }
        output::say(&format!("---\n{}\n{}", tree::draw(&ended), batch::money(&ended)));
        if !completed {
            output::say(&format!("\nNo report. Run it again from what failed: {} task retry {id}", output::typed()));
        }
        if emulated {
            output::say(&format!("\n{}", output::EMULATED));
        }
        output::say(&format!("\nRead it again: {} task watch {id}\n           or: {again}", output::typed()));
    }
    if completed { done() } else { Ok(FAILED) }
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
    let now = OffsetDateTime::now_utc();
    let deadline = order.deadline.as_deref().map(|text| moment::deadline(text, now)).transpose()?;
    set("deadline", deadline.map(Value::from));
    set("budget", order.budget.as_deref().map(|text| text.trim().trim_start_matches('$').into()));
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
