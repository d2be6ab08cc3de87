//! How an order shows in its trace besides its tasks: each time it is carried forward, and, when it has ended, as a
//! whole. Refuses to cost anything without a collector, and to tell what was ordered or answered.

use crate::{Parts, advance::Job};
use boot::trace::{Past, Traceparent};
use domain::task::State;
use std::{
    collections::HashSet,
    time::{Duration, SystemTime},
};
use store::{Advance, End, Tree, Write};
use tracing::Span;
use uuid::Uuid;

/// Notes on the running span how a task ended.
pub(crate) fn ended(end: &End) {
    let outcome = match end {
        End::Completed { .. } => "completed",
        End::Failed(_) => "failed",
        End::Again { .. } => "again",
        End::Held(_) => "held",
    };
    let span = Span::current();
    span.record("outcome", outcome);
    if let End::Failed(failure) = end {
        span.record("cause", failure.cause.as_str());
        span.record("otel.status_code", "error");
    }
}

/// A slice of orders that is carried forward.
pub(crate) struct Slice<'a> {
    /// When that began.
    pub(crate) began: SystemTime,
    /// Why: an order may be there more than once.
    pub(crate) jobs: &'a [Job],
}

impl Slice<'_> {
    /// Returns the spans of the orders on which a slice has an effect, to be told when it is committed.
    pub(crate) fn spans(&self, parts: &Parts, open: &Advance, writes: &[Write]) -> Vec<Past> {
        if !parts.traces.are_on() {
            return Vec::new();
        }
        open.trees.iter().flat_map(|tree| self.of(tree, open, writes)).collect()
    }

    fn of(&self, tree: &Tree, open: &Advance, writes: &[Write]) -> Vec<Past> {
        let root = &tree.root;
        let Some(trace) = root.traceparent.as_deref().and_then(|text| text.parse::<Traceparent>().ok()) else {
            return Vec::new();
        };
        let effect = Effect::of(tree, writes);
        let settled = open.finished.iter().filter(|done| done.root_id == root.id && done.state.is_terminal()).count();
        if settled == 0 && !effect.any {
            return Vec::new();
        }
        // Whoever retries or cancels has a trace of his own.
        let causes = self.jobs.iter().filter(|job| job.root == root.id);
        let others = causes.filter_map(|job| job.delivery.entry.traceparent.as_deref()?.parse::<Traceparent>().ok());
        let advance = Past::below(&trace, "advance", self.began)
            .with("task", root.id.to_string())
            .with("orders", count(open.trees.len()))
            .with("tasks.settled", count(settled))
            .with("tasks.made", count(effect.made))
            .with("tasks.queued", count(effect.queued))
            .linked(others.filter(|cause| !cause.shares_trace(&trace)));
        let Some(state) = effect.ended else { return vec![advance] };
        let whole = Past::below(&trace, "order", born(root.id))
            .with("task", root.id.to_string())
            .with("playbook", root.playbook.clone().unwrap_or_default())
            .with("pace", root.pace.as_str())
            .with("outcome", state.as_str())
            .with("emulated", root.emulated_any)
            .failed(state == State::Failed);
        vec![advance, whole]
    }
}

/// What a slice writes of one order.
#[derive(Default)]
struct Effect {
    any: bool,
    made: usize,
    queued: usize,
    ended: Option<State>,
}

impl Effect {
    fn of(tree: &Tree, writes: &[Write]) -> Self {
        let root = tree.root.id;
        let children: HashSet<Uuid> = tree.children.iter().map(|child| child.id).collect();
        let mut effect = Self::default();
        for write in writes {
            let ours = match write {
                Write::Start(id) | Write::Complete { root: id, .. } | Write::Fail { root: id, .. } => *id == root,
                Write::Create { root: id, .. } => *id == root,
                Write::Reset(ids) => ids.iter().any(|id| children.contains(id)),
                Write::Queue { id, .. } | Write::Cancel { id, .. } | Write::FailTask { id, .. } => {
                    children.contains(id)
                }
            };
            if !ours {
                continue;
            }
            effect.any = true;
            match write {
                Write::Create { child, .. } => {
                    effect.made += 1;
                    effect.queued += usize::from(child.state == State::Queued);
                }
                Write::Queue { .. } => effect.queued += 1,
                Write::Complete { .. } => effect.ended = Some(State::Completed),
                Write::Fail { .. } => effect.ended = Some(State::Failed),
                Write::Start(_) | Write::Reset(_) | Write::Cancel { .. } | Write::FailTask { .. } => {}
            }
        }
        effect
    }
}

/// Returns when an id was made: it is of version 7 and tells.
fn born(id: Uuid) -> SystemTime {
    let (seconds, nanos) = id.get_timestamp().map_or((0, 0), |at| at.to_unix());
    SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)
}

fn count(many: usize) -> i64 {
    i64::try_from(many).unwrap_or(i64::MAX)
}
