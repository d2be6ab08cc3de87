//! `chavion task`: new, ls, show, watch, cancel, retry.

use crate::{
    args::TaskVerb,
    client::{Client, Done, done},
    order, output, tree,
};
use serde_json::{Value, json};

/// Does what the verb says.
pub(crate) async fn run(client: &Client, verb: &TaskVerb, json: bool) -> Done {
    match verb {
        TaskVerb::New { title, description, playbook, priority } => {
            let mut body = json!({ "title": title, "description": description });
            if let Some(object) = body.as_object_mut() {
                object.extend(playbook.iter().map(|name| ("playbook".to_owned(), Value::from(name.as_str()))));
                object.extend(priority.iter().map(|word| ("priority".to_owned(), Value::from(word.as_str()))));
            }
            let task = client.post("/api/tasks", &body).await?;
            if json { output::json(&task) } else { output::say(tree::word(&task, "id")) }
            done()
        }
        TaskVerb::Ls { state, limit } => {
            let state = state.as_ref().map(|state| format!("&state={}", encoded(state))).unwrap_or_default();
            let page = client.get(&format!("/api/tasks?limit={limit}{state}")).await?;
            if json {
                output::json(&page);
            } else {
                for task in page.get("tasks").and_then(Value::as_array).into_iter().flatten() {
                    output::say(&format!("{}  {}", tree::word(task, "id"), tree::line(task)));
                }
            }
            done()
        }
        TaskVerb::Show { id } => {
            let task = client.get(&path(id, "tree")).await?;
            if json { output::json(&task) } else { output::say(&tree::draw(&task)) }
            done()
        }
        TaskVerb::Watch { id } => order::follow(client, &encoded(id), json).await,
        TaskVerb::Cancel { id } => change(client, id, "cancel", "cancelled", json).await,
        TaskVerb::Retry { id } => change(client, id, "retry", "runs again from its failed step", json).await,
    }
}

async fn change(client: &Client, id: &str, verb: &str, said: &str, json: bool) -> Done {
    let answer = client.post(&path(id, verb), &json!({})).await?;
    if json { output::json(&answer) } else { output::say(&format!("{id} {said}")) }
    done()
}

fn path(id: &str, rest: &str) -> String {
    format!("/api/tasks/{}/{rest}", encoded(id))
}

/// Keeps what a person typed inside its part of the URL.
fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
