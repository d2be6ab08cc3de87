//! Poll: asks how a batch stands, and tells the provider to stop one that nobody wants or that takes too long.
//! Words of the provider that are not known keep it polling.

use crate::{
    Parts, blackout,
    disband::{self, Fate},
    halve, lookup,
    topics::News,
    work::{Step, age, pause},
};
use domain::batch::{BatchState, CancelThen, Fault, Told, Whole, retry_delay, whole};
use providers::{BatchJob, Batches, Class, Error, JobState};
use std::{collections::BTreeMap, time::Duration};
use store::{BatchRow, JobEnd, Polled};
use time::OffsetDateTime;

/// For how many of the slowest pauses a provider may say that it does not know a batch (10 min by default): it does so
/// after the create, and now and then later.
pub(crate) const FORGETFUL: u32 = 10;
/// For how many of the slowest pauses it may take to stop a batch that has been too slow (1 h by default).
const STOPPING: u32 = 60;

/// Takes the next step of a batch that the provider has.
pub(crate) async fn step(parts: &Parts, row: &mut BatchRow) -> Result<Step, store::Error> {
    let Some(batches) = parts.providers.batches(&row.provider) else { return disband::off(parts, row).await };
    let remote = row.remote_id.clone().unwrap_or_default();
    match batches.status(&remote).await {
        Ok(job) if job.state.is_terminal() => ended(parts, row, job).await,
        Ok(job) => running(parts, row, &batches, job).await,
        Err(error) => failed(parts, row, &error).await,
    }
}

async fn running(parts: &Parts, row: &mut BatchRow, batches: &Batches, job: BatchJob) -> Result<Step, store::Error> {
    let done = job.done.and_then(|done| i32::try_from(done).ok());
    let moved = row.remote_state.as_deref() != Some(job.word.as_str()) || (done.is_some() && done != row.done_items);
    if job.state == JobState::Unknown {
        parts.metrics.unknown_states.inc();
        tracing::warn!(word = job.word, "the provider uses a word for a batch's state that is not known");
    }
    let why = why_stop(parts, row).await?;
    if let Some(why) = &why
        && job.state != JobState::Cancelling
    {
        tracing::info!(why, "the provider is told to stop the batch");
        if let Err(error) = batches.cancel(&job.id).await {
            // It may have ended meanwhile; the next look tells.
            tracing::warn!(%error, "the provider was told to stop the batch and did not obey");
        }
    }
    let polled = Polled {
        remote_state: job.word,
        done,
        expires_at: job.expires_at,
        output_file: job.output_file,
        error_file: job.error_file,
        note: why.clone(),
    };
    let known_again = row.unknown_since.is_some();
    if (moved || known_again || why.is_some()) && !parts.store.batch_polled(row.id, row.hold, &polled).await? {
        return Ok(Step::Lost);
    }
    if moved {
        row.remote_state = Some(polled.remote_state);
        row.done_items = done.or(row.done_items);
        let mut news = News::default();
        news.batch(row.id, BatchState::Running);
        news.tell(&parts.bus).await;
    }
    if is_hopeless(parts, row) {
        let note = format!("{} neither ended nor stopped it in time.", row.provider);
        return disband::step(parts, row, &Fate::After(Told::Expired, note.clone()), &note).await;
    }
    // What was told to stop stops soon.
    let most = if why.is_some() { parts.config.poll / 6 } else { parts.config.poll };
    Ok(Step::Rest(pause(parts, row).min(most), None))
}

/// Tells why a batch that runs should be stopped.
async fn why_stop(parts: &Parts, row: &BatchRow) -> Result<Option<String>, store::Error> {
    if row.cancel_wanted_at.is_some() {
        return Ok(Some("It was cancelled by its master.".to_owned()));
    }
    if age(started(row)) > parts.config.patience {
        return Ok(Some(format!("{} takes too long: it is cancelled.", row.provider)));
    }
    let unwanted = !parts.store.batch_unwanted(&[row.id]).await?.is_empty();
    Ok(unwanted.then(|| "Nobody waits for it any more: it is cancelled.".to_owned()))
}

/// Tells whether the provider had all the time that it may have, and more to stop the batch.
fn is_hopeless(parts: &Parts, row: &BatchRow) -> bool {
    age(started(row)) > parts.config.patience.saturating_add(parts.config.poll.saturating_mul(STOPPING))
}

fn started(row: &BatchRow) -> OffsetDateTime {
    row.submitted_at.unwrap_or(row.created_at)
}

