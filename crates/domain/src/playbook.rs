//! Playbooks: TOML recipes that turn a task into child tasks.
//!
//! Keys of the file: `name`, `description`, `report` (a template; default: what the last step answered) and
//! one or more `[[step]]` with `id`, `title` (default: the id), `kind` (`ask` or `command`; default `ask`),
//! `needs`, `agent` (a template) or `agents` (a list of names: one task for each), `prompt` of an ask or
//! `script` of a command, `schema` (a table, or JSON in a string), `for_each`, `when`, `pace`, `fallback`
//! (`"now"`, the default, or `"none"`: what becomes of an ask that batches failed), `retry`, `timeout` (`"90s"`, `"10m"`, `"2h"` or seconds; at most a day), `tolerate`, `repeatable`.
//!
//! Templates and expressions see `order` (`title`, `description`, `text`, `agents`), `departments` (each with
//! `name`, `title`, `purpose`, `head`, `specialists`, `keywords`), `specialists` (the names of all, once each),
//! `item` and `index` in a step with `for_each`, `agent` (`name`, `title`, `department`) in an ask's prompt and
//! title, and under `steps` each step that is needed, directly or not. A single step has `text`, `data`,
//! `state`, `agent`, `title` (the agent's) and `reason`; without a completed task `text` is empty and `data`
//! is none. A step with `for_each` has `answers` (of the completed, in the list's order: `agent`, `title`,
//! `text`, `data`), `failed` (`agent`, `title`, `reason`) and `state`. The data of a command is its result.
//!
//! `when` is decided once for the step; when it mentions `item` or `index`, once for each element.
//! Schemas hold no templates. A classifier's schema asks for a plain string, and
//! `department(steps.classify.data.department, order)` says whether that string names a department.

mod check;
mod compile;
mod mentions;
mod read;

pub(crate) use compile::{Compiled, StepPlan};
pub(crate) use mentions::Uses;

use crate::{document::Document, pace::Pace, task::Kind};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

/// A playbook that was refused: file, line, reason.
pub type PlaybookError = crate::document::Refused;

/// The id that the deliveries of the report have in the tree; no step may have it.
pub const DELIVER_STEP: &str = "deliver";

/// A checked playbook. Built only by [`Playbook::parse`], so whoever holds one holds a sound one.
#[derive(Debug, Clone, PartialEq)]
pub struct Playbook {
    /// The unique name, `[a-z0-9_-]+`.
    pub name: String,
    /// One sentence for people.
    pub description: String,
    /// The template of the report in Markdown.
    pub report: String,
    /// The steps, needs before dependents.
    pub steps: Vec<Step>,
    compiled: Arc<Compiled>,
}

/// One step of a playbook.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Unique in its playbook, `[a-z0-9_]+`.
    pub id: String,
    /// What people read; a template.
    pub title: String,
    /// `ask` or `command` (others as their performers arrive).
    pub kind: Kind,
    /// Steps that must have ended first.
    pub needs: Vec<String>,
    /// Who performs it; a template. `None` for commands.
    pub agent: Option<String>,
    /// What the model is asked, or the script that is run; a template.
    pub prompt: String,
    /// JSON Schema that the answer must satisfy.
    pub schema: Option<serde_json::Value>,
    /// An expression that gives a list: one task for each element, known as `item`.
    pub for_each: Option<String>,
    /// An expression; the step is skipped when it is false.
    pub when: Option<String>,
    /// How fast the answer must come; `None`: the order's own pace.
    pub pace: Option<Pace>,
    /// Whether an ask may be asked at pace now when batches fail it.
    pub fallback: bool,
    /// How often a misfit answer is asked again; 0 for commands.
    pub retry: u32,
    /// The time limit of one task of this step.
    pub timeout: Duration,
    /// What the failure of its tasks means for the steps after it.
    pub tolerate: Tolerate,
    /// Whether a command may run twice (DESIGN §4.5).
    pub repeatable: bool,
}

/// How many of a step's tasks may fail before the order does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tolerate {
    /// Any failure fails the order.
    #[default]
    None,
    /// At least one task must complete.
    Some,
    /// All may fail.
    All,
}

impl Playbook {
    /// Reads and checks a playbook; `file` is only for the refusal.
    ///
    /// # Errors
    /// Names the file, the line and the reason: an unknown key, a wrong type, a cycle, a missing or duplicate
    /// step, a bad template, a mention of what does not exist, an invalid schema, a word not served yet.
    pub fn parse(file: &str, text: &str) -> Result<Self, PlaybookError> {
        let document = Document { file, text };
        let draft = read::read(document)?;
        let steps = check::order(document, draft.steps)?;
        let (report, compiled) = compile::compile(document, draft.report, &steps)?;
        Ok(Self {
            name: draft.name,
            description: draft.description,
            report,
            steps: steps.into_iter().map(|draft| draft.step).collect(),
            compiled: Arc::new(compiled),
        })
    }

    /// Returns the place of a step among the steps.
    #[must_use]
    pub fn position(&self, step: &str) -> Option<usize> {
        self.steps.iter().position(|known| known.id == step)
    }

    pub(crate) fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    /// Returns each step with each agent that it names literally.
    pub(crate) fn named_agents(&self) -> Vec<(&str, String)> {
        let plans = self.steps.iter().zip(&self.compiled.steps);
        plans
            .flat_map(|(step, plan)| plan.named_agents(step).into_iter().map(|name| (step.id.as_str(), name)))
            .collect()
    }
}
