//! What a fault does. Refuses to know when it is played.

use std::time::Duration;

use time::OffsetDateTime;

use crate::ledger::Usage;
use crate::problem::Problem;
use crate::wire::Provider;

/// The kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Status(u16),
    InsufficientQuota,
    SpendLimit,
    BadKey,
    Slow,
    SlowBody,
    CutStream,
    CutBody,
    Reset,
    Malformed,
    WrongType,
    ErrorEvent,
    Empty,
    MaxTokens,
    Refusal,
    Blocked,
    Misfit,
    SplitUtf8,
    Crlf,
    Lf,
    UnknownStop,
    UnknownEvent,
    Usage,
    ItemMissing,
    ItemDuplicate,
    ItemExpired,
    ItemCancelled,
    ItemTimeout,
    ItemUnknown,
    BatchFailed,
    BatchExpired,
    BatchCancelled,
    BatchStuck,
    BatchSlow,
    BatchUnknownState,
    BatchOnlyErrors,
    BatchEmptyErrorId,
    BatchHidden,
    BatchUnlisted,
    BatchUnkeyed,
    BatchInline,
    BatchJobPrefix,
}

/// All names but the statuses.
pub(crate) const NAMES: &[(&str, Effect)] = &[
    ("insufficient-quota", Effect::InsufficientQuota),
    ("spend-limit", Effect::SpendLimit),
    ("bad-key", Effect::BadKey),
    ("slow", Effect::Slow),
    ("slow-body", Effect::SlowBody),
    ("cut-stream", Effect::CutStream),
    ("cut-body", Effect::CutBody),
    ("reset", Effect::Reset),
    ("malformed", Effect::Malformed),
    ("wrong-type", Effect::WrongType),
    ("error-event", Effect::ErrorEvent),
    ("empty", Effect::Empty),
    ("max-tokens", Effect::MaxTokens),
    ("refusal", Effect::Refusal),
    ("blocked", Effect::Blocked),
    ("misfit", Effect::Misfit),
    ("split-utf8", Effect::SplitUtf8),
    ("crlf", Effect::Crlf),
    ("lf", Effect::Lf),
    ("unknown-stop", Effect::UnknownStop),
    ("unknown-event", Effect::UnknownEvent),
    ("usage", Effect::Usage),
    ("item-missing", Effect::ItemMissing),
    ("item-duplicate", Effect::ItemDuplicate),
    ("item-expired", Effect::ItemExpired),
    ("item-cancelled", Effect::ItemCancelled),
    ("item-timeout", Effect::ItemTimeout),
    ("item-unknown", Effect::ItemUnknown),
    ("batch-failed", Effect::BatchFailed),
    ("batch-expired", Effect::BatchExpired),
    ("batch-cancelled", Effect::BatchCancelled),
    ("batch-stuck", Effect::BatchStuck),
    ("batch-slow", Effect::BatchSlow),
    ("batch-unknown-state", Effect::BatchUnknownState),
    ("batch-only-errors", Effect::BatchOnlyErrors),
    ("batch-empty-error-id", Effect::BatchEmptyErrorId),
    ("batch-hidden", Effect::BatchHidden),
    ("batch-unlisted", Effect::BatchUnlisted),
    ("batch-unkeyed", Effect::BatchUnkeyed),
    ("batch-inline", Effect::BatchInline),
    ("batch-job-prefix", Effect::BatchJobPrefix),
];

impl Effect {
    /// The name under which the ledger counts it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Status(429) => "429",
            Self::Status(529) => "529",
            Self::Status(status) if status >= 500 => "5xx",
            Self::Status(_) => "4xx",
            other => NAMES.iter().find(|(_, effect)| *effect == other).map_or("", |(name, _)| name),
        }
    }

    /// Whether it means something for an item of a batch alone.
    pub(crate) fn is_item(self) -> bool {
        self.name().starts_with("item-")
    }

    /// Whether it says what becomes of a batch.
    pub(crate) fn is_fate(self) -> bool {
        self.name().starts_with("batch-")
    }
}

