//! Submit: uploads the items, commits the intent, creates the batch once, commits its name. A create whose answer
//! was lost is looked up before anything is sent again. Refuses to create twice what may exist.

use crate::{
    Parts, blackout,
    disband::{self, Fate},
    halve, lines,
    lookup::{self, spec},
    topics::News,
    work::{Step, age},
};
use domain::batch::{BatchState, CancelThen, LAST_SUBMISSION, Told, retry_delay};
use providers::{BatchJob, Batches, Class, Error};
use store::{BatchRow, Created};
use time::OffsetDateTime;

/// Takes the next step of a batch that is not known to exist at its provider.
pub(crate) async fn step(parts: &Parts, row: &mut BatchRow) -> Result<Step, store::Error> {
    let batches = parts.providers.batches(&row.provider);
    if row.intent_at.is_some() {
        return match &batches {
            Some(batches) => lookup::step(parts, row, batches).await,
            None => disband::off(parts, row).await,
        };
    }
    if let Some((fate, note)) = why_not(parts, row).await? {
        return disband::step(parts, row, &fate, &note).await;
    }
    let Some(batches) = batches else { return disband::off(parts, row).await };
    let probe = match blackout::gate(parts, &row.provider).await? {
        blackout::Gate::Open => false,
        blackout::Gate::Probe => true,
        // Whoever may be asked elsewhere is; the others are held until it serves again.
        blackout::Gate::Shut(note) => return disband::step(parts, row, &Fate::Back(note.clone()), &note).await,
    };
    if row.input_file.is_none() && age(row.created_at) > parts.config.poll && !thin(parts, row).await? {
        return Ok(Step::Lost);
    }
    if row.items == 0 {
        let note = "Nobody waits for it any more.";
        return disband::step(parts, row, &Fate::Wish(CancelThen::Cancel), note).await;
    }
    if row.input_file.is_none() {
        match batches.upload(&spec(row), lines::of(&parts.store, row)).await {
            Ok(None) => {}
            Ok(Some(file)) => {
                if !parts.store.batch_uploaded(row.id, row.hold, &file).await? {
                    return Ok(Step::Lost);
                }
                row.input_file = Some(file);
            }
            Err(error) => return refused(parts, row, &error).await,
        }
    }
    create(parts, row, &batches, probe).await
}

/// Takes out what has been asked otherwise, or cancelled, while the batch had to wait: it would be paid for nothing.
async fn thin(parts: &Parts, row: &mut BatchRow) -> Result<bool, store::Error> {
    let Some((items, bytes)) = parts.store.batch_thin(row.id, row.hold).await? else { return Ok(false) };
    if items < row.items {
        tracing::info!(items = row.items - items, "items that nobody waits for any more were taken out");
    }
    (row.items, row.bytes) = (items, bytes);
    Ok(true)
}

/// Tells why a batch that does not exist yet should not be created.
async fn why_not(parts: &Parts, row: &BatchRow) -> Result<Option<(Fate, String)>, store::Error> {
    if row.cancel_wanted_at.is_some() {
        let note = "It was cancelled before it was sent.".to_owned();
        return Ok(Some((Fate::Wish(row.cancel_then.unwrap_or(CancelThen::Now)), note)));
    }
    if age(row.created_at) > parts.config.patience || row.submission > LAST_SUBMISSION {
        let note = format!("{} did not take it in time.", row.provider);
        return Ok(Some((Fate::After(Told::Failed, note.clone()), note)));
    }
    if !parts.store.batch_unwanted(&[row.id]).await?.is_empty() {
        return Ok(Some((Fate::Wish(CancelThen::Cancel), "Nobody waits for it any more.".to_owned())));
    }
    Ok(None)
}

async fn create(parts: &Parts, row: &mut BatchRow, batches: &Batches, probe: bool) -> Result<Step, store::Error> {
    if !parts.store.batch_intent(row.id, row.hold).await? {
        return Ok(Step::Lost);
    }
    row.intent_at = Some(OffsetDateTime::now_utc());
    match batches.create(&spec(row), row.input_file.as_deref(), lines::of(&parts.store, row)).await {
        Ok(job) => {
            parts.metrics.created(&row.provider);
            if probe {
                blackout::end(parts, &row.provider).await?;
            }
            if adopted(parts, row, &job).await? {
                return Ok(Step::Next);
            }
            // Another hold, or a name that is another batch's: whoever has it now looks it up.
            tracing::error!(remote = job.id, "a batch that was created could not be noted");
            Ok(Step::Lost)
        }
        Err(failed) if failed.ambiguous => {
            tracing::warn!(error = %failed.error, "nobody knows whether the batch was created; it is looked up");
            lookup::unanswered(parts, row, batches).await
        }
        Err(failed) => {
            // It certainly does not exist: nothing has to be looked up.
            if !parts.store.batch_withdraw(row.id, row.hold).await? {
                return Ok(Step::Lost);
            }
            row.intent_at = None;
            refused(parts, row, &failed.error).await
        }
    }
}

/// Notes the batch's name at its provider; false when it is not ours to note.
pub(crate) async fn adopted(parts: &Parts, row: &mut BatchRow, job: &BatchJob) -> Result<bool, store::Error> {
    let created = Created { remote_id: job.id.clone(), remote_state: job.word.clone(), expires_at: job.expires_at };
    if !parts.store.batch_created(row.id, row.hold, &created).await? {
        return Ok(false);
    }
    tracing::info!(remote = job.id, items = row.items, "the provider has the batch");
    row.state = BatchState::Running;
    row.remote_id = Some(job.id.clone());
    row.submitted_at = Some(OffsetDateTime::now_utc());
    let mut news = News::default();
    news.batch(row.id, BatchState::Running);
    news.tell(&parts.bus).await;
    Ok(true)
}

/// Decides what a refusal of the upload or of the create means.
async fn refused(parts: &Parts, row: &mut BatchRow, error: &Error) -> Result<Step, store::Error> {
    let note = error.to_string();
    match error.class {
        Class::Retry { after } => Ok(Step::rest(retry_delay(after, age(row.created_at), parts.config.poll), note)),
        Class::Hold => {
            blackout::put(parts, error).await?;
            disband::step(parts, row, &Fate::Back(note.clone()), &note).await
        }
        Class::FailOver => disband::step(parts, row, &Fate::After(Told::Unfit, note.clone()), &note).await,
        // Something in it is at fault.
        Class::Fail => halve::step(parts, row, &note).await,
    }
}
