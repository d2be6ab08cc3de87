//! Providers that cannot serve: a blackout begins with a failure that only a person can mend (key, money, quota), and
//! ends when one ask that tries has an answer.

use crate::{
    connect::Store,
    error::Error,
    held::Release,
    row::Columns,
    statement::{BLACKOUT_END, BLACKOUT_LIST, BLACKOUT_PROBE, BLACKOUT_PUT},
    sweep::Name,
    text,
};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};
use time::OffsetDateTime;
use tokio::sync::Mutex;

/// How long one ask may try whether a blackout is over before another may.
const PROBE: Duration = Duration::from_mins(5);
/// How old a cached reading may be.
const FRESH: Duration = Duration::from_secs(2);

/// A provider that cannot serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blackout {
    /// The provider's name.
    pub provider: String,
    /// One word: what is wrong (`key`, `billing`, `permission`, `quota`, …).
    pub cause: String,
    /// The provider's own words.
    pub reason: String,
    /// When it began.
    pub since: OffsetDateTime,
    /// When one ask may try whether it is over.
    pub probe_at: OffsetDateTime,
    /// How many tries have failed.
    pub probes: i32,
    /// Until then one ask is trying.
    pub probing_until: Option<OffsetDateTime>,
}

impl Blackout {
    /// Tells whether one ask may try now whether it is over; [`Store::blackout_probe`] says which.
    #[must_use]
    pub fn may_be_probed(&self, now: OffsetDateTime) -> bool {
        self.probe_at <= now && self.probing_until.is_none_or(|until| until <= now)
    }

    /// Returns how long an ask that waits for it is held: until the next try.
    #[must_use]
    pub fn wait(&self, now: OffsetDateTime) -> Duration {
        const LEAST: Duration = Duration::from_secs(1);
        let next = self.probing_until.map_or(self.probe_at, |until| until.max(self.probe_at));
        Duration::try_from(next - now).unwrap_or(LEAST).max(LEAST)
    }
}

/// A blackout that began, or goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlackoutPut {
    /// It began just now.
    pub new: bool,
    /// When one ask may try whether it is over.
    pub probe_at: OffsetDateTime,
}

impl Store {
    /// Reads the blackouts.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn blackouts(&self) -> Result<Vec<Blackout>, Error> {
        let rows = self.rows(&BLACKOUT_LIST, &[]).await?;
        rows.iter()
            .map(|row| {
                let mut columns = Columns::of(row, BLACKOUT_LIST.name);
                Ok(Blackout {
                    provider: columns.next()?,
                    cause: columns.next()?,
                    reason: columns.next()?,
                    since: columns.next()?,
                    probe_at: columns.next()?,
                    probes: columns.next()?,
                    probing_until: columns.next()?,
                })
            })
            .collect()
    }

    /// Begins a blackout, or makes it longer when a try has failed: half a minute, doubled each time, at most an hour.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn blackout_put(&self, provider: &str, cause: &str, reason: &str) -> Result<BlackoutPut, Error> {
        let row = self.row(&BLACKOUT_PUT, &[&provider, &cause, &text::clean(reason)]).await?;
        let row = row.ok_or_else(|| Error::Unreadable {
            statement: BLACKOUT_PUT.name,
            problem: "no row came back".to_owned(),
        })?;
        let mut columns = Columns::of(&row, BLACKOUT_PUT.name);
        Ok(BlackoutPut { new: columns.next()?, probe_at: columns.next()? })
    }

    /// Asks for leave to try whether a blackout is over. One of all that ask is given it.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn blackout_probe(&self, provider: &str) -> Result<bool, Error> {
        Ok(self.row(&BLACKOUT_PROBE, &[&provider, &text::milliseconds(PROBE)]).await?.is_some())
    }

    /// Ends a blackout and queues again what was held for it; `None` when there was none. Announce what it names.
    ///
    /// # Errors
    /// When the database cannot be asked. Between the end and the queueing the sweep takes over.
    pub async fn blackout_end(&self, provider: &str) -> Result<Option<Vec<Name>>, Error> {
        if self.row(&BLACKOUT_END, &[&provider]).await?.is_none() {
            return Ok(None);
        }
        self.unhold(&Release::Blackout(provider)).await.map(Some)
    }
}

/// The blackouts by provider.
type Reading = Arc<HashMap<String, Blackout>>;

/// The blackouts as they were two seconds ago at most. Asks Postgres only when it is asked itself.
#[derive(Debug, Default)]
pub struct BlackoutCache {
    read: RwLock<Option<(Instant, Reading)>>,
    reading: Mutex<()>,
}

impl BlackoutCache {
    /// Returns the blackouts by provider; what was read last when Postgres does not answer.
    pub async fn now(&self, store: &Store) -> Reading {
        if let Some(fresh) = self.kept(true) {
            return fresh;
        }
        // One asks, the others wait for its answer.
        let _reading = self.reading.lock().await;
        if let Some(fresh) = self.kept(true) {
            return fresh;
        }
        let began = Instant::now();
        match store.blackouts().await {
            Ok(list) => {
                let list = Arc::new(list.into_iter().map(|one| (one.provider.clone(), one)).collect());
                *self.read.write().unwrap_or_else(PoisonError::into_inner) = Some((began, Arc::clone(&list)));
                list
            }
            Err(error) => {
                tracing::warn!(%error, "the blackouts could not be read");
                self.kept(false).unwrap_or_default()
            }
        }
    }

    /// Forgets what was read: this process has changed it.
    pub fn forget(&self) {
        *self.read.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn kept(&self, fresh: bool) -> Option<Reading> {
        let read = self.read.read().unwrap_or_else(PoisonError::into_inner);
        let (at, list) = read.as_ref()?;
        (!fresh || at.elapsed() < FRESH).then(|| Arc::clone(list))
    }
}
