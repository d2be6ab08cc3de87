//! What happens next to an order: the pure decision behind plan and settle.
//!
//! A step starts when all steps that it needs have ended well, which is when their failures are within
//! `tolerate`. When one has ended badly, the steps that need it are cancelled, the others go on, and the
//! order fails when nothing is live any more. What ran therefore depends on what the tasks gave, never on
//! which was faster.
//! Refuses to know time, rows and announcements, and is never asked about an order that has ended.

mod context;
mod deliver;
mod looped;
mod pass;
mod ready;
mod render;
mod restart;
mod tree;

pub use looped::{MOST_SAME_ASKS, looped};

use crate::{
    order::Order,
    pace::{Facts, Pace},
    playbook::Playbook,
    roster::Roster,
    task::{Failure, Kind, State},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;
use uuid::Uuid;

/// What a decision reads besides the tasks.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// What was ordered.
    pub order: &'a Order,
    /// How it is done.
    pub playbook: &'a Playbook,
    /// By whom.
    pub roster: &'a Roster,
    /// The time, and how each model may be asked.
    pub facts: &'a Facts,
}

/// One child task of the root, as far as a decision needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// The row's id.
    pub id: Uuid,
    /// The step it belongs to.
    pub step: String,
    /// Its place in the step's `for_each`, from 0.
    pub item: Option<i32>,
    /// Where it stands.
    pub state: State,
    /// Who performs it.
    pub agent: Option<String>,
    /// Why it ended badly.
    pub failure: Option<Failure>,
    /// What tells whether two asks are the same: [`AskWork::fingerprint`] of the work it was queued with.
    pub fingerprint: Option<i64>,
    /// How often it was begun, without the attempts that were put off.
    pub attempts: i32,
}

impl Default for View {
    /// A task that has yet to begin.
    fn default() -> Self {
        Self {
            id: Uuid::nil(),
            step: String::new(),
            item: None,
            state: State::Pending,
            agent: None,
            failure: None,
            fingerprint: None,
            attempts: 0,
        }
    }
}

/// One thing to carry out. A decision's actions are carried out together or not at all.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Insert a child task.
    Create(Child),
    /// Move a pending task to queued, with its work.
    Queue {
        /// The pending task.
        id: Uuid,
        /// Who performs it.
        agent: Option<String>,
        /// What people read.
        title: String,
        /// What is to be done.
        work: Work,
        /// How fast the answer must come; never [`Pace::Auto`].
        pace: Pace,
        /// Why, when that is not what was ordered.
        pace_reason: Option<String>,
    },
    /// Move a live task to cancelled.
    Cancel {
        /// The task.
        id: Uuid,
        /// Why.
        failure: Failure,
    },
    /// Move a pending task to failed: its work could not be made.
    FailTask {
        /// The task.
        id: Uuid,
        /// Why.
        failure: Failure,
    },
    /// The order is done.
    Complete {
        /// The report in Markdown.
        report: String,
    },
    /// The order failed.
    Fail {
        /// Why.
        failure: Failure,
    },
}

/// A child task to be inserted.
#[derive(Debug, Clone, PartialEq)]
pub struct Child {
    /// The step it belongs to.
    pub step: String,
    /// Its place in the step's `for_each`, from 0.
    pub item: Option<i32>,
    /// Who performs it.
    pub kind: Kind,
    /// What people read.
    pub title: String,
    /// The agent's name.
    pub agent: Option<String>,
    /// How fast the answer must come; [`Pace::Auto`] only while it is not queued.
    pub pace: Pace,
    /// Why, when that is not what was ordered.
    pub pace_reason: Option<String>,
    /// `pending`, `queued`, `cancelled` (skipped) or `failed` (bad template).
    pub state: State,
    /// What is to be done; present when `state` is `queued`.
    pub work: Option<Work>,
    /// Present when `state` is `cancelled` or `failed`.
    pub failure: Option<Failure>,
}

/// What a performer is handed, kept in the task's row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Work {
    /// For a model.
    Ask(AskWork),
    /// For the executor.
    Command(CommandWork),
    /// For the courier.
    Deliver(DeliverWork),
}

/// One question to a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AskWork {
    /// The agent's system prompt.
    pub system: String,
    /// The question.
    pub prompt: String,
    /// What the answer must satisfy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// `provider/model`, in order of preference.
    pub models: Vec<String>,
    /// The most tokens the answer may have.
    pub max_tokens: u32,
    /// How often a misfit is asked again.
    pub retry: u32,
    /// Time limit of the whole ask, in milliseconds.
    pub timeout_ms: u64,
    /// Whether it may be asked at pace now when batches fail it.
    #[serde(default = "yes")]
    pub fallback: bool,
    /// The rounds of asks from this one to the order's end, this one included.
    #[serde(default = "one")]
    pub rounds: u32,
    /// How often the order had made the very same ask when this one was queued.
    #[serde(default)]
    pub twins: u32,
}

const fn yes() -> bool {
    true
}

const fn one() -> u32 {
    1
}

/// One command for the executor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandWork {
    /// The shell script.
    pub script: String,
    /// Time limit, in milliseconds.
    pub timeout_ms: u64,
    /// Whether it may run twice.
    pub repeatable: bool,
}

/// One delivery of the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeliverWork {
    /// Where to.
    pub target: crate::order::Deliver,
    /// The report in Markdown.
    pub report: String,
}

/// Returns the ids of the tasks whose results [`advance`] will read: empty when nothing becomes ready.
#[must_use]
pub fn wants(plan: &Plan<'_>, tasks: &[View]) -> Vec<Uuid> {
    ready::wants(plan, tasks)
}

/// Decides what happens next to an order that has not ended. With the same input it gives the same output;
/// after its actions are carried out, calling it again gives nothing. `results` holds what [`wants`] named.
#[must_use]
pub fn advance(plan: &Plan<'_>, tasks: &[View], results: &HashMap<Uuid, Value>) -> Vec<Action> {
    pass::advance(plan, tasks, results)
}

/// Returns the ended children that go back to pending when a failed or cancelled order is retried: all that
/// failed or were cancelled, except what was skipped and the tolerated failures of steps that ended well.
#[must_use]
pub fn restart(plan: &Plan<'_>, tasks: &[View]) -> Vec<Uuid> {
    restart::restart(plan, tasks)
}
