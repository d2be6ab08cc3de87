//! The agents and their departments, as `agents.toml` names them.

use crate::{
    document::{Document, Located, Refused, Table},
    playbook::Playbook,
};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// A file of agents that was refused: file, line, reason.
pub type RosterError = Refused;

const MAX_NAME_CHARS: usize = 64;
const MAX_OUTPUT_TOKENS: u32 = 1_000_000;
const NAME: &str = "a name is made of a-z, 0-9, _ and -, at most 64 characters";

/// All agents, by department.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roster {
    /// The departments; classification picks one.
    pub departments: Vec<Department>,
    /// The agents; a department names its own.
    pub agents: Vec<Agent>,
}

/// A head and specialists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Department {
    /// The name used by playbooks and classifiers, `[a-z0-9_-]+`.
    pub name: String,
    /// What people read.
    pub title: String,
    /// What it is for, told to the classifier.
    pub purpose: String,
    /// The agent that synthesises.
    pub head: String,
    /// The agents that analyse.
    pub specialists: Vec<String>,
    /// Words, Korean and English, that point to this department when no classifier could decide.
    pub keywords: Vec<String>,
}

/// A resident agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// The agent's unique name, `[a-z0-9_-]+`.
    pub name: String,
    /// What people read.
    pub title: String,
    /// The system prompt.
    pub system: String,
    /// Models in order of preference, each `provider/model`; a later one stands in for an earlier.
    pub models: Vec<String>,
    /// The most tokens an answer may have.
    #[serde(default = "default_max_tokens")]
    pub max_tokens: u32,
}

const fn default_max_tokens() -> u32 {
    4096
}

/// A playbook that names an agent whom nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("playbook `{playbook}`: step `{step}` names the agent `{agent}`, which is not in the roster")]
pub struct UnknownAgent {
    /// The playbook's name.
    pub playbook: String,
    /// The step's id.
    pub step: String,
    /// The name.
    pub agent: String,
}

/// Tells whether a text is a name: `[a-z0-9_-]+`, at most 64 characters.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=MAX_NAME_CHARS).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

impl Roster {
    /// Reads and checks a file of `[[departments]]` and `[[agents]]`.
    ///
    /// # Errors
    /// Names the file, the line and the reason: an unknown key, a wrong type, a bad or duplicate name, a
    /// department that names an unknown agent, a model that is not `provider/model`.
    pub fn parse(file: &str, text: &str) -> Result<Self, RosterError> {
        let document = Document { file, text };
        let root = document.read("the roster")?;
        root.keys(&["departments", "agents"], &[])?;
        let mut agents = Vec::new();
        let mut names = HashSet::new();
        for mut table in root.tables("agents", "agent")? {
            let agent = agent(&mut table)?;
            if !names.insert(agent.name.clone()) {
                return Err(table.refuse(format!("the agent `{}` is there twice", agent.name)));
            }
            agents.push(agent);
        }
        if agents.is_empty() {
            return Err(document.refuse(0, "there is no [[agents]]: without an agent nobody can answer"));
        }
        let mut departments: Vec<Department> = Vec::new();
        for mut table in root.tables("departments", "department")? {
            let department = department(&mut table, &names)?;
            if departments.iter().any(|known| known.name == department.name) {
                return Err(table.refuse(format!("the department `{}` is there twice", department.name)));
            }
            departments.push(department);
        }
        Ok(Self { departments, agents })
    }

    /// Returns the agent of a name.
    #[must_use]
    pub fn agent(&self, name: &str) -> Option<&Agent> {
        self.agents.iter().find(|agent| agent.name == name)
    }

    /// Returns the department of a name.
    #[must_use]
    pub fn department(&self, name: &str) -> Option<&Department> {
        self.departments.iter().find(|department| department.name == name)
    }

    /// Returns the department that an agent heads or belongs to: the first that names it.
    #[must_use]
    pub fn department_of(&self, agent: &str) -> Option<&Department> {
        self.departments
            .iter()
            .find(|department| department.head == agent || department.specialists.iter().any(|name| name == agent))
    }

