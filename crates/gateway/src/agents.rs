//! Shows who is there: agents and their departments. Refuses to show what they are told to be.

use crate::{
    error::{Problem, ProblemBody},
    fields::Fields,
    gateway::Gateway,
};
use actix_web::{HttpRequest, HttpResponse, web::Data};
use serde::Serialize;
use store::{AgentRow, DepartmentRow};
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;

/// For how long a visiting agent counts as online after it was heard of.
const ONLINE: Duration = Duration::minutes(2);

/// An agent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Agent)]
pub(crate) struct AgentShown {
    /// Its unique name.
    name: String,
    /// What people read.
    title: String,
    /// Its department.
    department: Option<String>,
    /// `head`, `specialist` or `visiting`.
    role: String,
    /// Its models in order of preference, each `provider/model`.
    models: Vec<String>,
    /// Whether Chavion calls a model for it.
    resident: bool,
    /// `online`, `working` or `offline`.
    state: &'static str,
    /// How many tasks it works on.
    working: i64,
    /// When a visiting agent was last heard of.
    #[serde(with = "time::serde::rfc3339::option")]
    last_seen_at: Option<OffsetDateTime>,
}

impl AgentShown {
    fn of(agent: AgentRow, now: OffsetDateTime) -> Self {
        let heard = agent.last_seen_at.is_some_and(|seen| now - seen < ONLINE);
        let state = match agent.working {
            1.. => "working",
            _ if agent.resident || heard => "online",
            _ => "offline",
        };
        Self {
            name: agent.name,
            title: agent.title,
            department: agent.department,
            role: agent.role,
            models: agent.models,
            resident: agent.resident,
            state,
            working: agent.working,
            last_seen_at: agent.last_seen_at,
        }
    }
}

/// A department.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Department)]
pub(crate) struct DepartmentShown {
    /// Its unique name.
    name: String,
    /// What people read.
    title: String,
    /// What it is for.
    purpose: String,
    /// The agent that synthesises.
    head: String,
}

impl From<DepartmentRow> for DepartmentShown {
    fn from(row: DepartmentRow) -> Self {
        Self { name: row.name, title: row.title, purpose: row.purpose, head: row.head }
    }
}

/// Who is there.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Roster)]
pub(crate) struct RosterShown {
    /// The agents, by department.
    agents: Vec<AgentShown>,
    /// The departments.
    departments: Vec<DepartmentShown>,
}

/// Lists the agents and their departments.
#[utoipa::path(get, path = "/api/agents", tag = "agents", responses(
    (status = 200, description = "Who is there.", body = RosterShown),
    (status = 401, description = "No known key.", body = ProblemBody),
))]
pub(crate) async fn list(request: HttpRequest, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    Fields::of_query(request.query_string()).finish()?;
    let (agents, departments) = tokio::try_join!(gateway.store.agents_list(), gateway.store.departments_list())?;
    let now = OffsetDateTime::now_utc();
    Ok(HttpResponse::Ok().json(RosterShown {
        agents: agents.into_iter().map(|agent| AgentShown::of(agent, now)).collect(),
        departments: departments.into_iter().map(DepartmentShown::from).collect(),
    }))
}
