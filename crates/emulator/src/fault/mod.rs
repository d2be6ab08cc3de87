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
//! | `item-missing` | the item has no line in the results; it is not billed |
//! | `item-duplicate` | the item's line comes twice; it is billed once |
//! | `item-expired` | Anthropic `expired`, OpenAI `batch_expired`, Gemini error 4 |
//! | `item-cancelled` | Anthropic `canceled`, OpenAI `batch_cancelled`, Gemini error 1 |
//! | `item-timeout` | Anthropic `timeout_error`, OpenAI `request_timeout`, Gemini error 4 |
//! | `item-unknown` | a kind of result that no client knows yet; it is not billed |
//! | `batch-failed` (`type`, `line`) | OpenAI `failed` with that code (`token_limit_exceeded`) and line; Gemini FAILED; Anthropic: every item `errored` |
//! | `batch-expired` (`done`, `silent`) | expires at its end with that many of a hundred items done (50); Gemini carries nothing then |
//! | `batch-cancelled` (`done`, `silent`) | is cancelled by itself with that many done (50); Gemini carries them only when `done` is given |
//! | `batch-stuck` (`done`) | runs until it expires, with that many items done (0) |
//! | `batch-slow` (`ms`) | takes that long instead |
//! | `batch-unknown-state` (`type`) | a status word that no client knows (`emulated_state`), until it ends |
//! | `batch-only-errors` (`type`) | every item fails with that status (500): OpenAI `completed` with only an error file |
//! | `batch-empty-error-id` | OpenAI: `error_file_id` is `""` where it would be null |
//! | `batch-hidden` (`ms`) | 404 on retrieve, results and cancel until so long after create (300) |
//! | `batch-unlisted` (`ms`) | not in the list until so long after create (300) |
//! | `batch-unkeyed` | Gemini: inline responses without `metadata` |
//! | `batch-inline` | Gemini: a batch by file is answered inline |
//! | `batch-job-prefix` | Gemini: states as `JOB_STATE_…` |
//!
//! Where a fault is played follows from its name: `item-…` on items of batches, `batch-…` on a batch when it is
//! created, the others on answers, be it an ask's or an item's. A marker in an item's prompt is for that item. With
//! `at=` a fault is played there alone: `ask`, `item`, `batch`, or on a call of the batch API, which needs the word in
//! a rule: `upload`, `create`, `status`, `list`, `results`, `cancel`, `delete`, `files` (retrieving, listing and
//! deleting files). A header is for its own call. Items take the statuses, `insufficient-quota`, `spend-limit`,
//! `bad-key`, `error-event`, `malformed` (a line that is not JSON), `empty`, `max-tokens`, `refusal`, `blocked`,
//! `misfit`, `unknown-stop` and `usage`. Calls take the statuses, `insufficient-quota`, `spend-limit`, `bad-key`,
//! `slow`, `reset`, `malformed` and `wrong-type`; results also `slow-body` (`ms`), `cut-stream` (`after` so many
//! lines), `cut-body` (half-way, inside a line), `split-utf8` and `crlf`. With `committed=true` what a call asks is
//! done although it fails: `reset; at=create; committed=true` makes a batch and drops the connection. On calls,
//! `match` looks at the batch's id, its label (metadata, display name, file name) and its first item's texts.
//! All `batch-…` rules that fit a batch are played together; of the others the first that fits.
//!
//! Every fault takes `ms` (waits so long before the headers), `times` (how often it is played),
//! `percent` (how often of a hundred, by the emulator's seed), `provider`, `model` and `match` (a part of the
//! model's name, of the prompt). `429`, `503`, `529` … take `retry-after` (seconds), `retry-after-date` (seconds from
//! now, sent as HTTP date), `retry-after-ms`, `should-retry` (`true`, `false`) and `retry-info` (seconds, in Gemini's
//! body). `times` counts per `key`; without a key, per prompt for a marker and a header, and over all asks for a
//! rule. A rule with `key=prompt` counts per prompt.

mod book;
mod effect;
mod point;
mod spec;

pub use book::Rule;
pub use spec::SpecError;

pub(crate) use book::{Book, Subject, unmarked};
pub(crate) use effect::{Effect, Fault};
pub(crate) use point::Point;
