//! What templates see of an order and of what its tasks gave.

use super::{
    Plan,
    tree::{Seen, Standing, Tree, standing},
};
use crate::{
    playbook::Uses,
    roster::Roster,
    task::{Cause, Failure, Kind, State},
    template::from_json,
};
use minijinja::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use uuid::Uuid;

type Json = serde_json::Value;
/// The names a template sees.
pub(super) type Names = BTreeMap<&'static str, Value>;

/// Gathers what the templates of one step, or the report, mention.
pub(super) fn names(
    plan: &Plan<'_>,
    tree: &Tree<'_>,
    results: &HashMap<Uuid, Json>,
    uses: &Uses,
) -> Result<Names, Failure> {
    let mut names = Names::new();
    if uses.order {
        names.insert("order", order(plan));
    }
    if uses.departments {
        names.insert("departments", plan.roster.departments.iter().map(department).collect());
        names.insert("specialists", specialists(plan.roster));
    }
    if !uses.steps.is_empty() {
        let mut steps = Vec::with_capacity(uses.steps.len());
        for place in &uses.steps {
            let Some(step) = plan.playbook.steps.get(*place) else { continue };
            let children = tree.step(*place);
            let reader = Reader { roster: plan.roster, results, kind: step.kind };
            let value = if step.for_each.is_some() {
                reader.many(children, standing(step, children))?
            } else {
                reader.single(children.first())?
            };
            steps.push((step.id.as_str(), value));
        }
        names.insert("steps", Value::from_pairs(steps));
    }
    Ok(names)
}

/// Adds the agent that answers.
pub(super) fn agent(names: &Names, roster: &Roster, agent: &crate::roster::Agent) -> Names {
    let department = roster.department_of(&agent.name).map_or("", |department| department.name.as_str());
    let mut names = names.clone();
    let pairs = [("name", agent.name.as_str()), ("title", agent.title.as_str()), ("department", department)];
    names.insert("agent", Value::from_pairs(pairs));
    names
}

fn order(plan: &Plan<'_>) -> Value {
    let order = plan.order;
    Value::from_pairs([
        ("title", Value::from(order.title.as_str())),
        ("description", Value::from(order.description.as_str())),
        ("text", Value::from(order.text())),
        ("agents", order.agents.iter().map(String::as_str).collect()),
    ])
}

fn department(department: &crate::roster::Department) -> Value {
    Value::from_pairs([
        ("name", Value::from(department.name.as_str())),
        ("title", Value::from(department.title.as_str())),
        ("purpose", Value::from(department.purpose.as_str())),
        ("head", Value::from(department.head.as_str())),
        ("specialists", department.specialists.iter().map(String::as_str).collect()),
        ("keywords", department.keywords.iter().map(String::as_str).collect()),
    ])
}

fn specialists(roster: &Roster) -> Value {
    let mut known = HashSet::new();
    let all = roster.departments.iter().flat_map(|department| &department.specialists);
    all.map(String::as_str).filter(|name| known.insert(*name)).collect()
}

struct Reader<'a> {
    roster: &'a Roster,
    results: &'a HashMap<Uuid, Json>,
    kind: Kind,
}

impl Reader<'_> {
    fn single(&self, child: Option<&Seen<'_>>) -> Result<Value, Failure> {
        let (text, data) = match child {
            Some(child) if child.state == State::Completed => self.result(child)?,
            _ => (Value::from(""), Value::from(())),
        };
        let state = child.map_or(State::Pending, |child| child.state);
        let agent = child.and_then(|child| child.agent.as_deref());
        Ok(Value::from_pairs([
            ("text", text),
            ("data", data),
            ("state", Value::from(state.as_str())),
            ("agent", Value::from(agent.unwrap_or_default())),
            ("title", Value::from(self.title(agent))),
            ("reason", Value::from(child.map_or("", reason))),
        ]))
    }

    fn many(&self, children: &[Seen<'_>], standing: Standing) -> Result<Value, Failure> {
        let mut answers = Vec::new();
        let mut failed = Vec::new();
        for child in children.iter().filter(|child| !child.is_skipped()) {
            let agent = child.agent.as_deref();
            let who = [("agent", Value::from(agent.unwrap_or_default())), ("title", Value::from(self.title(agent)))];
            if child.state == State::Completed {
                let (text, data) = self.result(child)?;
                answers.push(Value::from_pairs(who.into_iter().chain([("text", text), ("data", data)])));
            } else {
                failed.push(Value::from_pairs(who.into_iter().chain([("reason", Value::from(reason(child)))])));
            }
        }
        let state = match standing {
            Standing::Open => State::InProgress,
            Standing::Badly => State::Failed,
            Standing::Well if !answers.is_empty() => State::Completed,
            Standing::Well if failed.is_empty() => State::Cancelled,
            Standing::Well => State::Failed,
        };
        Ok(Value::from_pairs([
            ("answers", Value::from(answers)),
            ("failed", Value::from(failed)),
            ("state", Value::from(state.as_str())),
        ]))
    }

    /// Returns the text and the data of a completed task.
    fn result(&self, child: &Seen<'_>) -> Result<(Value, Value), Failure> {
        let Some(result) = child.id.and_then(|id| self.results.get(&id)) else {
            // To go on would be to hand a model an empty answer and call it the colleague's.
            return Err(Failure::new(Cause::Internal, "the result of a completed task was not at hand"));
        };
        let text = result.get("text").and_then(Json::as_str).unwrap_or_default();
        let data = match self.kind {
            Kind::Command => from_json(result),
            _ => result.get("data").map_or(Value::from(()), from_json),
        };
        Ok((Value::from(text), data))
    }

    fn title<'b>(&'b self, agent: Option<&'b str>) -> &'b str {
        agent.map_or("", |name| self.roster.agent(name).map_or(name, |agent| agent.title.as_str()))
    }
}

fn reason<'b>(child: &'b Seen<'_>) -> &'b str {
    child.failure.as_ref().map_or("", |failure| failure.reason.as_str())
}
