//! The providers' wire formats: each reads a request into an `Ask` and writes a `Draft` as that provider would.
//! Refuses to decide what is answered.

pub(crate) mod anthropic;
mod ask;
mod content;
pub(crate) mod gemini;
mod mistake;
pub(crate) mod openai;

pub(crate) use ask::{Ask, Echo, Forced, Turn};

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::batch::{Form, Line, Outcome};
use crate::draft::Draft;
use crate::problem::Problem;

/// Whose API it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provider {
    Anthropic,
    OpenAi,
    Gemini,
}

/// Which endpoint was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Messages,
    Chat,
    Responses,
    Generate,
}

/// What an answer needs to know beyond its draft.
#[derive(Debug)]
pub(crate) struct Meta {
    /// Letters and digits that no other request of this emulator has.
    pub(crate) id: String,
    /// Seconds since 1970.
    pub(crate) created: i64,
}

/// One event of a stream before it is framed.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) name: Option<&'static str>,
    pub(crate) data: String,
    /// Output tokens it carries, for the pace.
    pub(crate) tokens: u64,
}

impl Event {
    pub(crate) fn named(name: &'static str, data: String) -> Self {
        Self { name: Some(name), data, tokens: 0 }
    }

    pub(crate) fn data(data: String) -> Self {
        Self { name: None, data, tokens: 0 }
    }
}

impl Provider {
    /// The name used in the ledger and in fault conditions.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAi => "openai",
            Self::Gemini => "gemini",
        }
    }

    /// The status with which the provider says that it is overloaded.
    pub(crate) fn overloaded(self) -> u16 {
        match self {
            Self::Anthropic => 529,
            Self::OpenAi | Self::Gemini => 503,
        }
    }

    /// The error of a used-up quota, which no retry cures.
    pub(crate) fn quota(self) -> Problem {
        let message = "Emulated: the quota is used up; see plan and billing.";
        match self {
            Self::Anthropic => Problem::new(402, message).kind("billing_error"),
            Self::OpenAi => Problem::new(429, message).kind("insufficient_quota").code("insufficient_quota"),
            Self::Gemini => Problem::new(429, message).code("GenerateRequestsPerDayPerProjectPerModel"),
        }
    }

    /// The error of a spending limit that the owner set.
    pub(crate) fn spend_limit(self) -> Problem {
        let message = "Emulated: the spending limit of this workspace is reached.";
        match self {
            Self::Anthropic => Problem::new(429, message).code("enforced_spend_limit_reached"),
            Self::OpenAi => Problem::new(429, message).kind("insufficient_quota").code("billing_hard_limit_reached"),
            Self::Gemini => Problem::new(429, message).code("SpendCapPerProject"),
        }
    }

    /// The error of a key that is not one.
    pub(crate) fn bad_key(self) -> Problem {
        match self {
            Self::Anthropic => Problem::new(401, "Emulated: this API key is not valid."),
            Self::OpenAi => Problem::new(401, "Emulated: this API key is not valid.").code("invalid_api_key"),
            Self::Gemini => Problem::new(400, "Emulated: this API key is not valid.").code("API_KEY_INVALID"),
        }
    }

    /// The body of an error in the provider's own shape.
    pub(crate) fn error_body(self, problem: &Problem, id: &str) -> String {
        match self {
            Self::Anthropic => anthropic::error_body(problem, id),
            Self::OpenAi => openai::error_body(problem),
            Self::Gemini => gemini::error_body(problem),
        }
    }
}

impl Wire {
    /// Whose endpoint it is.
    pub(crate) fn provider(self) -> Provider {
        match self {
            Self::Messages => Provider::Anthropic,
            Self::Chat | Self::Responses => Provider::OpenAi,
            Self::Generate => Provider::Gemini,
        }
    }

