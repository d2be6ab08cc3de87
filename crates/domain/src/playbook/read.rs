//! From TOML to drafts of steps: keys, types and the rules of one step alone.

use super::{DELIVER_STEP, PlaybookError, Step, Tolerate};
use crate::{
    document::{Document, Located, Table},
    pace::Pace,
    roster::is_name,
    schema,
    task::Kind,
};
use std::{ops::Range, time::Duration};

const MAX_BYTES: usize = 1 << 20;
const MAX_STEPS: usize = 100;
const MAX_RETRY: u32 = 10;
const DEFAULT_RETRY: u32 = 2;
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);
const KEYS: [&str; 17] = [
    "id",
    "title",
    "kind",
    "needs",
    "agent",
    "agents",
    "prompt",
    "script",
    "schema",
    "for_each",
    "when",
    "pace",
    "fallback",
    "retry",
    "timeout",
    "tolerate",
    "repeatable",
];
const RESERVED: [(&str, &str); 4] = [
    ("tools", "is a word of playbooks that is not served yet: take it out"),
    ("budget", "is a word of playbooks that is not served yet: take it out"),
    ("approve", "is a word of playbooks that is not served yet: take it out"),
    ("description", "belongs to the playbook; a step has a title"),
];

/// A playbook before its steps are checked against each other.
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) report: Option<Located<String>>,
    pub(super) steps: Vec<StepDraft>,
}

/// A step, and where its parts are in the file.
pub(super) struct StepDraft {
    pub(super) step: Step,
    pub(super) at: Range<usize>,
    pub(super) needs: Vec<Range<usize>>,
    pub(super) title: Option<Range<usize>>,
    pub(super) agent: Option<Range<usize>>,
    pub(super) prompt: Range<usize>,
    pub(super) for_each: Option<Range<usize>>,
    pub(super) when: Option<Range<usize>>,
}

/// Reads the whole file.
pub(super) fn read(document: Document<'_>) -> Result<Draft, PlaybookError> {
    if document.text.len() > MAX_BYTES {
        return Err(document.refuse(0, format!("the file is longer than {MAX_BYTES} bytes")));
    }
    let root = document.read("the playbook")?;
    root.keys(&["name", "description", "report", "step"], &[("steps", "is spelled [[step]], one for each step")])?;
    let name = root.needed("name")?;
    if !is_name(&name.value) {
        let reason = format!("{:?} is not a name: a-z, 0-9, _ and -, at most 64 characters", name.value);
        return Err(document.refuse(name.at.start, reason));
    }
    let tables = root.tables("step", "step")?;
    if tables.is_empty() {
        return Err(document.refuse(0, "there is no [[step]]: a playbook has at least one"));
    }
    if let Some(extra) = tables.get(MAX_STEPS) {
        return Err(extra.refuse(format!("a playbook has at most {MAX_STEPS} steps")));
    }
    Ok(Draft {
        name: name.value,
        description: root.text("description")?.map(|text| text.value).unwrap_or_default(),
        report: root.text("report")?,
        steps: tables.into_iter().map(step).collect::<Result<_, _>>()?,
    })
}

