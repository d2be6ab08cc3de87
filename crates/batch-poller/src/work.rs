//! Works on one batch that this replica has taken: one step after the other, each committed before the next, until
//! the batch has to wait or is done. A death between two steps costs a lease's time and nothing else.

use crate::{AGAIN, Parts, clean, poll, settle, submit, traced};
use boot::trace;
use domain::batch::{BatchState, poll_delay};
use std::{sync::Arc, time::Duration};
use store::BatchRow;
use time::OffsetDateTime;
use tracing::Instrument as _;

/// What a step led to.
#[derive(Debug)]
pub(crate) enum Step {
    /// The batch has moved: there is another step.
    Next,
    /// There is nothing to do before so long, and why, for people.
    Rest(Duration, Option<String>),
    /// There is nothing left to do.
    Over,
    /// Another replica has it.
    Lost,
}

impl Step {
    /// Rests and tells why.
    pub(crate) fn rest(wait: Duration, note: impl Into<String>) -> Self {
        Self::Rest(wait, Some(note.into()))
    }
}

/// Works on a batch until it waits, is done, is lost, or this replica's time is up.
pub(crate) async fn work(parts: Arc<Parts>, row: BatchRow) {
    let (id, hold) = (row.id, row.hold);
    let span = tracing::info_span!("batch", batch = %id, provider = row.provider, hold);
    // What is shown of it is put below its trace's first span step by step: most looks see nothing new.
    let unseen = traced::of(id).unsampled().to_string();
    let lost = parts.kept.hold(id, hold);
    tokio::select! {
        () = trace::scope(span, Some(&unseen), drive(&parts, row)) => {}
        () = lost.cancelled() => {}
        () = parts.cut.cancelled() => {}
    }
    parts.kept.release(id, hold);
}

async fn drive(parts: &Parts, mut row: BatchRow) {
    loop {
        if parts.stop.is_cancelled() {
            // Another replica goes on at once.
            return release(parts, &row, Duration::ZERO, None).await;
        }
        let verb = match row.state {
            BatchState::Submitting => "submit",
            BatchState::Running => "poll",
            BatchState::Ended => "settle",
            BatchState::Settled | BatchState::Failed => "clean",
        };
        let (before, span) = (traced::Before::of(&row), traced::step(&row, verb));
        let stepping = step(parts, &mut row).instrument(span.clone());
        let stepped = stepping.instrument(tracing::info_span!("step", verb)).await;
        traced::stepped(parts, &row, &span, before, stepped.as_ref().map_err(|_| ())).await;
        drop(span);
        match stepped {
            Ok(Step::Next) => {}
            Ok(Step::Rest(wait, note)) => return release(parts, &row, wait, note).await,
            Ok(Step::Over) => return,
            Ok(Step::Lost) => {
                tracing::info!("another replica has the batch");
                return;
            }
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, verb, "Postgres could not take a step of a batch; it is tried again");
                tokio::time::sleep(AGAIN).await;
            }
            Err(error) => {
                tracing::error!(%error, verb, "Postgres refused a step of a batch");
                return release(parts, &row, parts.config.poll, Some("a defect of ours; the log has more".to_owned()))
                    .await;
            }
        }
    }
}

async fn step(parts: &Parts, row: &mut BatchRow) -> Result<Step, store::Error> {
    match row.state {
        BatchState::Submitting => submit::step(parts, row).await,
        BatchState::Running => poll::step(parts, row).await,
        BatchState::Ended => settle::step(parts, row).await,
        BatchState::Settled | BatchState::Failed => clean::step(parts, row).await,
    }
}

/// Lets a batch go until it is due again. When Postgres cannot take that, the lease runs out.
async fn release(parts: &Parts, row: &BatchRow, wait: Duration, note: Option<String>) {
    if let Some(note) = &note {
        tracing::info!(note, wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX), "the batch waits");
    }
    if let Err(error) = parts.store.batch_release(row.id, row.hold, wait, note.as_deref()).await {
        tracing::warn!(%error, "a batch could not be released; its lease runs out");
    }
}

/// Returns how long ago something was; zero when clocks disagree.
pub(crate) fn age(since: OffsetDateTime) -> Duration {
    Duration::try_from(OffsetDateTime::now_utc() - since).unwrap_or_default()
}

/// Returns how long a batch of this row's age waits between two looks.
pub(crate) fn pause(parts: &Parts, row: &BatchRow) -> Duration {
    poll_delay(age(row.submitted_at.unwrap_or(row.created_at)), parts.config.poll)
}
