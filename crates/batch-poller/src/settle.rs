//! Settle: reads the results of an ended batch as they come, commits them in slices, each item once, and then decides
//! about the items of which the provider said nothing. Memory holds two slices, however large the batch is.

use crate::{
    Parts, blackout,
    commit::commit,
    disband::{self, Fate},
    lookup::token,
    poll::FORGETFUL,
    topics::News,
    verdict::{Misfit, Verdict, judge},
    work::{Step, age},
};
use domain::{
    batch::{BatchState, CancelThen, CustomId, ItemState, Told, retry_delay},
    schema::Checks,
};
use futures_util::StreamExt as _;
use providers::{BatchJob, BatchOutcome, BatchResult, BatchResults, Batches, Class, Error, JobState};
use std::{collections::HashMap, time::Duration};
use store::{BatchRow, ItemRow};
use time::OffsetDateTime;
use uuid::Uuid;

/// The most results of a slice.
const SLICE: usize = 500;
/// About the most bytes of its answers.
const SLICE_BYTES: usize = 4 << 20;
/// How long a slice waits for the next result before it is committed as it is.
const PAUSE: Duration = Duration::from_millis(100);
/// How many results are judged before others get their turn.
const TURN: usize = 32;

/// Takes in what an ended batch brought.
pub(crate) async fn step(parts: &Parts, row: &mut BatchRow) -> Result<Step, store::Error> {
    let Some(batches) = parts.providers.batches(&row.provider) else { return disband::off(parts, row).await };
    let priced_on = row.submitted_at.unwrap_or(row.created_at).date();
    match batches.results(&job(row), priced_on).await {
        Ok(results) => match read(parts, row, &batches, results).await? {
            Read::All => {}
            Read::Broken(error) if is_worth_waiting(parts, row, &error) => return Ok(later(parts, row, &error)),
            Read::Broken(error) => tracing::warn!(%error, "the rest of the results cannot be had"),
            Read::Stopped => return Ok(Step::Rest(Duration::ZERO, None)),
            Read::Lost => return Ok(Step::Lost),
        },
        Err(error) if is_worth_waiting(parts, row, &error) => {
            if error.class == Class::Hold {
                blackout::put(parts, &error).await?;
            }
            return Ok(later(parts, row, &error));
        }
        Err(error) => tracing::warn!(%error, "the results cannot be had"),
    }
    leftovers(parts, row, &batches).await
}

/// What became of the reading.
enum Read {
    All,
    Broken(Error),
    Stopped,
    Lost,
}

/// Reads to the end; one slice is committed while the next one comes in.
async fn read(
    parts: &Parts,
    row: &BatchRow,
    batches: &Batches,
    mut results: BatchResults,
) -> Result<Read, store::Error> {
    let mut next = gather(&mut results).await;
    loop {
        let (slice, over, broken) = (next.slice, next.over, next.broken);
        let (taken, coming) = if over {
            (take(parts, row, batches, slice).await?, Gathered::default())
        } else {
            let (taken, coming) = tokio::join!(take(parts, row, batches, slice), gather(&mut results));
            (taken?, coming)
        };
        match (taken, broken) {
            (false, _) => return Ok(Read::Lost),
            (true, Some(error)) => return Ok(Read::Broken(error)),
            (true, None) if over => return Ok(Read::All),
            (true, None) if parts.stop.is_cancelled() => return Ok(Read::Stopped),
            (true, None) => next = coming,
        }
    }
}

/// What came in until a slice was full, the stream paused, or it ended.
#[derive(Default)]
struct Gathered {
    slice: Vec<BatchResult>,
    over: bool,
    broken: Option<Error>,
}

async fn gather(results: &mut BatchResults) -> Gathered {
    let mut gathered = Gathered::default();
    let mut bytes = 0_usize;
    while gathered.slice.len() < SLICE && bytes < SLICE_BYTES {
        let next = if gathered.slice.is_empty() {
            results.next().await
        } else {
            match tokio::time::timeout(PAUSE, results.next()).await {
                Ok(next) => next,
                Err(_) => break,
            }
        };
        match next {
            Some(Ok(result)) => {
                if let BatchOutcome::Succeeded(answer) = &result.outcome {
                    bytes = bytes.saturating_add(answer.text.len());
                }
                gathered.slice.push(result);
            }
            Some(Err(error)) => {
                (gathered.over, gathered.broken) = (true, Some(error));
                break;
            }
            None => {
                gathered.over = true;
                break;
            }
        }
    }
    gathered
}

