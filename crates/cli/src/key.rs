//! `chavion key`: new, ls, revoke.

use crate::{
    args::KeyVerb,
    client::{Client, Done, done},
    output,
    tree::word,
};
use serde_json::{Value, json};

/// Does what the verb says.
pub(crate) async fn run(client: &Client, verb: &KeyVerb, json: bool) -> Done {
    match verb {
        KeyVerb::New { name, role, agent } => {
            let mut body = json!({ "name": name, "role": role });
            if let (Some(object), Some(agent)) = (body.as_object_mut(), agent) {
                object.insert("agent_name".to_owned(), agent.as_str().into());
            }
            let made = client.post("/api/keys", &body).await?;
            if json {
                output::json(&made);
            } else {
                output::say(word(&made, "key"));
                output::note("This key is shown once; it is kept as a hash.");
            }
        }
        KeyVerb::Ls => {
            let page = client.get("/api/keys").await?;
            if json {
                output::json(&page);
            } else {
                for key in page.get("keys").and_then(Value::as_array).into_iter().flatten() {
                    let state = if key.get("revoked_at").is_some_and(|at| !at.is_null()) { "revoked" } else { "active" };
                    output::say(&format!("{}  {:7} {:7} {}", word(key, "id"), state, word(key, "role"), word(key, "name")));
                }
            }
        }
        KeyVerb::Revoke { id } => {
            let id: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
            let answer = client.delete(&format!("/api/keys/{id}")).await?;
            if json { output::json(&answer) } else { output::say(&format!("{id} revoked")) }
        }
    }
    done()
}
