//! Looks a batch up at its provider after a create of unknown outcome, and adopts it, or becomes certain that it does
//! not exist: only then it may be sent again, as another submission. Refuses to adopt what may be another's: at a
//! provider that keeps no label, whatever agrees is waited for until it ends and its results say whose it is.

use crate::{
    Parts,
    disband::{self, Fate},
    submit::adopted,
    work::{Step, age},
};
use domain::batch::{CancelThen, LAST_SUBMISSION, Token, Told, poll_delay, retry_delay};
use providers::{BatchJob, BatchSpec, Batches, Class, Error, Found};
use std::{collections::HashSet, time::Duration};
use store::BatchRow;

/// What people read meanwhile.
const IN_DOUBT: &str = "Nobody knows whether it was sent; it is looked for.";
/// What people read while something runs that may be it.
const PERHAPS: &str = "One that runs may be it; when that has ended, its results say so.";
/// The longest pause between the two looks that make an absence certain.
const BETWEEN: Duration = Duration::from_secs(2);
/// How many batches that turn out to be others of ours one search passes over.
const MOST_OTHERS: usize = 20;

/// So many bytes a millisecond reach a provider at the least: what is sent with the create itself takes its time.
const BYTES_A_MILLISECOND: i64 = 256;

/// Takes the next step of a batch whose create was not answered just now.
pub(crate) async fn unanswered(parts: &Parts, row: &mut BatchRow, batches: &Batches) -> Result<Step, store::Error> {
    match look(parts, row, batches).await? {
        Look::Adopted => Ok(Step::Next),
        Look::Unknown(error) => unknown(parts, row, &error).await,
        Look::Perhaps => perhaps(parts, row).await,
        // The provider may be at it still, however long the answer has been waited for.
        Look::Absent => Ok(Step::rest(grace(parts, row), IN_DOUBT)),
    }
}

/// Takes the next step of a batch that was intended and has no name.
pub(crate) async fn step(parts: &Parts, row: &mut BatchRow, batches: &Batches) -> Result<Step, store::Error> {
    let since = age(row.intent_at.unwrap_or(row.created_at));
    match look(parts, row, batches).await? {
        Look::Adopted => return Ok(Step::Next),
        Look::Unknown(error) => return unknown(parts, row, &error).await,
        Look::Perhaps => return perhaps(parts, row).await,
        Look::Absent => {}
    }
    let grace = grace(parts, row);
    if since < grace {
        // What was created just now need not be in the list yet.
        return Ok(Step::rest(grace.saturating_sub(since).max(Duration::from_millis(10)), IN_DOUBT));
    }
    tokio::time::sleep(BETWEEN.min(parts.config.grace / 4)).await;
    match look(parts, row, batches).await? {
        Look::Adopted => Ok(Step::Next),
        Look::Unknown(error) => unknown(parts, row, &error).await,
        Look::Perhaps => perhaps(parts, row).await,
        Look::Absent => absent(parts, row).await,
    }
}

/// How long after the intent an absence is believed: as long as a create may be on its way, whoever sent it may have
/// died over it, and the grace after that.
fn grace(parts: &Parts, row: &BatchRow) -> Duration {
    let sending = if row.input_file.is_none() { row.bytes / BYTES_A_MILLISECOND } else { 0 };
    let sending = Duration::from_millis(u64::try_from(sending).unwrap_or(0));
    parts.config.grace.saturating_mul(2).saturating_add(sending)
}

/// What one search brought.
pub(crate) enum Look {
    /// It runs, and its name is noted.
    Adopted,
    /// One that has not ended may be it, or another of ours that is in doubt as well, or somebody else's.
    Perhaps,
    /// The provider does not have it.
    Absent,
    /// The provider did not say.
    Unknown(Error),
}