/// One fault with its parameters.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) effect: Effect,
    /// Waits before the headers; between the pieces for `slow-body`.
    pub(crate) wait: Duration,
    /// Events of a stream that still go out.
    pub(crate) after: usize,
    /// The type or code of an error event.
    pub(crate) kind: Option<String>,
    pub(crate) retry_after: Option<String>,
    pub(crate) retry_after_date: Option<i64>,
    pub(crate) retry_after_ms: Option<String>,
    pub(crate) should_retry: Option<bool>,
    pub(crate) retry_info: Option<String>,
    /// Tokens that `usage` puts into the answer.
    pub(crate) usage: Usage,
    /// How many of a hundred items are done before a batch ends early.
    pub(crate) done: Option<u64>,
    /// The line that a failed batch blames.
    pub(crate) line: Option<u64>,
    /// Whether the items that an early end left undone have no line at all.
    pub(crate) silent: bool,
    /// Whether what was asked is done all the same, although the call does not say so.
    pub(crate) committed: bool,
}

impl Fault {
    pub(crate) fn new(effect: Effect) -> Self {
        Self {
            effect,
            wait: Duration::ZERO,
            after: 3,
            kind: None,
            retry_after: None,
            retry_after_date: None,
            retry_after_ms: None,
            should_retry: None,
            retry_info: None,
            usage: Usage::default(),
            done: None,
            line: None,
            silent: false,
            committed: false,
        }
    }

    /// Whether the client cannot read the answer whole, although it is billed.
    pub(crate) fn damages(&self, stream: bool) -> bool {
        match self.effect {
            Effect::CutStream | Effect::CutBody | Effect::Malformed | Effect::WrongType => true,
            Effect::ErrorEvent => stream,
            _ => false,
        }
    }

    /// The error that is answered instead of an answer, for the faults that are one.
    pub(crate) fn problem(&self, provider: Provider, stream: bool) -> Option<Problem> {
        let mut problem = match self.effect {
            Effect::Status(status) => Problem::new(status, sentence(status)),
            Effect::ErrorEvent if !stream => {
                let status = provider.overloaded();
                Problem::new(status, sentence(status))
            }
            Effect::InsufficientQuota => provider.quota(),
            Effect::SpendLimit => provider.spend_limit(),
            Effect::BadKey => provider.bad_key(),
            _ => return None,
        };
        problem.headers.extend(self.retry_headers());
        problem.retry_info = self.retry_info.as_deref().map(Into::into).or(problem.retry_info);
        Some(problem)
    }

    fn retry_headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        let date = self
            .retry_after_date
            .map(|seconds| http_date(OffsetDateTime::now_utc() + time::Duration::seconds(seconds)));
        [
            self.retry_after.clone().or(date).map(|value| ("retry-after", value)),
            self.retry_after_ms.clone().map(|value| ("retry-after-ms", value)),
            self.should_retry.map(|value| ("x-should-retry", value.to_string())),
        ]
        .into_iter()
        .flatten()
    }
}

/// Writes an instant as RFC 9110 wants it; empty when the year has more than four digits.
fn http_date(instant: OffsetDateTime) -> String {
    let format = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    instant.format(format).unwrap_or_default()
}

/// The sentence that goes with a scripted status.
fn sentence(status: u16) -> &'static str {
    match status {
        400 => "Emulated: the request was rejected.",
        401 => "Emulated: the credentials were rejected.",
        402 => "Emulated: the balance is used up.",
        403 => "Emulated: the key may not use this resource.",
        404 => "Emulated: not found.",
        408 => "Emulated: the request timed out.",
        409 => "Emulated: the resource changed meanwhile.",
        413 => "Emulated: the request is too large.",
        429 => "Emulated: the rate limit was exceeded.",
        500 => "Emulated: internal server error.",
        502 => "Emulated: bad gateway.",
        503 => "Emulated: the service is unavailable.",
        504 => "Emulated: the request took too long.",
        529 => "Emulated: overloaded.",
        _ => "Emulated error.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_as_http_wants_it() {
        let instant = OffsetDateTime::from_unix_timestamp(784_111_777).unwrap();
        assert_eq!(http_date(instant), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
