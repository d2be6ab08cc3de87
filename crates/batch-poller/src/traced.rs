//! How a batch shows in traces. It has a trace of its own, named after its id, with links to the traces of its asks; and
//! in the trace of each ask there is a span for its time in the batch, with a link back. Refuses to cost anything
//! without a collector, and to tell what was asked or answered.

use crate::{Parts, work::Step};
use boot::trace::{self, MOST_LINKS, Past, Traceparent};
use domain::batch::BatchState;
use std::{collections::HashMap, time::SystemTime};
use store::{BatchRow, ItemEnd, ItemThen, Settled, SettledItem};
use tracing::{Span, field::Empty};
use uuid::Uuid;

/// The first span of a batch's trace; whichever replica works on the batch, it is the same.
pub(crate) fn of(batch: Uuid) -> Traceparent {
    Traceparent::named(batch.as_u128())
}

/// The span of one step in the life of a batch. A look at it has none: it is told afterwards if it saw something.
pub(crate) fn step(row: &BatchRow, verb: &'static str) -> Span {
    if row.state == BatchState::Running {
        return Span::none();
    }
    let span = tracing::info_span!(
        target: trace::TARGET,
        "step",
        otel.name = verb,
        otel.status_code = Empty,
        batch = %row.id,
        batch.items = row.items,
        batch.submission = row.submission,
        gen_ai.provider.name = row.provider,
        outcome = Empty,
    );
    if !span.is_disabled() {
        trace::follow(&span, Some(&of(row.id).to_string()));
    }
    span
}

/// What a batch was before a step.
pub(crate) struct Before {
    began: SystemTime,
    state: BatchState,
    seen: (Option<String>, Option<i32>),
}

impl Before {
    pub(crate) fn of(row: &BatchRow) -> Self {
        Self { began: SystemTime::now(), state: row.state, seen: seen(row) }
    }
}

fn seen(row: &BatchRow) -> (Option<String>, Option<i32>) {
    (row.remote_state.clone(), row.done_items)
}

/// Tells what a step came to, and the whole batch when it is over.
pub(crate) async fn stepped(parts: &Parts, row: &BatchRow, span: &Span, before: Before, step: Result<&Step, ()>) {
    if !parts.traces.are_on() {
        return;
    }
    let outcome = match step {
        Ok(Step::Next) => row.state.as_str(),
        Ok(Step::Rest(..)) => "waits",
        Ok(Step::Over) => "over",
        Ok(Step::Lost) => "lost",
        Err(()) => "database",
    };
    span.record("outcome", outcome);
    if step.is_err() || (row.state == BatchState::Failed && before.state != row.state) {
        span.record("otel.status_code", "error");
    }
    let moved = row.state != before.state;
    let looked = before.state == BatchState::Running && (moved || seen(row) != before.seen);
    if !moved && !looked {
        return;
    }
    let asks = asks(parts, row).await;
    trace::link_all(span, &asks);
    if looked {
        let word = row.remote_state.clone().unwrap_or_default();
        let poll = Past::below(&of(row.id), "poll", before.began).client().linked(asks.iter().copied());
        let done = i64::from(row.done_items.unwrap_or(0));
        parts.traces.tell(facts(row, poll).with("batch.remote_state", word).with("batch.done", done));
    }
    if moved && row.state.is_over() {
        let whole = Past::first(of(row.id), "batch", row.created_at.into()).linked(asks);
        parts.traces.tell(facts(row, whole).failed(row.state == BatchState::Failed));
    }
}

fn facts(row: &BatchRow, past: Past) -> Past {
    past.with("batch", row.id.to_string())
        .with("batch.items", i64::from(row.items))
        .with("batch.submission", i64::from(row.submission))
        .with("batch.remote_id", row.remote_id.clone().unwrap_or_default())
        .with("gen_ai.provider.name", row.provider.clone())
        .with("gen_ai.request.model", row.model.clone().unwrap_or_default())
        .with("outcome", row.state.as_str())
}

/// The traces of a batch's asks: of all of them, or of as many as a span may have links, evenly spread over the batch.
async fn asks(parts: &Parts, row: &BatchRow) -> Vec<Traceparent> {
    let apart = usize::try_from(row.items).unwrap_or(0).div_ceil(MOST_LINKS).max(1);
    let places: Vec<i32> = (0..row.items).step_by(apart).collect();
    match parts.store.batch_items(row.id, &places).await {
        Ok(items) => trace::distinct(items.iter().map(|item| item.traceparent.as_deref())),
        Err(error) => {
            tracing::debug!(%error, "a batch's span has no links: its items could not be read");
            Vec::new()
        }
    }
}

/// The span of a slice of items that are settled together.
pub(crate) fn slice(ends: &[ItemEnd]) -> Span {
    tracing::info_span!(
        target: trace::TARGET,
        "slice",
        batch.items = ends.len(),
        batch.settled = Empty,
        batch.completed = Empty,
    )
}

/// Tells each ask of a settled slice, in its own trace, how long it was in the batch and what came of it.
pub(crate) fn settled(parts: &Parts, row: &BatchRow, (ends, settled): (&[ItemEnd], &[SettledItem]), span: &Span) {
    if !parts.traces.are_on() {
        return;
    }
    span.record("batch.settled", settled.len());
    span.record("batch.completed", settled.iter().filter(|item| item.then == Settled::Completed).count());
    trace::link_all(span, &trace::distinct(settled.iter().map(|item| item.name.traceparent.as_deref())));
    let batch = of(row.id);
    let id = row.id.to_string();
    let models: HashMap<i32, &str> = ends.iter().filter_map(|end| Some((end.seq, model(end)?))).collect();
    for item in settled {
        let Some(parent) = item.name.traceparent.as_deref().and_then(|text| text.parse().ok()) else { continue };
        let model = models.get(&item.seq).copied().or(row.model.as_deref()).unwrap_or_default();
        parts.traces.tell(
            Past::below(&parent, "batched ask", item.collected_at.into())
                .with("task", item.name.id.to_string())
                .with("batch", id.clone())
                .with("gen_ai.provider.name", row.provider.clone())
                .with("gen_ai.request.model", model.to_owned())
                .with("outcome", outcome(item.then))
                .linked([batch])
                .failed(item.then == Settled::Failed),
        );
    }
}

/// Which model answered, or was to.
fn model(end: &ItemEnd) -> Option<&str> {
    match (&end.then, &end.charge) {
        (ItemThen::Complete { model, .. }, _) => Some(model),
        (_, Some(charge)) => Some(&charge.model),
        (_, None) => None,
    }
}

const fn outcome(then: Settled) -> &'static str {
    match then {
        Settled::Completed => "completed",
        Settled::Failed => "failed",
        Settled::Cancelled => "cancelled",
        Settled::Again => "again",
        Settled::Now => "now",
        Settled::Back => "back",
        Settled::Late => "late",
    }
}
