//! The W3C trace context, by which one order is one trace across HTTP, rows and streams.
//! Refuses to know where spans go: without a collector, what came in is passed on.
//!
//! A trace has one tree of spans. What belongs to several traces (a batch of many orders' asks, a slice of them) has a
//! span in one and links to the others.

mod past;

pub use past::{Past, Traces};

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

tokio::task_local! {
    static CARRIED: Traceparent;
}

/// The target of spans that go to the collector alone: without one they are never made, and no log line shows them.
/// Crates that do not know this one write the word itself.
pub const TARGET: &str = "otlp";
/// The most links of one span, as OpenTelemetry has it.
pub const MOST_LINKS: usize = 128;

/// The trace that something belongs to and the span that caused it, as in the HTTP header `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traceparent {
    trace: u128,
    span: u64,
    sampled: bool,
}

/// A text that is no valid `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent; expected 00-<32 hex digits>-<16 hex digits>-<2 hex digits>, ids not all zero")]
pub struct NotATraceparent;

impl Traceparent {
    /// Starts a new trace.
    #[must_use]
    pub fn generate() -> Self {
        Self { trace: rand::random_range(1..=u128::MAX), span: rand::random_range(1..=u64::MAX), sampled: true }
    }

    /// Returns the trace's id as 32 hex digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }

    /// Returns the trace that is known by an id of ours, at its first span: whoever knows the id can link to it and put
    /// spans below it, before and after that span was told.
    #[must_use]
    pub fn named(id: u128) -> Self {
        // Ids of version 7 are random in their low bits.
        let low = u64::try_from(id & u128::from(u64::MAX)).unwrap_or(1);
        Self { trace: id.max(1), span: low.max(1), sampled: true }
    }

    /// The same, but what follows it is not collected.
    #[must_use]
    pub const fn unsampled(self) -> Self {
        Self { sampled: false, ..self }
    }

    /// Tells whether both belong to one trace.
    #[must_use]
    pub const fn shares_trace(&self, other: &Self) -> bool {
        self.trace == other.trace
    }

    fn of(context: &SpanContext) -> Option<Self> {
        context.is_valid().then(|| Self {
            trace: u128::from_be_bytes(context.trace_id().to_bytes()),
            span: u64::from_be_bytes(context.span_id().to_bytes()),
            sampled: context.is_sampled(),
        })
    }

    fn remote(self) -> SpanContext {
        self.context(true)
    }

    fn local(self) -> SpanContext {
        self.context(false)
    }

