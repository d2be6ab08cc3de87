//! Spans that are told when they are over: for what began before the process that ends it, and for many things that end
//! together. Refuses to cost anything where nobody collects.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::trace::{Link, SpanId, SpanKind, Status};
use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::{MOST_LINKS, Traceparent};
use crate::otlp::Queue;

/// Takes spans that are over; a clone leads to the same collector. Off by default, and in tests.
#[derive(Clone, Debug, Default)]
pub struct Traces(Option<Arc<Queue>>);

impl Traces {
    pub(crate) const fn to(queue: Arc<Queue>) -> Self {
        Self(Some(queue))
    }

    /// Tells whether anybody collects: what only a span needs is not to be looked up or written otherwise.
    #[must_use]
    pub const fn are_on(&self) -> bool {
        self.0.is_some()
    }

    /// Hands a span on that ends now. One whose trace is not sampled is dropped.
    pub fn tell(&self, past: Past) {
        if let Some(queue) = &self.0
            && past.own.sampled
        {
            queue.put(past.data(queue));
        }
    }
}

/// A span that is over. Its values hold no secret and no text of a prompt or an answer: spans leave the house.
#[derive(Clone, Debug)]
pub struct Past {
    own: Traceparent,
    parent: SpanId,
    name: Cow<'static, str>,
    kind: SpanKind,
    began: SystemTime,
    values: Vec<KeyValue>,
    links: Vec<Link>,
    failed: bool,
}

impl Past {
    /// A span of `parent`'s trace, below it.
    #[must_use]
    pub fn below(parent: &Traceparent, name: impl Into<Cow<'static, str>>, began: SystemTime) -> Self {
        let own = Traceparent { span: rand::random_range(1..=u64::MAX), ..*parent };
        Self { parent: SpanId::from(parent.span), ..Self::first(own, name, began) }
    }

    /// The first span of a trace, by the name that others may have been given already.
    #[must_use]
    pub fn first(own: Traceparent, name: impl Into<Cow<'static, str>>, began: SystemTime) -> Self {
        Self {
            own,
            parent: SpanId::INVALID,
            name: name.into(),
            kind: SpanKind::Internal,
            began,
            values: Vec::new(),
            links: Vec::new(),
            failed: false,
        }
    }

    /// Says that it was spent waiting for another system's answer.
    #[must_use]
    pub fn client(self) -> Self {
        Self { kind: SpanKind::Client, ..self }
    }

    /// Says that it was somebody's request.
    #[must_use]
    pub fn server(self) -> Self {
        Self { kind: SpanKind::Server, ..self }
    }

    /// Adds a value.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.values.push(KeyValue::new(name, value));
        self
    }

    /// Adds links to what belongs to it in other traces; beyond [`MOST_LINKS`] there are none.
    #[must_use]
    pub fn linked(mut self, to: impl IntoIterator<Item = Traceparent>) -> Self {
        let room = MOST_LINKS.saturating_sub(self.links.len());
        self.links.extend(to.into_iter().take(room).map(|link| Link::with_context(link.remote())));
        self
    }

    /// Says whether it ended badly.
    #[must_use]
    pub fn failed(self, failed: bool) -> Self {
        Self { failed, ..self }
    }

    fn data(self, queue: &Queue) -> SpanData {
        let mut links = SpanLinks::default();
        links.links = self.links;
        SpanData {
            span_context: self.own.local(),
            parent_span_id: self.parent,
            parent_span_is_remote: self.parent != SpanId::INVALID,
            span_kind: self.kind,
            name: self.name,
            start_time: self.began,
            // Clocks of two machines may disagree; a span never ends before it began.
            end_time: opentelemetry::time::now().max(self.began),
            attributes: self.values,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: if self.failed { Status::error("") } else { Status::Unset },
            instrumentation_scope: queue.scope(),
        }
    }
}
