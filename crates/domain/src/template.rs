//! Prompts: minijinja with the house's functions, strict about what is undefined and bounded in work and size.
//! Refuses to include other templates, to escape for HTML, and to know playbooks: it reports the names a
//! template mentions and leaves it to others to say which of them exist.

mod bounds;
mod functions;
mod lint;

#[cfg(test)]
mod tests;

use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value};
use std::io;

/// Instructions that one rendering may take: far more than a prompt needs, and some milliseconds at most.
const FUEL: u64 = 1_000_000;
/// The longest text that one rendering may give, in bytes.
const MAX_BYTES: usize = 4 << 20;
/// The longest explanation of an error, in characters.
const MAX_REASON_CHARS: usize = 400;

/// A compiled text: most titles and agents' names are constants and cost nothing.
#[derive(Debug, Clone)]
pub(crate) enum Text {
    Constant(String),
    Template(String),
}

/// A compiled expression.
#[derive(Debug, Clone)]
pub(crate) enum Expression {
    Constant(Value),
    Source(String),
}

/// What a template or an expression mentions, dotted: `steps.classify.data`.
pub(crate) type Mentions = Vec<String>;

/// A template that was refused: the line of the template, and why.
#[derive(Debug)]
pub(crate) struct Misfit {
    pub(crate) line: usize,
    pub(crate) reason: String,
}

/// The templates of one playbook, compiled once.
pub(crate) struct Engine {
    environment: Environment<'static>,
}

impl Engine {
    /// Builds an engine without templates.
    pub(crate) fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_fuel(Some(FUEL));
        environment.set_debug(false);
        functions::register(&mut environment);
        bounds::register(&mut environment);
        Self { environment }
    }

    /// Compiles a text under a name that is unique in this engine.
    pub(crate) fn text(&mut self, name: &str, source: &str) -> Result<(Text, Mentions), Misfit> {
        if !["{{", "{%", "{#"].iter().any(|open| source.contains(open)) {
            return Ok((Text::Constant(source.strip_suffix('\n').unwrap_or(source).to_owned()), Vec::new()));
        }
        // First as it was written, so that a refusal speaks of that.
        self.environment.add_template_owned(name.to_owned(), source.to_owned()).map_err(|error| misfit(&error))?;
        let guarded = bounds::template(source)?;
        self.environment.add_template_owned(name.to_owned(), guarded).map_err(|error| misfit(&error))?;
        lint::check(&self.environment, source, false)?;
        let template = self.environment.get_template(name).map_err(|error| misfit(&error))?;
        Ok((Text::Template(name.to_owned()), sorted(template.undeclared_variables(true))))
    }

    /// Compiles an expression.
    pub(crate) fn expression(&self, source: &str) -> Result<(Expression, Mentions), Misfit> {
        if let Ok(constant) = serde_json::from_str::<serde_json::Value>(source) {
            return Ok((Expression::Constant(from_json(&constant)), Vec::new()));
        }
        let compiled = self.environment.compile_expression(source).map_err(|error| misfit(&error))?;
        lint::check(&self.environment, source, true)?;
        bounds::expression(source)?;
        Ok((Expression::Source(source.to_owned()), sorted(compiled.undeclared_variables(true))))
    }

    /// Tells whether a name is one of the engine's own functions.
    pub(crate) fn provides(&self, name: &str) -> bool {
        self.environment.globals().any(|(known, _)| known == name)
    }

    /// Renders a text; the error is one line for people.
    pub(crate) fn render(&self, text: &Text, context: &Value) -> Result<String, String> {
        match text {
            Text::Constant(text) => Ok(text.clone()),
            Text::Template(name) => {
                let template = self.environment.get_template(name).map_err(|error| explain(&error))?;
                let mut output = Capped(Vec::new());
                template.render_captured_to(context.clone(), &mut output).map_err(|error| explain(&error))?;
                String::from_utf8(output.0).map_err(|error| error.to_string())
            }
        }
    }

    /// Evaluates an expression; the error is one line for people.
    pub(crate) fn evaluate(&self, expression: &Expression, context: &Value) -> Result<Value, String> {
        match expression {
            Expression::Constant(value) => Ok(value.clone()),
            Expression::Source(source) => {
                let compiled =
                    self.environment.compile_expression_owned(source.clone()).map_err(|error| explain(&error))?;
                let value = compiled.eval(context.clone()).map_err(|error| explain(&error))?;
                if value.is_undefined() { Err(format!("`{source}` is undefined")) } else { Ok(value) }
            }
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

/// Turns JSON into what templates see.
pub(crate) fn from_json(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(flag) => Value::from(*flag),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::from(number),
            (None, Some(number)) => Value::from(number),
            (None, None) => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(list) => list.iter().map(from_json).collect(),
        serde_json::Value::Object(map) => {
            Value::from_pairs(map.iter().map(|(key, value)| (key.as_str(), from_json(value))))
        }
    }
}

/// Collects an output and stops a template that writes without end.
struct Capped(Vec<u8>);

impl io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > MAX_BYTES {
            return Err(io::Error::other(format!("the text is longer than {MAX_BYTES} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn sorted(names: std::collections::HashSet<String>) -> Mentions {
    let mut names: Vec<String> = names.into_iter().collect();
    names.sort_unstable();
    names
}

fn misfit(error: &minijinja::Error) -> Misfit {
    Misfit { line: error.line().unwrap_or(1).max(1), reason: reason(error) }
}

fn reason(error: &minijinja::Error) -> String {
    let mut text = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    if error.kind() == ErrorKind::WriteFailure
        && let Some(source) = std::error::Error::source(error)
    {
        text = source.to_string();
    }
    if let Some((end, _)) = text.char_indices().nth(MAX_REASON_CHARS) {
        text.truncate(end);
        text.push('…');
    }
    text.replace(['\n', '\r'], " ")
}

fn explain(error: &minijinja::Error) -> String {
    match error.line().filter(|line| *line > 1) {
        Some(line) => format!("{} (line {line} of the template)", reason(error)),
        None => reason(error),
    }
}