/// The provider has ended the batch, one way or another.
async fn ended(parts: &Parts, row: &mut BatchRow, job: BatchJob) -> Result<Step, store::Error> {
    if job.state == JobState::Failed && job.output_file.is_none() && job.error_file.is_none() {
        return refused(parts, row, &job).await;
    }
    let end = JobEnd {
        remote_state: job.word,
        done: job.done.and_then(|done| i32::try_from(done).ok()),
        output_file: job.output_file.clone(),
        error_file: job.error_file.clone(),
        ended_at: None,
        note: None,
    };
    if !parts.store.batch_ended(row.id, row.hold, &end).await? {
        return Ok(Step::Lost);
    }
    tracing::info!(state = end.remote_state, "the provider has ended the batch");
    parts.metrics.took(&row.provider, age(started(row)));
    row.state = BatchState::Ended;
    row.done_items = end.done.or(row.done_items);
    row.remote_state = Some(end.remote_state);
    row.ended_at = Some(OffsetDateTime::now_utc());
    row.output_file = end.output_file.or(row.output_file.take());
    row.error_file = end.error_file.or(row.error_file.take());
    let mut news = News::default();
    news.batch(row.id, BatchState::Ended);
    news.tell(&parts.bus).await;
    Ok(Step::Next)
}

/// The provider has refused the batch as a whole after it had taken it.
async fn refused(parts: &Parts, row: &mut BatchRow, job: &BatchJob) -> Result<Step, store::Error> {
    let faults: Vec<Fault> = job
        .faults
        .iter()
        .map(|fault| Fault {
            token_limit: fault.is_token_limit(),
            line: fault.line,
            message: format!("{} refused it: {}", row.provider, fault.message),
        })
        .collect();
    let note = faults.first().map_or_else(|| format!("{} failed it.", row.provider), |fault| fault.message.clone());
    let fate = match whole(&faults, row.items) {
        Whole::Later if row.cancel_wanted_at.is_none() && age(row.created_at) < parts.config.patience => {
            let wait = later(parts, row);
            let step = lookup::resubmit(parts, row, &note).await?;
            return Ok(if matches!(step, Step::Next) { Step::rest(wait, note) } else { step });
        }
        Whole::Later | Whole::Again => Fate::After(Told::Failed, note.clone()),
        Whole::Items(guilty) => Fate::Blame(named(parts, row, guilty).await?),
        Whole::Apart if row.cancel_wanted_at.is_none() => return halve::step(parts, row, &note).await,
        Whole::Apart => Fate::Apart(note.clone()),
    };
    let fate = row.cancel_wanted_at.map_or(fate, |_| Fate::Wish(row.cancel_then.unwrap_or(CancelThen::Now)));
    disband::step(parts, row, &fate, &note).await
}

/// From places in the file to the items' numbers.
async fn named(
    parts: &Parts,
    row: &BatchRow,
    guilty: BTreeMap<i32, String>,
) -> Result<BTreeMap<i32, String>, store::Error> {
    let places: Vec<i32> = guilty.keys().copied().collect();
    let numbers = parts.store.batch_places(row.id, &places).await?;
    Ok(guilty.into_iter().filter_map(|(place, why)| Some((*numbers.get(&place)?, why))).collect())
}

/// How long a batch waits for others to leave the provider's queue: the longer it has waited already, the longer.
fn later(parts: &Parts, row: &BatchRow) -> Duration {
    let slowest = parts.config.poll.saturating_mul(10);
    (age(row.created_at) / 4).clamp(parts.config.poll / 6, slowest)
}

async fn failed(parts: &Parts, row: &mut BatchRow, error: &Error) -> Result<Step, store::Error> {
    if error.status == Some(404) {
        let Some(unknown) = parts.store.batch_unknown(row.id, row.hold).await? else { return Ok(Step::Lost) };
        if unknown < parts.config.poll.saturating_mul(FORGETFUL) {
            return Ok(Step::rest(pause(parts, row), "The provider does not know it at the moment."));
        }
        return lost(parts, row).await;
    }
    if is_hopeless(parts, row) {
        let note = format!("{} does not say how it stands: {error}", row.provider);
        // One that does not let us in takes no other batch either.
        let told = if error.class == Class::Hold { Told::Unfit } else { Told::Nothing };
        return disband::step(parts, row, &Fate::After(told, note.clone()), &note).await;
    }
    if error.class == Class::Hold {
        let wait = blackout::put(parts, error).await?;
        return Ok(Step::rest(wait, error.to_string()));
    }
    let asked = if let Class::Retry { after } = error.class { after } else { None };
    let wait = retry_delay(asked, age(started(row)), parts.config.poll);
    Ok(Step::rest(wait, format!("Its state could not be read: {error}")))
}

/// The provider does not know the batch any more: nothing will come of it.
async fn lost(parts: &Parts, row: &mut BatchRow) -> Result<Step, store::Error> {
    let note = format!("{} does not know it any more.", row.provider);
    disband::step(parts, row, &Fate::After(Told::Nothing, note.clone()), &note).await
}
