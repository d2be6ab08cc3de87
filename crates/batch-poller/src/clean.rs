//! Clean: deletes what a batch left at its provider. Refuses to hold anything up: what cannot be deleted is tried
//! again for a day and then left there.

use crate::{
    Parts,
    settle::job,
    work::{Step, age},
};
use domain::batch::retry_delay;
use providers::Class;
use std::time::Duration;
use store::BatchRow;

/// For how long it is tried.
const DAY: Duration = Duration::from_secs(86_400);

/// Takes the last step of a batch.
pub(crate) async fn step(parts: &Parts, row: &BatchRow) -> Result<Step, store::Error> {
    let since = age(row.settled_at.or(row.ended_at).unwrap_or(row.created_at));
    let nothing = row.remote_id.is_none() && row.input_file.is_none();
    if let Some(batches) = parts.providers.batches(&row.provider).filter(|_| !nothing)
        && let Err(error) = batches.clean(&job(row), row.input_file.as_deref()).await
    {
        if since < DAY {
            tracing::warn!(%error, "what a batch left at its provider could not be deleted; it is tried again");
            let asked = if let Class::Retry { after } = error.class { after } else { None };
            let wait = retry_delay(asked, since, parts.config.poll.saturating_mul(10));
            return Ok(Step::Rest(wait, None));
        }
        tracing::warn!(%error, "what a batch left at its provider could not be deleted and stays there");
    }
    Ok(if parts.store.batch_cleaned(row.id, row.hold).await? { Step::Over } else { Step::Lost })
}
