//! `chavion task`: new, ls, show, watch, cancel, retry.

use crate::{
    REFUSED,
    args::{TaskFilter, TaskVerb},
    batch,
    client::{Client, Done, Trouble, done},
    order, output, tree,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Does what the verb says.
pub(crate) async fn run(client: &Client, verb: &TaskVerb, json: bool) -> Done {
    match verb {
        TaskVerb::New { title, description, playbook, priority } => {
            let given = [
                ("title", Some(title)),
                ("description", description.as_ref()),
                ("playbook", playbook.as_ref()),
                ("priority", priority.as_ref()),
            ];
            let task = client.post("/api/tasks", &object(&given)).await?;
            output::answer(json, &task, tree::word(&task, "id"));
            done()
        }
        TaskVerb::Ls(filter) => {
            let page = client.get(&format!("/api/tasks?{}", query(filter))).await?;
            if json {
                output::json(&page);
                return done();
            }
            for task in page.get("tasks").and_then(Value::as_array).into_iter().flatten() {
                output::say(&format!("{}  {}", tree::word(task, "id"), tree::line(task)));
            }
            let next = tree::word(&page, "next");
            if !next.is_empty() {
                output::note(&format!("There are more: the same again with --cursor {next}"));
            }
            done()
        }
        TaskVerb::Show { id } => {
            let task = client.get(&path(id, "/tree")?).await?;
            output::answer(json, &task, &described(&task));
            done()
        }
        TaskVerb::Watch { id } => order::attend(client, &uuid(id)?, json).await,
        TaskVerb::Cancel { id, reason } => {
            let answer = client.post(&path(id, "/cancel")?, &object(&[("reason", reason.as_ref())])).await?;
            let count = answer.get("cancelled").and_then(Value::as_array).map_or(0, Vec::len);
            said(&answer, &format!("{id} is cancelled ({count} tasks in all)"), json)
        }
        TaskVerb::Retry { id } => {
            let answer = client.post(&path(id, "/retry")?, &json!({})).await?;
            said(
                &answer,
                &format!("{id} runs again from what failed; watch it with: {} task watch {id}", output::typed()),
                json,
            )
        }
    }
}

fn said(answer: &Value, text: &str, json: bool) -> Done {
    output::answer(json, answer, text);
    done()
}

fn object(fields: &[(&str, Option<&String>)]) -> Value {
    let given =
        fields.iter().filter_map(|(name, value)| Some(((*name).to_owned(), Value::from(value.as_ref()?.as_str()))));
    Value::Object(given.collect::<Map<_, _>>())
}

fn query(filter: &TaskFilter) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &filter.limit.to_string());
    let given = [
        ("state", &filter.state),
        ("kind", &filter.kind),
        ("agent", &filter.agent),
        ("q", &filter.search),
        ("cursor", &filter.cursor),
    ];
    for (name, value) in given {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    if filter.parts {
        query.append_pair("roots", "false");
    }
    query.finish()
}

/// A task's facts, those that it has, and the tree below it.
fn described(task: &Value) -> String {
    let mut text = String::new();
    let facts = [
        ("id", "id"),
        ("order", "root_id"),
        ("kind", "kind"),
        ("state", "state"),
        ("cause", "cause"),
        ("reason", "reason"),
        ("playbook", "playbook"),
        ("agent", "agent"),
        ("model", "model"),
        ("priority", "priority"),
        ("pace", "pace"),
        ("because", "pace_reason"),
        ("held for", "held_for"),
        ("deadline", "deadline"),
        ("ordered by", "created_by"),
        ("ordered at", "created_at"),
        ("ended at", "ended_at"),
    ];
    for (name, field) in facts {
        let value = tree::word(task, field);
        let says_nothing = value.is_empty() || (field == "root_id" && value == tree::word(task, "id"));
        if !says_nothing {
            text.push_str(&format!("{name:<11} {}\n", output::one_line(value)));
        }
    }
    for (name, field) in [("asks for", "held"), ("budget", "budget")] {
        if let Some(usd) = task.pointer(&format!("/{field}/usd")).and_then(Value::as_str) {
            text.push_str(&format!("{name:<11} {usd}\n"));
        }
    }
    if task.pointer("/list_cost/nanos").and_then(Value::as_i64).unwrap_or_default() > 0 {
        text.push_str(&format!("{:<11} {}\n", "money", batch::money(task)));
    }
    for deliver in task.get("deliver").and_then(Value::as_array).into_iter().flatten() {
        text.push_str(&format!(
            "{:<11} {} {}\n",
            "deliver to",
            tree::word(deliver, "kind"),
            tree::word(deliver, "host")
        ));
    }
    if tree::is_emulated(task) {
        text.push_str(&format!("{}\n", output::EMULATED));
    }
    let description = tree::word(task, "description");
    if !description.is_empty() {
        text.push_str(&format!("\n{}\n", description.trim_end()));
    }
    format!("{text}\n{}", tree::draw(task))
}

fn path(id: &str, rest: &str) -> Result<String, Trouble> {
    Ok(format!("/api/tasks/{}{rest}", uuid(id)?))
}

/// Reads an id as a person typed or pasted it.
pub(crate) fn uuid(text: &str) -> Result<String, Trouble> {
    let refused = || {
        Trouble::new(
            REFUSED,
            format!("{text:?} is no id; ids look like 01a1fc69-b056-7590-9c14-32d11501f95d and are listed by `ls`"),
        )
    };
    text.trim().parse::<Uuid>().map(|id| id.to_string()).map_err(|_| refused())
}
