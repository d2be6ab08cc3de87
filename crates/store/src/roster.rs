//! The agents and departments that people see and orders may name. The prompts stay with the orchestrator.

use crate::{
    connect::Store,
    error::Error,
    row::Columns,
    statement::{AGENT_LIST, AGENT_PUT, DEPARTMENT_LIST, DEPARTMENT_PUT},
    text,
};
use domain::roster::{Agent, Department, Roster};
use time::OffsetDateTime;

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRow {
    /// Its unique name.
    pub name: String,
    /// What people read.
    pub title: String,
    /// Its department.
    pub department: Option<String>,
    /// `head`, `specialist` or `visiting`.
    pub role: String,
    /// Its models in order of preference.
    pub models: Vec<String>,
    /// Whether Chavion calls a model for it.
    pub resident: bool,
    /// When a visiting agent was last heard of.
    pub last_seen_at: Option<OffsetDateTime>,
    /// How many tasks it works on.
    pub working: i64,
}

/// A department.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DepartmentRow {
    /// Its unique name.
    pub name: String,
    /// What people read.
    pub title: String,
    /// What it is for.
    pub purpose: String,
    /// The agent that synthesises.
    pub head: String,
}

impl Store {
    /// Makes these the departments and the resident agents; visiting agents stay.
    ///
    /// # Errors
    /// When the database cannot be asked, a name comes twice, or a text holds NUL.
    pub async fn roster_put(&self, roster: &Roster) -> Result<(), Error> {
        let mut models = Vec::with_capacity(roster.agents.len());
        for agent in &roster.agents {
            text::check("title", &agent.title)?;
            models.push(text::json(AGENT_PUT.name, &agent.models)?);
        }
        for department in &roster.departments {
            text::check("title", &department.title)?;
            text::check("purpose", &department.purpose)?;
        }
        let homes: Vec<Option<&Department>> = roster.agents.iter().map(|agent| home(roster, agent)).collect();
        let department = |read: fn(&Department) -> &str| roster.departments.iter().map(read).collect::<Vec<_>>();
        let agent = |read: fn(&Agent) -> &str| roster.agents.iter().map(read).collect::<Vec<_>>();
        let roles: Vec<&str> = roster
            .agents
            .iter()
            .zip(&homes)
            .map(|(agent, home)| if home.is_some_and(|home| home.head == agent.name) { "head" } else { "specialist" })
            .collect();
        let homes: Vec<Option<&str>> = homes.iter().map(|home| home.map(|home| home.name.as_str())).collect();
        self.exclusive(&[
            (
                &DEPARTMENT_PUT,
                &[
                    &department(|department| &department.name),
                    &department(|department| &department.title),
                    &department(|department| &department.purpose),
                    &department(|department| &department.head),
                ],
            ),
            (&AGENT_PUT, &[&agent(|agent| &agent.name), &agent(|agent| &agent.title), &homes, &roles, &models]),
        ])
        .await?;
        Ok(())
    }

    /// Lists the agents by department, each with how many tasks it works on.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn agents_list(&self) -> Result<Vec<AgentRow>, Error> {
        let rows = self.rows(&AGENT_LIST, &[]).await?;
        rows.iter()
            .map(|row| {
                let mut columns = Columns::of(row, AGENT_LIST.name);
                Ok(AgentRow {
                    name: columns.next()?,
                    title: columns.next()?,
                    department: columns.next()?,
                    role: columns.next()?,
                    models: columns.next()?,
                    resident: columns.next()?,
                    last_seen_at: columns.next()?,
                    working: columns.next()?,
                })
            })
            .collect()
    }

    /// Lists the departments by name.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn departments_list(&self) -> Result<Vec<DepartmentRow>, Error> {
        let rows = self.rows(&DEPARTMENT_LIST, &[]).await?;
        rows.iter()
            .map(|row| {
                let mut columns = Columns::of(row, DEPARTMENT_LIST.name);
                Ok(DepartmentRow {
                    name: columns.next()?,
                    title: columns.next()?,
                    purpose: columns.next()?,
                    head: columns.next()?,
                })
            })
            .collect()
    }
}

/// Returns the department that an agent works for.
fn home<'a>(roster: &'a Roster, agent: &Agent) -> Option<&'a Department> {
    roster
        .departments
        .iter()
        .find(|department| department.head == agent.name || department.specialists.contains(&agent.name))
}