    /// Checks that every agent that a playbook names literally exists; templates are checked when they run.
    ///
    /// # Errors
    /// Names the first step whose agent is unknown.
    pub fn check_playbook(&self, playbook: &Playbook) -> Result<(), UnknownAgent> {
        match playbook.named_agents().into_iter().find(|(_, agent)| self.agent(agent).is_none()) {
            None => Ok(()),
            Some((step, agent)) => Err(UnknownAgent { playbook: playbook.name.clone(), step: step.to_owned(), agent }),
        }
    }
}

fn name(table: &mut Table<'_>, what: &str) -> Result<String, RosterError> {
    let name = table.needed("name")?;
    if !is_name(&name.value) {
        return Err(table.document().refuse(name.at.start, format!("{:?} is not a name: {NAME}", name.value)));
    }
    table.rename(format!("{what} `{}`", name.value));
    Ok(name.value)
}

/// Returns a string that is there and not blank.
fn words(table: &Table<'_>, key: &str) -> Result<String, RosterError> {
    let text = table.needed(key)?;
    if text.value.trim().is_empty() {
        return Err(table.document().refuse(text.at.start, format!("{}: `{key}` is empty", table.what())));
    }
    Ok(text.value)
}

fn agent(table: &mut Table<'_>) -> Result<Agent, RosterError> {
    table.keys(&["name", "title", "system", "models", "max_tokens"], &[])?;
    let name = name(table, "agent")?;
    let models = table.texts("models")?.unwrap_or_default();
    if models.is_empty() {
        return Err(table.refuse(format!("agent `{name}`: `models` names no model")));
    }
    for Located { value, at } in &models {
        let sound = value.split_once('/').is_some_and(|(provider, model)| is_name(provider) && is_model(model));
        if !sound {
            let reason = format!("agent `{name}`: {value:?} is not `provider/model`, such as `openai/gpt-6.1-terra`");
            return Err(table.document().refuse(at.start, reason));
        }
    }
    Ok(Agent {
        title: table.text("title")?.map_or_else(|| name.clone(), |title| title.value),
        system: words(table, "system")?,
        models: models.into_iter().map(|model| model.value).collect(),
        max_tokens: table
            .count("max_tokens", 1..MAX_OUTPUT_TOKENS + 1)?
            .map_or(default_max_tokens(), |found| found.value),
        name,
    })
}

/// A model's name may hold slashes (`openrouter/meta/llama`), never blanks.
fn is_model(model: &str) -> bool {
    (1..=200).contains(&model.len()) && model.chars().all(|letter| letter.is_ascii_graphic())
}

fn department(table: &mut Table<'_>, agents: &HashSet<String>) -> Result<Department, RosterError> {
    table.keys(&["name", "title", "purpose", "head", "specialists", "keywords"], &[])?;
    let name = name(table, "department")?;
    let head = table.needed("head")?;
    let specialists = table.texts("specialists")?.unwrap_or_default();
    if specialists.is_empty() {
        return Err(table.refuse(format!("department `{name}`: `specialists` names nobody")));
    }
    for (index, Located { value, at }) in std::iter::once(&head).chain(&specialists).enumerate() {
        if !agents.contains(value) {
            let reason = format!("department `{name}` names the agent `{value}`, which is not among [[agents]]");
            return Err(table.document().refuse(at.start, reason));
        }
        if index > 0 && specialists.iter().take(index - 1).any(|known| known.value == *value) {
            return Err(table.document().refuse(at.start, format!("department `{name}` names `{value}` twice")));
        }
    }
    let keywords = table.texts("keywords")?.unwrap_or_default();
    if let Some(blank) = keywords.iter().find(|keyword| keyword.value.trim().is_empty()) {
        return Err(table.document().refuse(blank.at.start, format!("department `{name}`: a keyword is empty")));
    }
    Ok(Department {
        title: words(table, "title")?,
        purpose: words(table, "purpose")?,
        head: head.value,
        specialists: specialists.into_iter().map(|specialist| specialist.value).collect(),
        keywords: keywords.into_iter().map(|keyword| keyword.value).collect(),
        name,
    })
}