    fn context(self, remote: bool) -> SpanContext {
        let flags = if self.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        let (trace, span) = (TraceId::from(self.trace), SpanId::from(self.span));
        SpanContext::new(trace, span, flags, remote, TraceState::default())
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

impl FromStr for Traceparent {
    type Err = NotATraceparent;

    fn from_str(text: &str) -> Result<Self, NotATraceparent> {
        let mut parts = text.split('-');
        let mut next = |digits: usize| {
            let hex = |it: &&str| it.len() == digits && it.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            parts.next().filter(hex).ok_or(NotATraceparent)
        };
        let (version, trace, span, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        // Only a later version may carry more parts; ff is no version.
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return Err(NotATraceparent);
        }
        let trace = u128::from_str_radix(trace, 16).map_err(|_| NotATraceparent)?;
        let span = u64::from_str_radix(span, 16).map_err(|_| NotATraceparent)?;
        let flags = u8::from_str_radix(flags, 16).map_err(|_| NotATraceparent)?;
        if trace == 0 || span == 0 {
            return Err(NotATraceparent);
        }
        Ok(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

/// Makes a fresh span a child of the incoming traceparent and returns what to pass on from inside it: the span
/// itself where a collector is configured, else what came in, else a new trace. A text that is no traceparent
/// starts a new trace, as W3C asks. To be called before the span is entered.
pub fn follow(span: &Span, incoming: Option<&str>) -> Traceparent {
    let incoming: Option<Traceparent> = incoming.and_then(|text| text.parse().ok());
    if let Some(parent) = incoming {
        let context = opentelemetry::Context::new().with_remote_span_context(parent.remote());
        // Fails only where no collector is configured, and then there is nobody to tell.
        let _ = span.set_parent(context);
    }
    of_span(span).or(incoming).unwrap_or_else(Traceparent::generate)
}

/// Runs `future` inside `span`, as a child of the incoming traceparent, so that [`current`] knows it in there.
pub async fn scope<F: Future>(span: Span, incoming: Option<&str>, future: F) -> F::Output {
    let carried = follow(&span, incoming);
    CARRIED.scope(carried, future).instrument(span).await
}

/// Links a span to something in another trace: the reader of one finds the other. Nothing without a collector, and for
/// a text that is no traceparent.
pub fn link(span: &Span, to: Option<&str>) {
    if !span.is_disabled()
        && let Some(to) = to.and_then(|text| text.parse::<Traceparent>().ok())
    {
        span.add_link(to.remote());
    }
}

/// Links a span to several, as far as a span has room.
pub fn link_all(span: &Span, to: &[Traceparent]) {
    to.iter().take(MOST_LINKS).for_each(|to| span.add_link(to.remote()));
}

/// Returns the traceparents among the texts, each once, at most [`MOST_LINKS`].
#[must_use]
pub fn distinct<'a>(texts: impl IntoIterator<Item = Option<&'a str>>) -> Vec<Traceparent> {
    let mut seen = HashSet::new();
    let parsed = texts.into_iter().flatten().filter_map(|text| text.parse::<Traceparent>().ok());
    parsed.filter(|to| seen.insert((to.trace, to.span))).take(MOST_LINKS).collect()
}

/// Returns what to write into a row, an entry or a header now: the current span where a collector is configured,
/// else what [`scope`] was given, else a new trace.
#[must_use]
pub fn current() -> Traceparent {
    of_span(&Span::current()).or_else(carried).unwrap_or_else(Traceparent::generate)
}

/// Returns the trace that the running code is in, if it is in one; asks no subscriber, so that a log line may call it.
pub(crate) fn entered() -> Option<Traceparent> {
    opentelemetry::Context::map_current(|context| Traceparent::of(context.span().span_context())).or_else(carried)
}

fn carried() -> Option<Traceparent> {
    CARRIED.try_with(|it| *it).ok()
}

fn of_span(span: &Span) -> Option<Traceparent> {
    Traceparent::of(span.context().span().span_context())
}

#[cfg(test)]
mod tests {
    use super::{MOST_LINKS, Traceparent, current, distinct, follow, scope};

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn parses_strictly_and_prints_what_it_parsed() {
        for good in [GOOD, "00-00000000000000000000000000000001-0000000000000001-00"] {
            assert_eq!(good.parse::<Traceparent>().unwrap().to_string(), good);
        }
        let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-새것";
        assert_eq!(later.parse::<Traceparent>().unwrap().to_string(), GOOD);
        for bad in [
            "",
            "추적",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(bad.parse::<Traceparent>().is_err(), "{bad}");
        }
    }

    #[test]
    fn generates_what_it_parses() {
        let made = Traceparent::generate();
        assert_eq!(made.to_string().parse(), Ok(made));
        assert_ne!(made.trace_id(), Traceparent::generate().trace_id());
    }

    #[test]
    fn an_id_names_its_trace_and_the_first_span() {
        let id = 0x0198_2f35_77b3_74da_a3ce_929d_0e0e_4736;
        let named = Traceparent::named(id);
        assert_eq!(named.to_string(), "00-01982f3577b374daa3ce929d0e0e4736-a3ce929d0e0e4736-01");
        assert_eq!(named.unsampled().to_string(), "00-01982f3577b374daa3ce929d0e0e4736-a3ce929d0e0e4736-00");
        assert_eq!(Traceparent::named(0).to_string().parse(), Ok(Traceparent::named(0)), "never an invalid one");
    }

    #[test]
    fn links_are_few_and_each_is_one() {
        let many: Vec<String> = (1..=500).map(|n| Traceparent::named(n).to_string()).collect();
        let twice = many.iter().chain(&many).map(|text| Some(text.as_str()));
        assert_eq!(distinct(twice).len(), MOST_LINKS);
        assert_eq!(distinct([Some(GOOD), None, Some("추적"), Some(GOOD)]), [GOOD.parse().unwrap()]);
    }

    #[tokio::test]
    async fn passes_on_what_came_in_without_a_collector() {
        assert_eq!(follow(&tracing::info_span!("hop"), Some(GOOD)).to_string(), GOOD);
        let inner = scope(tracing::info_span!("hop"), Some(GOOD), async { current() }).await;
        assert_eq!(inner.to_string(), GOOD);
        let fresh = scope(tracing::info_span!("hop"), Some("broken"), async { (current(), current()) }).await;
        assert_eq!(fresh.0, fresh.1);
        assert_ne!(fresh.0.trace_id(), inner.trace_id());
    }
}