    /// Reads an item of a batch that was read before.
    pub(crate) fn line(self, bytes: &[u8]) -> Option<Line<'_>> {
        match self {
            Self::Messages => anthropic::batch::line(bytes),
            Self::Chat | Self::Responses => openai::batch::line(bytes),
            Self::Generate => gemini::batch::line(bytes),
        }
    }

    /// Reads an item's request, under the form of its batch.
    pub(crate) fn read<'a>(self, body: &'a [u8], model: &str, form: Form) -> Result<Ask<'a>, Problem> {
        let ask = match self {
            Self::Messages => anthropic::read_item(body, form.newer),
            Self::Chat => openai::read_chat(body),
            Self::Responses => openai::read_responses(body),
            Self::Generate => gemini::read(body, model, false),
        };
        ask.map(|ask| Ask { batch: true, ..ask })
    }

    /// A line of results.
    pub(crate) fn result(self, line: &Line<'_>, outcome: &Outcome<'_>, id: &str, form: Form) -> String {
        match self {
            Self::Messages => anthropic::batch::result(line, outcome, id),
            Self::Chat | Self::Responses => openai::batch::result(line, outcome, id),
            Self::Generate => gemini::batch::result(line, outcome, form.inline, form.keyed),
        }
    }

    /// The name used in the ledger.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Chat => "chat",
            Self::Responses => "responses",
            Self::Generate => "generate",
        }
    }

    /// The body of a plain answer.
    pub(crate) fn plain(self, ask: &Ask<'_>, draft: &Draft, meta: &Meta) -> String {
        match self {
            Self::Messages => anthropic::plain(ask, draft, meta),
            Self::Chat => openai::chat_plain(ask, draft, meta),
            Self::Responses => openai::responses_plain(ask, draft, meta),
            Self::Generate => gemini::plain(ask, draft, meta),
        }
    }

    /// The events of a streamed answer.
    pub(crate) fn events(self, ask: &Ask<'_>, draft: &Draft, meta: &Meta) -> Vec<Event> {
        match self {
            Self::Messages => anthropic::events(ask, draft, meta),
            Self::Chat => openai::chat_events(ask, draft, meta),
            Self::Responses => openai::responses_events(ask, draft, meta),
            Self::Generate => gemini::events(ask, draft, meta),
        }
    }

    /// The event of an error in the middle of a stream; `kind` replaces its type.
    pub(crate) fn error_event(self, kind: Option<&str>) -> Event {
        match self {
            Self::Messages => anthropic::error_event(kind),
            Self::Chat => openai::chat_error_event(kind),
            Self::Responses => openai::responses_error_event(kind),
            Self::Generate => gemini::error_event(kind),
        }
    }

    /// An event that no client knows yet.
    pub(crate) fn unknown_event(self) -> Event {
        let data = r#"{"type":"emulated_news","emulated":true}"#.to_owned();
        match self {
            Self::Messages | Self::Responses => Event::named("emulated_news", data),
            // These formats have no event names: a chunk without choices or candidates is their nearest.
            Self::Chat => Event::data(
                r#"{"id":"chatcmpl-news","object":"emulated.news","created":0,"model":"","choices":[]}"#.to_owned(),
            ),
            Self::Generate => Event::data(r#"{"emulatedNews":{}}"#.to_owned()),
        }
    }

    /// The line end of the provider's streams.
    pub(crate) fn line_end(self) -> &'static str {
        match self {
            Self::Generate => "\r\n",
            _ => "\n",
        }
    }
}

/// An instant so long after another, as RFC 3339 to the microsecond.
pub(crate) fn instant(start: OffsetDateTime, since: Duration) -> String {
    let at = start.checked_add(time::Duration::try_from(since).unwrap_or_default()).unwrap_or(start);
    let micros = at.replace_nanosecond(at.microsecond() * 1_000).unwrap_or(at);
    micros.format(&Rfc3339).unwrap_or_default()
}

/// An instant so long after another, in seconds since 1970.
pub(crate) fn unix(start: OffsetDateTime, since: Duration) -> i64 {
    start.checked_add(time::Duration::try_from(since).unwrap_or_default()).unwrap_or(start).unix_timestamp()
}

/// Writes a value as JSON; the values of this crate cannot fail to be written.
pub(crate) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