/// Judges and commits a slice; false when another replica has the batch.
async fn take(parts: &Parts, row: &BatchRow, batches: &Batches, slice: Vec<BatchResult>) -> Result<bool, store::Error> {
    let mut outcomes: HashMap<i32, BatchOutcome> = HashMap::with_capacity(slice.len());
    for result in slice {
        match place(row, &result) {
            // Of a line that comes twice the first counts.
            Some(seq) => {
                outcomes.entry(seq).or_insert(result.outcome);
            }
            None => parts.metrics.foreign.inc(),
        }
    }
    let seqs: Vec<i32> = outcomes.keys().copied().collect();
    let items = parts.store.batch_items(row.id, &seqs).await?;
    let dark = outcomes.values().find_map(|outcome| match outcome {
        BatchOutcome::Failed(error) if error.class == Class::Hold => Some(error.clone()),
        _ => None,
    });
    let mut checks = Checks::default();
    let (mut ends, mut misfits) = (Vec::with_capacity(items.len()), Vec::new());
    for (count, item) in items.into_iter().filter(|item| item.state == ItemState::Submitted).enumerate() {
        let Some(outcome) = outcomes.remove(&item.seq) else { continue };
        match judge(parts, &mut checks, (item, outcome), wish(row)) {
            Verdict::End(end) => ends.push(end),
            Verdict::Correct(misfit) => misfits.push(misfit),
        }
        if count % TURN == TURN - 1 {
            tokio::task::yield_now().await;
        }
    }
    ends.extend(correct(parts, batches, misfits).await?);
    if let Some(error) = dark {
        blackout::put(parts, &error).await?;
    }
    commit(parts, row, &ends).await
}

/// Writes the questions that ask again for answers that did not fit.
async fn correct(parts: &Parts, batches: &Batches, misfits: Vec<Misfit>) -> Result<Vec<store::ItemEnd>, store::Error> {
    if misfits.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = misfits.iter().map(|misfit| misfit.item.task.0).collect();
    let works = parts.store.batch_works(&ids).await?;
    let end = |misfit: Misfit| match works.get(&misfit.item.task.0) {
        Some(work) => misfit.end(parts, batches, work),
        None => misfit.lost(),
    };
    Ok(misfits.into_iter().map(end).collect())
}

/// Decides about the items of which nothing was said, and ends the batch.
async fn leftovers(parts: &Parts, row: &mut BatchRow, batches: &Batches) -> Result<Step, store::Error> {
    let rest: Vec<ItemRow> = parts.store.batch_rest(row.id, -1, 1).await?;
    if !rest.is_empty() {
        let state = batches.status(&row.remote_id.clone().unwrap_or_default()).await.map(|job| job.state);
        let fate = match (state, wish(row)) {
            (Ok(JobState::Cancelled), Some(wish)) => Fate::Wish(wish),
            (Ok(JobState::Cancelled), None) => silent(Told::Cancelled, row, "was cancelled before it"),
            (Ok(JobState::Expired), _) => silent(Told::Expired, row, "ran out of time before it"),
            (Ok(JobState::Failed), _) => silent(Told::Failed, row, "failed before it"),
            (Err(error), _) if is_worth_waiting(parts, row, &error) => return Ok(later(parts, row, &error)),
            _ => silent(Told::Nothing, row, "ended without a word of it"),
        };
        if !disband::items(parts, row, &fate).await? {
            return Ok(Step::Lost);
        }
    }
    if !parts.store.batch_settled(row.id, row.hold).await? {
        return Ok(Step::Lost);
    }
    tracing::info!(items = row.items, "the batch is settled");
    row.state = BatchState::Settled;
    row.settled_at = Some(OffsetDateTime::now_utc());
    let mut news = News::default();
    news.batch(row.id, BatchState::Settled);
    news.tell(&parts.bus).await;
    Ok(Step::Next)
}

fn silent(told: Told, row: &BatchRow, what: &str) -> Fate {
    Fate::After(told, format!("the batch at {} {what}", row.provider))
}

/// The place in this submission that a result belongs to.
fn place(row: &BatchRow, result: &BatchResult) -> Option<i32> {
    let id: CustomId = result.custom_id.parse().ok()?;
    (id.token == token(row)).then_some(id.seq)
}

/// What the master of a cancelled batch wants of its asks.
fn wish(row: &BatchRow) -> Option<CancelThen> {
    row.cancel_wanted_at.map(|_| row.cancel_then.unwrap_or(CancelThen::Now))
}

/// Tells whether results that cannot be had now may come yet: what is not found for a while after the end, everything
/// else as long as a batch may take.
fn is_worth_waiting(parts: &Parts, row: &BatchRow, error: &Error) -> bool {
    let since = age(row.ended_at.unwrap_or(row.created_at));
    let gone = matches!(error.status, Some(404 | 410)) || error.class == Class::Fail;
    since < if gone { parts.config.poll.saturating_mul(FORGETFUL) } else { parts.config.patience }
}

fn later(parts: &Parts, row: &BatchRow, error: &Error) -> Step {
    let asked = if let Class::Retry { after } = error.class { after } else { None };
    let wait = retry_delay(asked, age(row.ended_at.unwrap_or(row.created_at)), parts.config.poll);
    Step::rest(wait, format!("Its results could not be read: {error}"))
}

/// The batch as its provider knows it, from the row.
pub(crate) fn job(row: &BatchRow) -> BatchJob {
    BatchJob {
        id: row.remote_id.clone().unwrap_or_default(),
        model: row.model.clone(),
        output_file: row.output_file.clone(),
        error_file: row.error_file.clone(),
        ..BatchJob::default()
    }
}
