//! Keeps templates from growing without end. minijinja counts instructions, not bytes: forty doublings of a text are
//! few instructions and a terabyte.
//!
//! * A value that is given a name by `set` is measured: each `set` is read as `set name = (value) | bounded`.
//! * What would gather text unmeasured is refused at load: blocks of `filter` and `set`, and lists or `with` values
//!   that are made with `~`, `+` or `*`; so are expressions with very many of these operators.
//! * Filters that make much of little are asked first how much it will be.

use super::Misfit;
use minijinja::{
    Environment, Error, ErrorKind, State, Value, filters,
    value::{Rest, ValueKind},
};

/// The largest value that is given a name or made by a filter, in bytes of text; a list's element counts as some.
const MAX_VALUE: usize = 2 << 20;
/// What a list's element takes besides its text, roughly.
const ELEMENT: usize = 32;
/// The operators `~`, `+` and `*` of one piece of code, and the `*` among them: each makes a text of its own.
const MAX_OPERATORS: usize = 64;
const MAX_REPEATS: usize = 2;
/// The most digits of a number beside a `*`, and of a width.
const MAX_DIGITS: usize = 5;
/// The most parts that `batch` and `slice` make, and the deepest indentation of JSON.
const MAX_PARTS: i64 = 10_000;
const MAX_INDENT: i64 = 16;

/// Puts the measured filters in the place of minijinja's own.
pub(super) fn register(environment: &mut Environment<'_>) {
    environment.add_filter(BOUNDED, bounded);
    add(environment, "replace", Value::from_function(filters::replace), replaced);
    add(environment, "join", Value::from_function(filters::join), joined);
    add(environment, "indent", Value::from_function(filters::indent), indented);
    add(environment, "format", Value::from_function(filters::format), formatted);
    add(environment, "batch", Value::from_function(filters::batch), |args| parts(args, MAX_PARTS));
    add(environment, "slice", Value::from_function(filters::slice), |args| parts(args, MAX_PARTS));
    add(environment, "tojson", Value::from_function(filters::tojson), |args| parts(args, MAX_INDENT));
}

const BOUNDED: &str = "bounded";

/// Measures what a filter would make of its arguments.
type Measure = fn(&[Value]) -> Result<usize, Error>;

fn add(environment: &mut Environment<'_>, name: &'static str, own: Value, measure: Measure) {
    let filter = move |state: &mut State<'_, '_>, args: Rest<Value>| -> Result<Value, Error> {
        match measure(&args)? {
            size if size > MAX_VALUE => Err(too_large(name)),
            _ => own.call(state, &args),
        }
    };
    environment.add_filter(name, filter);
}

fn too_large(what: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("`{what}` gives more than {MAX_VALUE} bytes"))
}

/// Hands a value on that is not too large.
fn bounded(value: &Value) -> Result<Value, Error> {
    let mut left = MAX_VALUE;
    if weigh(value, &mut left) { Ok(value.clone()) } else { Err(too_large("set")) }
}

/// Takes a value's weight off what is left; false when it is more. What a list holds twice weighs twice.
fn weigh(value: &Value, left: &mut usize) -> bool {
    let own = value.as_str().map_or(ELEMENT, |text| text.len() + ELEMENT);
    let Some(rest) = left.checked_sub(own) else { return false };
    *left = rest;
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter().is_ok_and(|mut elements| elements.all(|one| weigh(&one, left)))
        }
        ValueKind::Map => value.try_iter().is_ok_and(|mut keys| {
            keys.all(|key| weigh(&key, left) && value.get_item(&key).is_ok_and(|one| weigh(&one, left)))
        }),
        _ => true,
    }
}

fn weight(value: &Value) -> usize {
    let mut left = MAX_VALUE;
    if weigh(value, &mut left) { MAX_VALUE - left } else { MAX_VALUE + 1 }
}

fn text(args: &[Value], place: usize) -> &str {
    args.get(place).and_then(Value::as_str).unwrap_or_default()
}

fn replaced(args: &[Value]) -> Result<usize, Error> {
    let (whole, from, to) = (text(args, 0), text(args, 1), text(args, 2));
    Ok(whole.matches(from).count().saturating_mul(to.len()).saturating_add(whole.len()))
}

fn joined(args: &[Value]) -> Result<usize, Error> {
    let whole = args.first().map_or(0, weight);
    // The joiner may come as a keyword: the longest text among the others is reckoned with.
    let joiner = args.iter().skip(1).flat_map(texts).map(|text| text.len()).max().unwrap_or(0);
    Ok((whole / ELEMENT).saturating_mul(joiner).saturating_add(whole))
}

fn indented(args: &[Value]) -> Result<usize, Error> {
    let whole = text(args, 0);
    let width = args.iter().skip(1).flat_map(numbers).max().unwrap_or(4);
    let width = usize::try_from(width).unwrap_or(usize::MAX);
    Ok(whole.lines().count().saturating_add(1).saturating_mul(width).saturating_add(whole.len()))
}

fn formatted(args: &[Value]) -> Result<usize, Error> {
    let whole = text(args, 0);
    if has_long_number(whole, MAX_DIGITS - 1) || whole.contains('*') {
        return Err(Error::new(ErrorKind::InvalidOperation, "`format` with a width of more than four digits"));
    }
    let rest: usize = args.iter().skip(1).map(weight).fold(0, usize::saturating_add);
    Ok(whole.len().saturating_add(rest))
}

