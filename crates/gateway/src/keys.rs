//! Makes, lists and revokes API keys. Refuses to show a key twice and to lock the last master out.

use crate::{
    body,
    error::{Code, Problem, ProblemBody},
    fields::Fields,
    gateway::Gateway,
    idempotency::{self, Done, once},
    keyring::{Caller, fresh_key, hash_of},
    tasks::id_of,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Data, Payload},
};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::json;
use store::{ApiKey, NewKey, Role};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// The longest name of a key, in characters.
const MAX_NAME: usize = 100;

/// A key to be made.
#[derive(Debug, ToSchema)]
#[schema(as = NewKey)]
#[expect(dead_code, reason = "describes for OpenAPI what `Fields` reads")]
pub(crate) struct NewKeyShown {
    /// What people call it.
    #[schema(example = "거실 태블릿")]
    name: String,
    /// `master`, `agent` or `viewer`.
    #[schema(example = "viewer")]
    role: String,
    /// The agent that a key of role `agent` speaks for; for that role alone.
    agent_name: Option<String>,
}

/// A key, without itself.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub(crate) struct KeyShown {
    /// The key's id.
    id: Uuid,
    /// What people call it.
    name: String,
    /// `master`, `agent` or `viewer`.
    role: &'static str,
    /// The agent that it speaks for.
    agent_name: Option<String>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// When it was revoked.
    #[serde(with = "time::serde::rfc3339::option")]
    revoked_at: Option<OffsetDateTime>,
}

impl From<ApiKey> for KeyShown {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id,
            name: key.name,
            role: key.role.as_str(),
            agent_name: key.agent_name,
            created_at: key.created_at,
            revoked_at: key.revoked_at,
        }
    }
}

/// A key that was made.
#[derive(Debug, ToSchema)]
#[schema(as = MadeKey)]
#[expect(dead_code, reason = "describes for OpenAPI what `create` answers")]
pub(crate) struct MadeKeyShown {
    /// The key's id.
    id: Uuid,
    /// What people call it.
    name: String,
    /// `master`, `agent` or `viewer`.
    role: String,
    /// The agent that it speaks for.
    agent_name: Option<String>,
    /// The key itself, shown this once; null when the answer is a replay.
    key: Option<String>,
}

/// All keys.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Keys)]
pub(crate) struct KeysShown {
    /// The oldest first, revoked ones included.
    keys: Vec<KeyShown>,
}

/// Lists the keys, without themselves.
#[utoipa::path(get, path = "/api/keys", tag = "keys", responses(
    (status = 200, description = "The keys.", body = KeysShown),
    (status = 401, description = "No known key.", body = ProblemBody),
    (status = 403, description = "Not a master's key.", body = ProblemBody),
))]
pub(crate) async fn list(request: HttpRequest, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    Fields::of_query(request.query_string()).finish()?;
    let keys = gateway.store.key_list().await?.into_iter().map(KeyShown::from).collect();
    Ok(HttpResponse::Ok().json(KeysShown { keys }))
}

/// Makes a key and shows it this once.
#[utoipa::path(post, path = "/api/keys", tag = "keys",
    request_body = NewKeyShown,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the call safe to repeat; the replay has no key.")),
    responses(
        (status = 201, description = "The key.", body = MadeKeyShown),
        (status = 401, description = "No known key.", body = ProblemBody),
        (status = 403, description = "Not a master's key.", body = ProblemBody),
        (status = 422, description = "Wrong fields.", body = ProblemBody),
    ))]
pub(crate) async fn create(
    request: HttpRequest,
    payload: Payload,
    caller: Caller,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let (bytes, mut fields) = body::object(&request, payload).await?;
    let name = fields.needed_text("name", MAX_NAME);
    let role = fields.needed_word::<Role>("role", "one of master, agent, viewer");
    let agent_name = match (role, fields.given("agent_name")) {
        (Some(Role::Agent), _) => Some(fields.needed_name("agent_name")),
        (_, true) => {
            fields.any("agent_name");
            if role.is_some() {
                fields.say("agent_name", "does not go with this role", "nothing, or the role agent");
            }
            None
        }
        _ => None,
    };
    fields.finish()?;
    let role = role.unwrap_or(Role::Viewer);
    let asked = idempotency::of(&request, &bytes)?;
    once(&gateway, &caller, asked, async || {
        let key = fresh_key();
        let (id, hash) = (Uuid::now_v7(), hash_of(key.expose_secret()).to_vec());
        let new = NewKey { id, name: name.clone(), role, agent_name: agent_name.clone(), hash };
        gateway.store.key_new(&new).await?;
        tracing::info!(key = %id, %role, by = &*caller.name, "made a key");
        let shown = |key| json!({"id": id, "name": name, "role": role.as_str(), "agent_name": agent_name, "key": key});
        let (body, kept) = (shown(Some(key.expose_secret())), Some(shown(None)));
        Ok(Done { status: StatusCode::CREATED, body, kept, task_id: None })
    })
    .await
}

/// Revokes a key. It works no longer at this gateway at once, at others within ten seconds.
#[utoipa::path(delete, path = "/api/keys/{id}", tag = "keys",
    params(("id" = Uuid, Path, description = "The key's id.")),
    responses(
        (status = 204, description = "It is revoked."),
        (status = 401, description = "No known key.", body = ProblemBody),
        (status = 403, description = "Not a master's key.", body = ProblemBody),
        (status = 404, description = "No such key, or it was revoked before.", body = ProblemBody),
        (status = 409, description = "It is the last master key.", body = ProblemBody),
    ))]
pub(crate) async fn revoke(
    request: HttpRequest,
    caller: Caller,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let id = id_of(&request)?;
    let keys = gateway.store.key_list().await?;
    let good = |key: &&ApiKey| key.revoked_at.is_none();
    let masters = keys.iter().filter(good).filter(|key| key.role == Role::Master).count();
    let key = keys.iter().filter(good).find(|key| key.id == id);
    let key = key.ok_or_else(|| Problem::new(Code::NotFound, "There is no such key that could be revoked."))?;
    if key.role == Role::Master && masters == 1 {
        return Err(Problem::new(Code::LastMaster, "Make another master key first."));
    }
    gateway.store.key_revoke(id).await?;
    gateway.keyring.forget();
    tracing::info!(key = %id, by = &*caller.name, "revoked a key");
    Ok(HttpResponse::NoContent().finish())
}
