//! Lists the recipes and takes new ones, checked by `domain`. Refuses to replace one that is there under its name:
//! whoever orders by a name must get what the name stood for.

use crate::{
    body,
    error::{Code, Problem, ProblemBody, Wrong},
    fields::Fields,
    gateway::Gateway,
    idempotency::{self, Done, once},
    keyring::Caller,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Data, Payload},
};
use domain::{
    playbook::Playbook,
    roster::{Agent, Roster},
};
use serde::Serialize;
use serde_json::json;
use store::{AgentRow, NewPlaybook, Origin, PlaybookRow};
use time::OffsetDateTime;
use utoipa::ToSchema;

/// A recipe that orders may name.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Playbook)]
pub(crate) struct PlaybookShown {
    /// Its unique name.
    name: String,
    /// One sentence for people.
    description: String,
    /// `built_in`, `folder` or `api`.
    origin: &'static str,
    /// The hash of its text: orders under way keep the text they were accepted with.
    hash: String,
    /// The TOML.
    source: String,
    /// When it was first kept.
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
}

impl From<PlaybookRow> for PlaybookShown {
    fn from(row: PlaybookRow) -> Self {
        Self {
            name: row.name,
            description: row.description,
            origin: row.origin.as_str(),
            hash: row.hash,
            source: row.source,
            created_at: row.created_at,
        }
    }
}

/// The recipes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Playbooks)]
pub(crate) struct PlaybooksShown {
    /// By name.
    playbooks: Vec<PlaybookShown>,
}

/// Lists the recipes that orders may name.
#[utoipa::path(get, path = "/api/playbooks", tag = "playbooks", responses(
    (status = 200, description = "The recipes.", body = PlaybooksShown),
    (status = 401, description = "No known key.", body = ProblemBody),
))]
pub(crate) async fn list(request: HttpRequest, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    Fields::of_query(request.query_string()).finish()?;
    let rows = gateway.store.playbooks_list().await?;
    let playbooks = rows.into_iter().map(PlaybookShown::from).collect();
    Ok(HttpResponse::Ok().json(PlaybooksShown { playbooks }))
}

/// Adds a recipe, or the next version of one that came this way. It is TOML; a wrong one is refused with line and reason.
#[utoipa::path(post, path = "/api/playbooks", tag = "playbooks",
    request_body(content = String, content_type = "application/toml", description = "The recipe."),
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the call safe to repeat.")),
    responses(
        (status = 201, description = "Orders may name it now.", body = PlaybookShown),
        (status = 401, description = "No known key.", body = ProblemBody),
        (status = 403, description = "Not a master's key.", body = ProblemBody),
        (status = 409, description = "The program or its folder has a recipe of that name.", body = ProblemBody),
        (status = 413, description = "The body is too large.", body = ProblemBody),
        (status = 415, description = "Not application/toml.", body = ProblemBody),
        (status = 422, description = "The recipe is refused: `line` and why.", body = ProblemBody),
    ))]
pub(crate) async fn put(
    request: HttpRequest,
    payload: Payload,
    caller: Caller,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let (bytes, source) = body::text(&request, payload, "application/toml").await?;
    let asked = idempotency::of(&request, &bytes)?;
    let playbook = Playbook::parse("playbook.toml", &source).map_err(|refused| {
        Problem::new(Code::InvalidPlaybook, format!("Line {}: {}", refused.line, refused.reason))
            .with_fact("line", refused.line)
            .with_error(Wrong::new("", refused.reason, "a playbook as GET /api/playbooks shows them"))
    })?;
    once(&gateway, &caller, asked, async || {
        let agents = gateway.store.agents_list().await?;
        known_agents(agents).check_playbook(&playbook).map_err(|unknown| {
            Problem::new(
                Code::InvalidPlaybook,
                format!("Step {:?} names the agent {:?}, whom nobody knows.", unknown.step, unknown.agent),
            )
            .with_error(Wrong::new(
                format!("step.{}", unknown.step),
                "names an unknown agent",
                "an agent of GET /api/agents",
            ))
        })?;
        add(&gateway, &playbook, &source).await
    })
    .await
}

async fn add(gateway: &Gateway, playbook: &Playbook, source: &str) -> Result<Done, Problem> {
    let current = gateway.store.playbooks_list().await?;
    let own = |row: &&PlaybookRow| row.name == playbook.name && row.origin != Origin::Api;
    if let Some(taken) = current.iter().find(own) {
        return Err(name_taken(&playbook.name).with_fact("origin", taken.origin.as_str()));
    }
    let added = gateway.store.playbook_add(&NewPlaybook::of(playbook, source, Origin::Api)).await;
    // The program took the name a moment ago.
    added.map_err(|error| if error.is_taken() { name_taken(&playbook.name) } else { error.into() })?;
    let rows = gateway.store.playbooks_list().await?;
    let row = rows.into_iter().find(|row| row.name == playbook.name).ok_or_else(|| name_taken(&playbook.name))?;
    Ok(Done { status: StatusCode::CREATED, body: json!(PlaybookShown::from(row)), kept: None, task_id: None })
}

fn name_taken(name: &str) -> Problem {
    Problem::new(Code::NameTaken, format!("Another playbook is called {name:?}.")).with_error(Wrong::new(
        "name",
        "is taken",
        "a name that no playbook of the program or its folder has",
    ))
}

/// The names that a playbook may have in its steps, as far as a check needs them.
fn known_agents(rows: Vec<AgentRow>) -> Roster {
    let agents = rows.into_iter().map(|row| Agent {
        name: row.name,
        title: row.title,
        system: String::new(),
        models: row.models,
        max_tokens: 1,
    });
    Roster { departments: Vec::new(), agents: agents.collect() }
}
