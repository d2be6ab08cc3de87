//! One ask, freed of its wire format. Refuses to know how it will be answered.

use std::borrow::Cow;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::count;

/// One text of the conversation.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    /// Whether the model itself said it.
    pub(crate) own: bool,
    pub(crate) text: Cow<'a, str>,
}

/// A tool that must be called.
#[derive(Debug)]
pub(crate) struct Forced {
    pub(crate) name: String,
    pub(crate) parameters: Value,
}

/// Parts of a request that OpenAI's Responses API repeats in its answer.
#[derive(Debug, Default)]
pub(crate) struct Echo<'a> {
    pub(crate) tools: Option<&'a RawValue>,
    pub(crate) tool_choice: Option<&'a RawValue>,
    pub(crate) text: Option<&'a RawValue>,
    pub(crate) metadata: Option<&'a RawValue>,
    pub(crate) store: Option<bool>,
}

/// What is asked, of which model, under which limits.
#[derive(Debug, Default)]
pub(crate) struct Ask<'a> {
    pub(crate) model: Cow<'a, str>,
    pub(crate) system: Cow<'a, str>,
    pub(crate) turns: Vec<Turn<'a>>,
    /// Most output tokens.
    pub(crate) max_tokens: Option<u64>,
    pub(crate) stops: Vec<String>,
    /// The schema that the answer must satisfy.
    pub(crate) schema: Option<Value>,
    pub(crate) forced: Option<Forced>,
    pub(crate) stream: bool,
    /// OpenAI chat: whether the stream ends with the usage.
    pub(crate) stream_usage: bool,
    /// The tier that was asked for.
    pub(crate) tier: Option<Cow<'a, str>>,
    /// Whether it is an item of a batch.
    pub(crate) batch: bool,
    /// Bytes of tool and schema definitions, which count as input.
    pub(crate) definitions: usize,
    pub(crate) echo: Echo<'a>,
}

impl Ask<'_> {
    /// The last text that the model did not say itself; empty when there is none.
    pub(crate) fn last(&self) -> &str {
        self.turns.iter().rev().find(|turn| !turn.own).map_or("", |turn| turn.text.as_ref())
    }

    /// Estimated input tokens: all texts, three for each turn, and the definitions.
    pub(crate) fn input_tokens(&self) -> u64 {
        let texts: u64 = self.turns.iter().map(|turn| count::tokens(&turn.text) + 3).sum();
        let definitions = u64::try_from(self.definitions.div_ceil(4)).unwrap_or(u64::MAX);
        texts + count::tokens(&self.system) + definitions + 4
    }

    /// All texts, the system prompt first.
    pub(crate) fn texts(&self) -> Vec<&str> {
        std::iter::once(self.system.as_ref()).chain(self.turns.iter().map(|turn| turn.text.as_ref())).collect()
    }
}
