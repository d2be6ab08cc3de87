//! Finds unknown filters and tests when a playbook is loaded; minijinja itself finds them when it renders.

use super::Misfit;
use minijinja::{Environment, ErrorKind};

/// Checks the filters (`| name`) and tests (`is name`) of a template, or of a bare expression.
pub(super) fn check(environment: &Environment<'_>, source: &str, bare: bool) -> Result<(), Misfit> {
    if source.contains("raw") && source.contains("endraw") {
        // What lies in a raw block is no code; telling the two apart would take minijinja's own parser.
        return Ok(());
    }
    let mut state = environment.empty_state();
    for (name, what, at) in names(source, bare) {
        let unknown = match what {
            What::Filter => state.apply_filter(name, &[]).is_err_and(|e| e.kind() == ErrorKind::UnknownFilter),
            What::Test => state.perform_test(name, &[]).is_err_and(|e| e.kind() == ErrorKind::UnknownTest),
        };
        if unknown {
            let line = source.get(..at).unwrap_or_default().matches('\n').count() + 1;
            let what = if what == What::Filter { "filter" } else { "test" };
            return Err(Misfit { line, reason: format!("there is no {what} `{name}`") });
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Filter,
    Test,
}

/// Returns the names of the filters and tests, with the byte where each begins.
fn names(source: &str, bare: bool) -> Vec<(&str, What, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    if bare {
        scan(source, &mut at, None, &mut found);
        return found;
    }
    while let Some(rest) = source.get(at..) {
        let open = |pattern: &str| rest.find(pattern).unwrap_or(usize::MAX);
        let (start, close) = [(open("{{"), "}}"), (open("{%"), "%}"), (open("{#"), "#}")]
            .into_iter()
            .min_by_key(|(start, _)| *start)
            .unwrap_or((usize::MAX, ""));
        if start == usize::MAX {
            break;
        }
        at += start + 2;
        if close == "#}" {
            at += source.get(at..).and_then(|rest| rest.find(close)).unwrap_or(rest.len());
        } else {
            scan(source, &mut at, Some(close), &mut found);
        }
    }
    found
}

/// Walks code up to the closing mark, or to the end.
fn scan<'a>(source: &'a str, at: &mut usize, close: Option<&str>, found: &mut Vec<(&'a str, What, usize)>) {
    // The word before decides what a name is: `|` makes it a filter, `is` (and `is not`) a test.
    let mut before = "";
    while let Some(rest) = source.get(*at..) {
        let Some(letter) = rest.chars().next() else { break };
        if close.is_some_and(|close| rest.starts_with(close)) {
            break;
        }
        let word = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len());
        let length = match letter {
            '"' | '\'' => string(rest, letter),
            _ if word > 0 => word,
            _ => letter.len_utf8(),
        };
        let token = rest.get(..length).unwrap_or_default();
        *at += length.max(1);
        if letter.is_whitespace() {
            continue;
        }
        let name = word > 0 && !letter.is_ascii_digit();
        match before {
            "|" if name => found.push((token, What::Filter, *at - length)),
            "is" | "is not" if name && token != "not" => found.push((token, What::Test, *at - length)),
            _ => {}
        }
        before = match (before, token) {
            ("is", "not") => "is not",
            // An attribute called `is` tests nothing.
            (".", _) => "",
            _ => token,
        };
    }
}

/// Returns the length of a string literal, its quotes included.
fn string(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if letter == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}
