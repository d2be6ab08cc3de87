//! `chavion key`: new, ls, revoke.

use crate::{
    args::KeyVerb,
    client::{Client, Done, done},
    output,
    task::uuid,
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
            } else if word(&made, "key").is_empty() {
                // The first answer was lost on its way, and a key is shown once.
                output::note(&format!(
                    "The key {} was made, but it was not received; revoke it and make another.",
                    word(&made, "id")
                ));
            } else {
                output::say(word(&made, "key"));
                output::note(&format!(
                    "This key is shown once; it is kept as a hash. Its id is {}.",
                    word(&made, "id")
                ));
            }
        }
        KeyVerb::Ls => {
            let page = client.get("/api/keys").await?;
            if json {
                output::json(&page);
                return done();
            }
            for key in page.get("keys").and_then(Value::as_array).into_iter().flatten() {
                let state = if word(key, "revoked_at").is_empty() { "active" } else { "revoked" };
                let agent = word(key, "agent_name");
                let agent = if agent.is_empty() { String::new() } else { format!("  (agent {agent})") };
                let name = output::one_line(word(key, "name"));
                output::say(&format!("{}  {state:7}  {:6}  {name}{agent}", word(key, "id"), word(key, "role")));
            }
        }
        KeyVerb::Revoke { id } => {
            client.delete(&format!("/api/keys/{}", uuid(id)?)).await?;
            output::answer(json, &json!({ "id": id, "revoked": true }), &format!("{id} is revoked"));
        }
    }
    done()
}
