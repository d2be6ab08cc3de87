//! Faults that can be played instead of, or on, an answer: their names, their parameters and how they are
//! written. Refuses to know any wire format.
//!
//! A fault is written `name; parameter=value; …`, several are separated by `|`:
//! in the header `x-emulate: 429; retry-after=1; times=2`, in a marker in the prompt
//! `[[emulate: 529; times=1; key=a]]`, or as `fault` of a rule (`POST /emulator/faults`).
//!
//! | name | plays |
//! | --- | --- |
//! | `400`…`599` | that status in the provider's own shape |
//! | `insufficient-quota` | Anthropic 402, OpenAI and Gemini a 429 that no retry cures |
//! | `spend-limit` | a 429 of the owner's own limit, which no retry cures |
//! | `bad-key` | 401; Gemini 400, as it really does |
//! | `slow` (`ms`) | waits before the headers, then answers |
//! | `slow-body` (`ms`) | waits that long between the pieces of the body |
//! | `cut-stream` (`after`) | closes after N events of a stream, or in the middle of a plain body |
//! | `cut-body` | closes in the middle of the body |
//! | `reset` | resets the connection without an answer |
//! | `malformed` | a body that is not JSON, with status 200 |
//! | `wrong-type` | an HTML page with status 200 |
//! | `error-event` (`after`, `type`) | an error event after N events of a stream; a plain answer gets 529, 500 or 503 |
//! | `empty` | an answer without text |
//! | `max-tokens` | an answer cut at half, with the provider's own reason |
//! | `refusal` | the provider's own way to refuse |
//! | `blocked` | Gemini: prompt blocked, no candidates; elsewhere as `refusal` |
//! | `misfit` | JSON that violates the schema that was asked for |
//! | `split-utf8` | pieces of the body that end inside a character |
//! | `crlf`, `lf` | that line end in a stream |
//! | `unknown-stop`, `unknown-event` | a stop reason, an event, that no client knows yet |
//! | `usage` (`cache-read`, `cache-write`, `reasoning`) | those tokens in the usage |
//!
//! Every fault takes `ms` (waits so long before the headers), `times` (how often it is played),
//! `percent` (how often of a hundred, by the emulator's seed), `provider`, `model` and `match` (a part of the
//! model's name, of the prompt). `429`, `503`, `529` … take `retry-after` (seconds), `retry-after-date` (seconds from
//! now, sent as HTTP date), `retry-after-ms`, `should-retry` (`true`, `false`) and `retry-info` (seconds, in Gemini's
//! body). `times` counts per `key`; without a key, per prompt for a marker and a header, and over all asks for a
//! rule. A rule with `key=prompt` counts per prompt.

mod book;
mod effect;
mod spec;

pub use book::Rule;
pub use spec::SpecError;

pub(crate) use book::{Book, Subject, unmarked};
pub(crate) use effect::{Effect, Fault};