fn step(mut table: Table<'_>) -> Result<StepDraft, PlaybookError> {
    let id = table.needed("id")?;
    let letters = id.value.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    if !letters || id.value.len() > 64 || !id.value.starts_with(|first: char| first.is_ascii_lowercase()) {
        let reason =
            format!("{:?} is not a step's id: a-z, 0-9 and _, a letter first, at most 64 characters", id.value);
        return Err(table.document().refuse(id.at.start, reason));
    }
    if id.value == DELIVER_STEP {
        let reason = format!("no step may be called `{DELIVER_STEP}`: that is where the report goes");
        return Err(table.document().refuse(id.at.start, reason));
    }
    table.rename(format!("step `{}`", id.value));
    table.keys(KEYS.as_slice(), RESERVED.as_slice())?;
    let kind = kind(&table)?;
    let (prompt, agent, for_each) = performer(&table, kind)?;
    let needs = table.texts("needs")?.unwrap_or_default();
    let title = table.text("title")?;
    let when = table.text("when")?;
    let part = |text: &Option<Located<String>>| text.as_ref().map(|text| text.at.clone());
    Ok(StepDraft {
        at: table.at.clone(),
        needs: needs.iter().map(|need| need.at.clone()).collect(),
        title: part(&title),
        agent: part(&agent),
        prompt: prompt.at.clone(),
        for_each: part(&for_each),
        when: part(&when),
        step: Step {
            title: title.map_or_else(|| id.value.clone(), |title| title.value),
            id: id.value,
            kind,
            needs: needs.into_iter().map(|need| need.value).collect(),
            agent: agent.map(|agent| agent.value),
            prompt: prompt.value,
            schema: json_schema(&table)?,
            for_each: for_each.map(|list| list.value),
            when: when.map(|when| when.value),
            pace: pace(&table)?,
            fallback: fallback(&table)?,
            retry: table.count("retry", 0..MAX_RETRY + 1)?.map_or(default_retry(kind), |retry| retry.value),
            timeout: timeout(&table)?,
            tolerate: tolerate(&table)?,
            repeatable: table.flag("repeatable")?.is_some_and(|flag| flag.value),
        },
    })
}

const fn default_retry(kind: Kind) -> u32 {
    match kind {
        Kind::Ask => DEFAULT_RETRY,
        _ => 0,
    }
}

fn kind(table: &Table<'_>) -> Result<Kind, PlaybookError> {
    let Some(word) = table.text("kind")? else { return Ok(Kind::Ask) };
    let refuse = |reason: String| table.document().refuse(word.at.start, format!("{}: {reason}", table.what()));
    match word.value.parse() {
        Ok(kind @ (Kind::Ask | Kind::Command)) => Ok(kind),
        Ok(other) => Err(refuse(format!("the kind `{other}` is not served in a playbook yet; ask and command are"))),
        Err(unknown) => Err(refuse(format!("`kind`: {unknown}"))),
    }
}

type Performer = (Located<String>, Option<Located<String>>, Option<Located<String>>);

/// Reads the prompt or script, the agent and the list; `agents` is a shorthand for the last two.
fn performer(table: &Table<'_>, kind: Kind) -> Result<Performer, PlaybookError> {
    let what = table.what();
    let refuse = |at: &Range<usize>, reason: &str| table.document().refuse(at.start, format!("{what}: {reason}"));
    let (own, other) = if kind == Kind::Ask { ("prompt", "script") } else { ("script", "prompt") };
    if let Some(text) = table.text(other)? {
        return Err(refuse(&text.at, &format!("`{other}` does not belong to the kind `{kind}`; `{own}` does")));
    }
    let prompt = table.needed(own)?;
    if prompt.value.trim().is_empty() {
        return Err(refuse(&prompt.at, &format!("`{own}` is empty")));
    }
    let agent = table.text("agent")?;
    let agents = table.texts("agents")?;
    let for_each = table.text("for_each")?;
    if kind == Kind::Command {
        for key in ["agent", "agents", "schema", "pace", "fallback", "retry"] {
            if let Some(found) = table.json(key)? {
                return Err(refuse(&found.at, &format!("`{key}` does not belong to a command")));
            }
        }
        return Ok((prompt, None, for_each));
    }
    if let Some(repeatable) = table.flag("repeatable")? {
        return Err(refuse(&repeatable.at, "`repeatable` belongs to commands: an ask may always run twice"));
    }
    let Some(agents) = agents else {
        let Some(agent) = agent else {
            return Err(table.refuse(format!("{what}: `agent` is missing: an ask names who answers")));
        };
        return Ok((prompt, Some(agent), for_each));
    };
    if let Some(both) = agent.as_ref().or(for_each.as_ref()) {
        return Err(refuse(&both.at, "`agents` stands for `agent` and `for_each`: give either, not both"));
    }
    let Some(first) = agents.first() else {
        return Err(table.refuse(format!("{what}: `agents` is empty")));
    };
    for (index, name) in agents.iter().enumerate() {
        if !is_name(&name.value) || agents.iter().take(index).any(|known| known.value == name.value) {
            return Err(refuse(&name.at, &format!("{:?} is not an agent's name, or is there twice", name.value)));
        }
    }
    let names: Vec<&str> = agents.iter().map(|name| name.value.as_str()).collect();
    let list = serde_json::Value::from(names).to_string();
    let located = |value: String| Located { value, at: first.at.clone() };
    Ok((prompt, Some(located("{{ item }}".to_owned())), Some(located(list))))
}

