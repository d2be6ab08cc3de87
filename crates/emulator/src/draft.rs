//! Turns an ask into what is answered, before it has a wire format: text, JSON by schema, or a tool call.
//! Refuses to look at anything but the ask and the fault.

use crate::count;
use crate::fault::{Effect, Fault, unmarked};
use crate::ledger::Usage;
use crate::options::Options;
use crate::seed::{self, Draw};
use crate::shape::{self, Subject};
use crate::text::{self, Question};
use crate::wire::Ask;

/// What an answer consists of.
#[derive(Debug)]
pub(crate) enum Part {
    Text(String),
    /// A tool call; the arguments are JSON.
    Call {
        name: String,
        arguments: String,
    },
    Refusal(String),
    Nothing,
}

/// Why an answer ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    End,
    Length,
    Sequence(String),
    Call,
    Refusal,
    Blocked,
    Unknown,
}

/// An answer before it is written in a wire format.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) part: Part,
    pub(crate) stop: Stop,
    pub(crate) usage: Usage,
}

/// Makes the answer to an ask; the same ask, seed and fault always give the same.
pub(crate) fn compose(ask: &Ask<'_>, options: &Options, fault: Option<&Fault>) -> Draft {
    let effect = fault.map(|fault| fault.effect);
    let mut stop = Stop::End;
    let mut part = match effect {
        Some(Effect::Empty) => Part::Nothing,
        Some(Effect::Refusal) => {
            stop = Stop::Refusal;
            Part::Refusal(format!("{} I cannot help with that.", text::MARK))
        }
        Some(Effect::Blocked) => {
            stop = Stop::Blocked;
            Part::Nothing
        }
        _ => answer(ask, options, effect),
    };
    match &mut part {
        Part::Call { .. } => stop = Stop::Call,
        Part::Text(text) => {
            if let Some(early) = shorten(ask, effect, text) {
                stop = early;
            }
        }
        Part::Refusal(_) | Part::Nothing => {}
    }
    if effect == Some(Effect::UnknownStop) {
        stop = Stop::Unknown;
    }
    let usage = usage(ask, &part, fault);
    Draft { part, stop, usage }
}

fn answer(ask: &Ask<'_>, options: &Options, effect: Option<Effect>) -> Part {
    let number = seed::hash(options.seed, [ask.model.as_ref()].into_iter().chain(ask.texts()));
    let last = unmarked(ask.last());
    let brief = options.brief || ask.model.ends_with("-brief");
    if ask.schema.is_none() && ask.forced.is_none() && brief {
        return Part::Text(text::brief(&last));
    }
    let question = Question::find(&last);
    let schema = ask.forced.as_ref().map(|forced| &forced.parameters).or(ask.schema.as_ref());
    let Some(schema) = schema else {
        return Part::Text(text::compose(&unmarked(&ask.system), &last, &question, Draw::new(number)));
    };
    let subject = Subject { question: &question, prompt: &last, system: &ask.system };
    let value = if effect == Some(Effect::Misfit) {
        shape::misfit(schema, &subject, number)
    } else {
        shape::fit(schema, &subject, number)
    };
    let arguments = value.to_string();
    match &ask.forced {
        Some(forced) => Part::Call { name: forced.name.clone(), arguments },
        None => Part::Text(arguments),
    }
}

/// Cuts a text where the ask's limits, or the fault, want it cut.
fn shorten(ask: &Ask<'_>, effect: Option<Effect>, text: &mut String) -> Option<Stop> {
    let mut stop = None;
    let found = ask.stops.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| Some((text.find(stop)?, stop)));
    if let Some((at, word)) = found.min() {
        text.truncate(at);
        stop = Some(Stop::Sequence(word.clone()));
    }
    let whole = count::tokens(text);
    let most = if effect == Some(Effect::MaxTokens) { whole / 2 } else { u64::MAX };
    let limit = most.min(ask.max_tokens.unwrap_or(u64::MAX));
    if whole > limit {
        text.truncate(count::cut(text, limit).len());
        stop = Some(Stop::Length);
    }
    stop
}

fn usage(ask: &Ask<'_>, part: &Part, fault: Option<&Fault>) -> Usage {
    let written = match part {
        Part::Text(text) | Part::Refusal(text) => count::tokens(text),
        Part::Call { name, arguments } => count::tokens(name) + count::tokens(arguments) + 8,
        Part::Nothing => 0,
    };
    let added = fault.map(|fault| fault.usage).unwrap_or_default();
    Usage { input: ask.input_tokens(), output: written + added.reasoning, ..added }
}
