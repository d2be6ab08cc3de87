//! Makes numbers within bounds. Refuses to give them a meaning beyond their range.

use serde_json::{Map, Number, Value};

use crate::seed::Draw;

/// A whole number within `minimum`, `maximum`, their exclusive forms and `multipleOf`.
pub(super) fn integer(schema: &Map<String, Value>, draw: &mut Draw) -> Value {
    let step = schema.get("multipleOf").and_then(whole_step).unwrap_or(1).max(1);
    let low = low_bounds(schema).map(|(bound, open)| {
        let up = rounded(bound.ceil());
        if open && exact(bound) { up + 1 } else { up }
    });
    let high = high_bounds(schema).map(|(bound, open)| {
        let down = rounded(bound.floor());
        if open && exact(bound) { down - 1 } else { down }
    });
    let (low, high) = match (low.max(), high.min()) {
        (Some(low), Some(high)) => (low, high),
        (Some(low), None) => (low, low + 9 * step),
        (None, Some(high)) => (high - 9 * step, high),
        (None, None) => (1, 9 * step),
    };
    let first = low.div_euclid(step) * step + if low.rem_euclid(step) == 0 { 0 } else { step };
    let places = ((high - first).div_euclid(step) + 1).clamp(1, 10);
    let chosen = first + step * i128::try_from(draw.below(usize::try_from(places).unwrap_or(1))).unwrap_or(0);
    let number = i64::try_from(chosen).map(Number::from).or_else(|_| u64::try_from(chosen).map(Number::from));
    number.map_or(Value::Null, Value::Number)
}

/// A number within its bounds; a share such as `confidence` is 0.8 when nothing forbids it.
pub(super) fn decimal(schema: &Map<String, Value>, name: &str, draw: &mut Draw) -> Value {
    let low = low_bounds(schema).map(|(bound, _)| bound).reduce(f64::max);
    let high = high_bounds(schema).map(|(bound, _)| bound).reduce(f64::min);
    if let Some(step) = schema.get("multipleOf").and_then(Value::as_f64).filter(|step| *step > 0.0) {
        if exact(step) {
            return integer(schema, draw);
        }
        let open = low_bounds(schema).any(|(bound, open)| open && Some(bound) == low);
        let mut places = (low.unwrap_or(0.0) / step).ceil();
        if open && low.is_some_and(|low| places * step <= low) {
            places += 1.0;
        }
        return number(places * step);
    }
    let lower = name.to_lowercase();
    let share =
        ["confidence", "score", "probability", "share", "ratio", "확신"].iter().any(|word| lower.contains(word));
    let inside = |value: f64| low.is_none_or(|low| value > low) && high.is_none_or(|high| value < high);
    if share && inside(0.8) {
        return number(0.8);
    }
    let part = [0.25, 0.5, 0.75].get(draw.below(3)).copied().unwrap_or(0.5);
    number(match (low, high) {
        (Some(low), Some(high)) => low + (high - low) * part,
        (Some(low), None) => low + part * 4.0,
        (None, Some(high)) => high - part * 4.0,
        (None, None) => part * 4.0,
    })
}

fn number(value: f64) -> Value {
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// Lower bounds, each with whether it is open; a boolean `exclusiveMinimum` opens `minimum`.
fn low_bounds(schema: &Map<String, Value>) -> impl Iterator<Item = (f64, bool)> {
    bounds(schema, "minimum", "exclusiveMinimum")
}

fn high_bounds(schema: &Map<String, Value>) -> impl Iterator<Item = (f64, bool)> {
    bounds(schema, "maximum", "exclusiveMaximum")
}

fn bounds(schema: &Map<String, Value>, closed: &str, open: &str) -> impl Iterator<Item = (f64, bool)> {
    let opened = schema.get(open);
    let first = schema.get(closed).and_then(Value::as_f64).map(|bound| (bound, opened == Some(&Value::Bool(true))));
    let second = opened.and_then(Value::as_f64).map(|bound| (bound, true));
    first.into_iter().chain(second)
}

fn whole_step(value: &Value) -> Option<i128> {
    value.as_f64().filter(|step| exact(*step)).map(rounded)
}

fn exact(value: f64) -> bool {
    value.fract() == 0.0
}

/// A float without fraction as an integer; far beyond any bound of a schema it is zero.
fn rounded(value: f64) -> i128 {
    format!("{value:.0}").parse().unwrap_or(0)
}
