//! The functions and filters that prompts may use besides minijinja's own.

use crate::department::{Candidate, choose};
use minijinja::{Environment, Error, ErrorKind, State, Value};

/// Adds them all.
pub(super) fn register(environment: &mut Environment<'_>) {
    environment.add_function("department", department);
    environment.add_filter("quote_block", quote_block);
    environment.add_filter("truncate_chars", truncate_chars);
}

/// `department(name, order)`: the department of that name or title, else the one that the keywords of the
/// order's text point to, else the first; `how` says which. The name may be missing, null or undefined.
#[expect(clippy::needless_pass_by_value, reason = "minijinja hands optional arguments over by value")]
fn department(state: &State<'_, '_>, name: Option<Value>, order: Option<Value>) -> Result<Value, Error> {
    let refuse = |text: &'static str| Error::new(ErrorKind::InvalidOperation, text);
    let departments = state.lookup("departments").ok_or_else(|| refuse("the departments are not at hand"))?;
    let departments: Vec<Value> = departments.try_iter()?.collect();
    let mut parts = Vec::with_capacity(departments.len());
    for one in &departments {
        let keywords: Vec<Value> = one.get_attr("keywords")?.try_iter()?.collect();
        parts.push((one.get_attr("name")?, one.get_attr("title")?, keywords));
    }
    let candidates: Vec<Candidate<'_>> = parts
        .iter()
        .map(|(name, title, keywords)| Candidate {
            name: name.as_str().unwrap_or_default(),
            title: title.as_str().unwrap_or_default(),
            keywords: keywords.iter().filter_map(Value::as_str).collect(),
        })
        .collect();
    let text = match &order {
        Some(order) if order.as_str().is_some() => order.clone(),
        Some(order) => order.get_attr("text")?,
        None => Value::UNDEFINED,
    };
    let named = name.as_ref().and_then(Value::as_str);
    let (index, how) = choose(&candidates, named, text.as_str().unwrap_or_default())
        .ok_or_else(|| refuse("the roster has no department"))?;
    let chosen = departments.get(index).ok_or_else(|| refuse("the roster has no department"))?;
    let mut pairs = vec![("how", Value::from(how.as_str()))];
    for key in ["name", "title", "purpose", "head", "specialists"] {
        pairs.push((key, chosen.get_attr(key)?));
    }
    Ok(Value::from_pairs(pairs))
}

/// `text | quote_block`: each line behind `> `, so that a quoted text cannot pass for the prompt's own.
fn quote_block(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 16);
    for line in text.lines() {
        if !quoted.is_empty() {
            quoted.push('\n');
        }
        quoted.push_str("> ");
        quoted.push_str(line);
    }
    quoted
}

/// `text | truncate_chars(n)`: at most n characters (not bytes), the last one `…` when something was cut.
fn truncate_chars(text: &str, count: usize) -> String {
    if text.chars().nth(count).is_none() {
        return text.to_owned();
    }
    text.chars().take(count.saturating_sub(1)).chain((count > 0).then_some('…')).collect()
}
