//! From templates to work: the agent, the prompt or script, the title; conditions and lists.

use super::{
    AskWork, CommandWork, Plan, Work,
    context::{self, Names},
    pass::At,
};
use crate::{
    task::{Cause, Failure},
    template::{Engine, Expression, Text},
};
use minijinja::{Value, value::ValueKind};

/// The most tasks that one `for_each` may make.
const MAX_ITEMS: usize = 1_000;
/// The longest rendered title, in characters.
const MAX_TITLE_CHARS: usize = 300;

/// Renders the title and the work of one task; `agent` is set as soon as it is known, for the failure's sake.
pub(super) fn work(
    plan: &Plan<'_>,
    at: At<'_>,
    names: &Names,
    agent: &mut Option<String>,
) -> Result<(String, Work), Failure> {
    let engine = &plan.playbook.compiled().engine;
    let timeout_ms = u64::try_from(at.step.timeout.as_millis()).unwrap_or(u64::MAX);
    let text = |text: &Text, what: &str, context: &Value| {
        let rendered = engine.render(text, context);
        rendered.map_err(|reason| Failure::new(Cause::BadTemplate, format!("`{what}`: {reason}")))
    };
    let Some(template) = &at.compiled.agent else {
        let context = Value::from(names.clone());
        let script = text(&at.compiled.prompt, "script", &context)?;
        let title = one_line(&text(&at.compiled.title, "title", &context)?, &at.step.id);
        let work = CommandWork { script, timeout_ms, repeatable: at.step.repeatable };
        return Ok((title, Work::Command(work)));
    };
    let name = match template {
        Text::Constant(name) => name.clone(),
        Text::Template(_) => text(template, "agent", &Value::from(names.clone()))?.trim().to_owned(),
    };
    let Some(known) = plan.roster.agent(&name) else {
        return Err(Failure::new(Cause::Unsupported, format!("there is no agent {name:?} in the roster")));
    };
    *agent = Some(name);
    let context = Value::from(context::agent(names, plan.roster, known));
    let prompt = text(&at.compiled.prompt, "prompt", &context)?;
    if prompt.trim().is_empty() {
        return Err(Failure::new(Cause::BadTemplate, "`prompt`: nothing is left of it after rendering"));
    }
    let title = one_line(&text(&at.compiled.title, "title", &context)?, &at.step.id);
    let work = AskWork {
        system: known.system.clone(),
        prompt,
        schema: at.step.schema.clone(),
        models: known.models.clone(),
        max_tokens: known.max_tokens,
        retry: at.step.retry,
        timeout_ms,
        fallback: at.step.fallback,
        rounds: at.compiled.rounds,
        twins: 0,
    };
    Ok((title, Work::Ask(work)))
}

/// Makes one line of a title; blank ones give way to the step's id.
pub(super) fn one_line(title: &str, id: &str) -> String {
    let words: Vec<&str> = title.split(|letter: char| letter.is_whitespace() || letter.is_control()).collect();
    let line = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_TITLE_CHARS) {
        _ if line.is_empty() => id.to_owned(),
        Some((end, _)) => line.get(..end).unwrap_or_default().to_owned(),
        None => line,
    }
}

/// Decides a condition.
pub(super) fn truth(engine: &Engine, when: &Expression, names: &Names) -> Result<bool, String> {
    match when {
        Expression::Constant(value) => Ok(value.is_true()),
        Expression::Source(_) => engine
            .evaluate(when, &Value::from(names.clone()))
            .map(|value| value.is_true())
            .map_err(|reason| format!("`when`: {reason}")),
    }
}

/// Returns the elements of a list.
pub(super) fn elements(engine: &Engine, list: &Expression, names: &Names) -> Result<Vec<Value>, String> {
    let value = engine.evaluate(list, &Value::from(names.clone())).map_err(|reason| format!("`for_each`: {reason}"))?;
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        return Err(format!("`for_each` gave {}, not a list", value.kind()));
    }
    let elements = value.try_iter().map_err(|error| format!("`for_each`: {error}"))?;
    let elements: Vec<Value> = elements.take(MAX_ITEMS + 1).collect();
    if elements.len() > MAX_ITEMS {
        return Err(format!("`for_each` gave more than {MAX_ITEMS} elements"));
    }
    Ok(elements)
}
