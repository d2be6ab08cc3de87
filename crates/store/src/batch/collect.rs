//! Collecting: a claimed ask becomes an item that waits for a batch, or goes back with another pace.

use super::name;
use crate::{
    connect::Store,
    error::Error,
    row::Columns,
    statement::{BATCH_COLLECT, BATCH_DECLINE},
    sweep::Name,
    text,
};
use domain::{money::Nanos, pace::Pace};
use time::OffsetDateTime;
use uuid::Uuid;

/// A claimed ask, rendered.
#[derive(Debug, Clone, PartialEq)]
pub struct NewItem {
    /// The task and its attempt.
    pub task: (Uuid, i32),
    /// Its order.
    pub root_id: Uuid,
    /// Items of the same group may share a batch: the provider, or `provider/model`.
    pub grp: String,
    /// Who is asked.
    pub provider: String,
    /// Which model.
    pub model: String,
    /// Who asks.
    pub agent: Option<String>,
    /// How many bytes it adds to its batch.
    pub bytes: i32,
    /// The most that it may cost.
    pub estimate: Nanos,
    /// The request: one line of JSON.
    pub body: String,
    /// When it must be asked faster.
    pub give_up_at: Option<OffsetDateTime>,
    /// How many batches the ask has been in, this one included.
    pub tries: i32,
    /// How many of its answers misfitted.
    pub misfits: i32,
}

/// A claimed ask that no batch takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declined {
    /// The task.
    pub id: Uuid,
    /// Its attempt.
    pub attempt: i32,
    /// How it is to be asked instead.
    pub pace: Pace,
    /// Why, for people.
    pub reason: String,
}

impl Store {
    /// Makes items of claimed asks and returns the tasks that wait for one now; the others have moved on. The lease is
    /// freed: a batch keeps them, not the worker. Calling it again names the same tasks. May be undone by a crash of
    /// Postgres; then the claim's lease runs out.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_collect(&self, worker: &str, items: &[NewItem]) -> Result<Vec<Uuid>, Error> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let (ids, attempts): (Vec<Uuid>, Vec<i32>) = items.iter().map(|item| item.task).unzip();
        let roots: Vec<Uuid> = items.iter().map(|item| item.root_id).collect();
        let groups: Vec<_> = items.iter().map(|item| text::clean(&item.grp)).collect();
        let providers: Vec<_> = items.iter().map(|item| text::clean(&item.provider)).collect();
        let models: Vec<_> = items.iter().map(|item| text::clean(&item.model)).collect();
        let agents: Vec<_> = items.iter().map(|item| item.agent.as_deref().map(text::clean)).collect();
        let bytes: Vec<i32> = items.iter().map(|item| item.bytes).collect();
        let estimates: Vec<i64> = items.iter().map(|item| item.estimate.0).collect();
        let bodies: Vec<_> = items.iter().map(|item| text::clean(&item.body)).collect();
        let give_up: Vec<_> = items.iter().map(|item| item.give_up_at).collect();
        let tries: Vec<i32> = items.iter().map(|item| item.tries).collect();
        let misfits: Vec<i32> = items.iter().map(|item| item.misfits).collect();
        let rows = self
            .rows(
                &BATCH_COLLECT,
                &[
                    &ids, &attempts, &roots, &groups, &providers, &models, &agents, &bytes, &estimates, &bodies,
                    &give_up, &tries, &misfits, &worker,
                ],
            )
            .await?;
        rows.iter().map(|row| Columns::of(row, BATCH_COLLECT.name).next()).collect()
    }

    /// Queues claimed asks again at another pace and returns those that moved: announce them. What was set aside for
    /// them is given back.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn batch_decline(&self, declined: &[Declined]) -> Result<Vec<Name>, Error> {
        if declined.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<Uuid> = declined.iter().map(|one| one.id).collect();
        let attempts: Vec<i32> = declined.iter().map(|one| one.attempt).collect();
        let paces: Vec<&str> = declined.iter().map(|one| one.pace.as_str()).collect();
        let reasons: Vec<_> = declined.iter().map(|one| text::clean(&one.reason)).collect();
        let rows = self.rows(&BATCH_DECLINE, &[&ids, &attempts, &paces, &reasons]).await?;
        rows.iter().map(|row| name(&mut Columns::of(row, BATCH_DECLINE.name))).collect()
    }
}