fn json_schema(table: &Table<'_>) -> Result<Option<serde_json::Value>, PlaybookError> {
    let Some(found) = table.json("schema")? else { return Ok(None) };
    let refuse = |line: usize, reason: String| {
        table.document().refuse_within(&found.at, line, format!("{}: `schema`: {reason}", table.what()))
    };
    let schema = match &found.value {
        serde_json::Value::String(text) => {
            serde_json::from_str(text).map_err(|error| refuse(error.line(), format!("not JSON: {error}")))?
        }
        other => other.clone(),
    };
    if !schema.is_object() {
        return Err(refuse(1, "must be a table, or a string that holds a JSON object".to_owned()));
    }
    schema::check_schema(&schema).map_err(|reason| refuse(1, reason))?;
    Ok(Some(schema))
}

fn pace(table: &Table<'_>) -> Result<Option<Pace>, PlaybookError> {
    let Some(word) = table.text("pace")? else { return Ok(None) };
    word.value.parse().map(Some).map_err(|unknown: crate::task::UnknownWord| {
        table.document().refuse(word.at.start, format!("{}: `pace`: {unknown}", table.what()))
    })
}

fn fallback(table: &Table<'_>) -> Result<bool, PlaybookError> {
    let Some(word) = table.text("fallback")? else { return Ok(true) };
    match word.value.as_str() {
        "now" => Ok(true),
        "none" => Ok(false),
        other => {
            let reason = format!("{}: `fallback`: {other:?} is not one of now, none", table.what());
            Err(table.document().refuse(word.at.start, reason))
        }
    }
}

fn tolerate(table: &Table<'_>) -> Result<Tolerate, PlaybookError> {
    let Some(word) = table.text("tolerate")? else { return Ok(Tolerate::None) };
    match word.value.as_str() {
        "none" => Ok(Tolerate::None),
        "some" => Ok(Tolerate::Some),
        "all" => Ok(Tolerate::All),
        other => {
            let reason = format!("{}: `tolerate`: {other:?} is not one of none, some, all", table.what());
            Err(table.document().refuse(word.at.start, reason))
        }
    }
}

fn timeout(table: &Table<'_>) -> Result<Duration, PlaybookError> {
    let Some(found) = table.json("timeout")? else { return Ok(DEFAULT_TIMEOUT) };
    let seconds = match &found.value {
        serde_json::Value::Number(seconds) => seconds.as_u64(),
        serde_json::Value::String(text) => duration(text),
        _ => None,
    };
    match seconds.map(Duration::from_secs) {
        Some(timeout) if !timeout.is_zero() && timeout <= MAX_TIMEOUT => Ok(timeout),
        _ => {
            let reason = format!(
                "{}: `timeout` must be \"90s\", \"10m\", \"2h\" or whole seconds, more than 0 and at most 24 h, not {}",
                table.what(),
                found.value
            );
            Err(table.document().refuse(found.at.start, reason))
        }
    }
}

/// Reads `90s`, `10m` or `2h` as seconds.
fn duration(text: &str) -> Option<u64> {
    let (number, factor) = [("s", 1), ("m", 60), ("h", 3600)]
        .into_iter()
        .find_map(|(unit, factor)| text.strip_suffix(unit).map(|number| (number, factor)))?;
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if digits { number.parse::<u64>().ok()?.checked_mul(factor) } else { None }
}