/// Searches once, and adopts what is found.
pub(crate) async fn look(parts: &Parts, row: &mut BatchRow, batches: &Batches) -> Result<Look, store::Error> {
    let since = row.intent_at.unwrap_or(row.created_at);
    let mut except: HashSet<String> = parts.store.batch_remotes(&row.provider, since).await?.into_iter().collect();
    for _ in 0..MOST_OTHERS {
        let job = match batches.find(&spec(row), row.input_file.as_deref(), since, &except).await {
            Ok(Found::Job(job)) => job,
            Ok(Found::Perhaps(_)) => {
                parts.metrics.looked_up("perhaps");
                return Ok(Look::Perhaps);
            }
            Ok(Found::Absent) => {
                parts.metrics.looked_up("absent");
                return Ok(Look::Absent);
            }
            Err(error) => {
                parts.metrics.looked_up("failed");
                return Ok(Look::Unknown(error));
            }
        };
        parts.metrics.looked_up("found");
        if adopted(parts, row, &job).await? {
            parts.metrics.adopted.inc();
            return Ok(Look::Adopted);
        }
        // Noted meanwhile for another batch of ours, or this one is not ours any more, which the next write tells.
        except.insert(job.id);
    }
    Ok(Look::Absent)
}

/// The list could not be read: nothing may be sent.
async fn unknown(parts: &Parts, row: &mut BatchRow, error: &Error) -> Result<Step, store::Error> {
    if age(row.created_at) > parts.config.patience {
        let note = format!("{} did not say in time whether it has it.", row.provider);
        return disband::step(parts, row, &Fate::After(Told::Nothing, note.clone()), &note).await;
    }
    let asked = if let Class::Retry { after } = error.class { after } else { None };
    let wait = retry_delay(asked, age(row.intent_at.unwrap_or(row.created_at)), parts.config.poll);
    Ok(Step::rest(wait, format!("It is looked for: {error}")))
}

/// Something runs that may be it: nothing may be sent before that has ended.
async fn perhaps(parts: &Parts, row: &mut BatchRow) -> Result<Step, store::Error> {
    if age(row.created_at) > parts.config.patience {
        let note = format!("{} did not end in time what may be it.", row.provider);
        return disband::step(parts, row, &Fate::After(Told::Nothing, note.clone()), &note).await;
    }
    Ok(Step::rest(poll_delay(age(row.intent_at.unwrap_or(row.created_at)), parts.config.poll), PERHAPS))
}

/// It does not exist: it may be sent again.
async fn absent(parts: &Parts, row: &mut BatchRow) -> Result<Step, store::Error> {
    if row.cancel_wanted_at.is_some() {
        let fate = Fate::Wish(row.cancel_then.unwrap_or(CancelThen::Now));
        return disband::step(parts, row, &fate, "It was cancelled before it was sent.").await;
    }
    if row.submission >= LAST_SUBMISSION {
        let note = format!("{} did not take it, however often it was sent.", row.provider);
        return disband::step(parts, row, &Fate::After(Told::Failed, note.clone()), &note).await;
    }
    resubmit(parts, row, "The provider does not have it: it is sent again.").await
}

/// Begins the next submission.
pub(crate) async fn resubmit(parts: &Parts, row: &mut BatchRow, note: &str) -> Result<Step, store::Error> {
    tracing::warn!(submission = row.submission, note, "the batch is sent again");
    // Without its file nothing comes of a create that is still on its way; and files count against a quota.
    if let Some(batches) = parts.providers.batches(&row.provider).filter(|_| row.input_file.is_some())
        && let Err(error) = batches.clean(&BatchJob::default(), row.input_file.as_deref()).await
    {
        tracing::warn!(%error, "the file of a submission that came to nothing could not be deleted; it stays there");
    }
    if !parts.store.batch_resubmit(row.id, row.hold, note).await? {
        return Ok(Step::Lost);
    }
    parts.metrics.sent_again.inc();
    row.state = domain::batch::BatchState::Submitting;
    row.submission = row.submission.saturating_add(1);
    (row.input_file, row.intent_at, row.remote_id, row.submitted_at) = (None, None, None, None);
    Ok(Step::Next)
}

/// What the provider is told of this submission.
pub(crate) fn spec(row: &BatchRow) -> BatchSpec {
    BatchSpec {
        token: token(row).to_string(),
        model: row.model.clone(),
        items: u32::try_from(row.items).unwrap_or(0),
        bytes: u64::try_from(row.bytes).unwrap_or(0),
    }
}

/// The name of this submission.
pub(crate) fn token(row: &BatchRow) -> Token {
    Token { batch: row.id, submission: row.submission }
}