/// Refuses a filter whose numbers are too large; its result is as large as its argument.
fn parts(args: &[Value], most: i64) -> Result<usize, Error> {
    match args.iter().skip(1).flat_map(numbers).find(|number| *number > most) {
        Some(number) => Err(Error::new(ErrorKind::InvalidOperation, format!("{number} is more than {most}"))),
        None => Ok(args.first().map_or(0, weight)),
    }
}

/// Returns an argument, or those given by keyword.
fn given(arg: &Value) -> Vec<Value> {
    if !arg.is_kwargs() {
        return vec![arg.clone()];
    }
    let keys = arg.try_iter().into_iter().flatten();
    keys.filter_map(|key| arg.get_item(&key).ok()).collect()
}

fn numbers(arg: &Value) -> Vec<i64> {
    given(arg).iter().filter_map(|value| value.as_i64().or_else(|| value.is_number().then_some(i64::MAX))).collect()
}

fn texts(arg: &Value) -> Vec<String> {
    given(arg).iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()
}

fn has_long_number(text: &str, most: usize) -> bool {
    text.split(|letter: char| !letter.is_ascii_digit()).any(|digits| digits.len() > most)
}

/// Refuses a bare expression that grows too much.
pub(super) fn expression(source: &str) -> Result<(), Misfit> {
    operators(source).map_err(|reason| Misfit { line: 1, reason })
}

/// Returns a template with its `set`s measured, or says what in it is refused.
pub(super) fn template(source: &str) -> Result<String, Misfit> {
    let mut guarded = String::with_capacity(source.len() + 64);
    let mut at = 0;
    let mut raw = false;
    while let Some(rest) = source.get(at..) {
        let next = ["{{", "{%", "{#"].iter().filter_map(|open| Some((rest.find(open)?, *open))).min();
        let Some((start, open)) = next else { break };
        let inside = at + start + open.len();
        let code = source.get(inside..).unwrap_or_default();
        let length = match open {
            "{#" => code.find("#}").unwrap_or(code.len()),
            "{%" => end_of(code, "%}"),
            _ => end_of(code, "}}"),
        };
        let code = code.get(..length).unwrap_or_default();
        guarded.push_str(source.get(at..inside).unwrap_or_default());
        at = inside + length;
        let line = || source.get(..inside).unwrap_or_default().matches('\n').count() + 1;
        let word = code.trim_start_matches(['-', '+']).split_whitespace().next().unwrap_or_default();
        if open == "{%" && matches!(word.trim_end_matches(['-', '+']), "raw" | "endraw") {
            raw = word.starts_with("raw");
        }
        if raw || open == "{#" {
            guarded.push_str(code);
            continue;
        }
        let checked = operators(code).and_then(|()| if open == "{%" { statement(code, word) } else { Ok(None) });
        match checked {
            Ok(Some(measured)) => guarded.push_str(&measured),
            Ok(None) => guarded.push_str(code),
            Err(reason) => return Err(Misfit { line: line(), reason }),
        }
    }
    guarded.push_str(source.get(at..).unwrap_or_default());
    Ok(guarded)
}

/// Checks a statement; a `set` is returned with its value measured.
fn statement(code: &str, word: &str) -> Result<Option<String>, String> {
    match word {
        "filter" => {
            Err("a `filter` block is not served: put the filter behind the value, as in `{{ x | upper }}`".to_owned())
        }
        "for" | "with" if plain(code).contains(['~', '+', '*']) => {
            Err(format!("`{word}` over what `~`, `+` or `*` makes is not served: give it a name by `set` first"))
        }
        "set" => {
            let Some(equals) = plain(code).find('=') else {
                return Err("a block of `set` is not served: `set name = value` is".to_owned());
            };
            let (target, value) = code.split_at(equals + 1);
            // A `-` or `+` at the end trims what follows the statement.
            let body = value.trim_end();
            let body = body.strip_suffix(['-', '+']).unwrap_or(body);
            let tail = value.get(body.len()..).unwrap_or_default();
            Ok(Some(format!("{target} ({body}) | {BOUNDED} {tail}")))
        }
        _ => Ok(None),
    }
}

fn operators(code: &str) -> Result<(), String> {
    let plain = plain(code.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']));
    let operators = plain.matches(['~', '+', '*']).count();
    let repeats = plain.matches('*').count();
    if operators > MAX_OPERATORS || repeats > MAX_REPEATS {
        return Err(format!(
            "one piece of code has at most {MAX_OPERATORS} of `~`, `+` and `*`, and {MAX_REPEATS} of `*` among them"
        ));
    }
    if repeats > 0 && has_long_number(&plain, MAX_DIGITS) {
        return Err(format!("a number beside `*` has at most {MAX_DIGITS} digits"));
    }
    Ok(())
}

/// Returns code with the letters of its strings blanked, at the same places.
fn plain(code: &str) -> String {
    let mut plain = String::with_capacity(code.len());
    let mut quote = None;
    let mut escaped = false;
    for letter in code.chars() {
        match quote {
            None => {
                quote = matches!(letter, '"' | '\'').then_some(letter);
                plain.push(letter);
                continue;
            }
            Some(_) if escaped => escaped = false,
            Some(_) if letter == '\\' => escaped = true,
            Some(open) if letter == open => quote = None,
            Some(_) => {}
        }
        // As many bytes, so that places stay places.
        plain.extend(std::iter::repeat_n('_', letter.len_utf8()));
    }
    plain
}

/// Returns where code ends: at its closing mark outside strings.
fn end_of(code: &str, close: &str) -> usize {
    plain(code).find(close).unwrap_or(code.len())
}
