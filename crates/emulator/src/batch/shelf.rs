//! Keeps all batches, files and begun uploads of an emulator. Refuses to forget a batch before it is billed.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;

use super::blob::Blob;
use super::life::Batch;
use crate::seed;
use crate::wire::{Provider, Wire};

/// A file that a client uploaded.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) number: u64,
    pub(crate) id: String,
    pub(crate) provider: Provider,
    pub(crate) filename: String,
    pub(crate) purpose: String,
    pub(crate) mime_type: String,
    pub(crate) created: OffsetDateTime,
    /// Seconds after which it is gone, where that was asked for.
    pub(crate) expires_after: Option<i64>,
    pub(crate) blob: Arc<Blob>,
}

/// An upload that has begun.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    pub(crate) name: String,
    pub(crate) display_name: String,
    pub(crate) mime_type: String,
    pub(crate) blob: Blob,
    /// The file that it became, once it was finalized.
    pub(crate) file: Option<Arc<Stored>>,
}

#[derive(Debug, Default)]
struct Pages {
    batches: BTreeMap<u64, Arc<Batch>>,
    numbers: HashMap<Arc<str>, u64>,
    files: BTreeMap<u64, Arc<Stored>>,
    file_numbers: HashMap<String, u64>,
    uploads: HashMap<String, Arc<Mutex<Upload>>>,
}

/// The shelf.
#[derive(Debug)]
pub(crate) struct Shelf {
    /// Keeps ids apart from those of an emulator that ran before.
    salt: u64,
    next: AtomicU64,
    pages: Mutex<Pages>,
}

impl Default for Shelf {
    fn default() -> Self {
        let nanos = OffsetDateTime::now_utc().unix_timestamp_nanos();
        let salt = seed::mix(u64::try_from(nanos).unwrap_or(0) ^ u64::from(std::process::id()));
        Self { salt, next: AtomicU64::new(0), pages: Mutex::default() }
    }
}

impl Shelf {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the next batch or file.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Letters and digits that no other thing on this shelf has.
    pub(crate) fn letters(&self, number: u64) -> String {
        seed::letters(seed::mix(self.salt ^ number), 24)
    }

    /// The id of a batch with that number.
    pub(crate) fn id(&self, wire: Wire, number: u64) -> String {
        let letters = self.letters(number);
        match wire.provider() {
            Provider::Anthropic => format!("msgbatch_{letters}"),
            Provider::OpenAi => format!("batch_{letters}"),
            Provider::Gemini => format!("batches/{}", letters.to_lowercase()),
        }
    }

    /// Keeps a batch.
    pub(crate) fn keep(&self, batch: Batch) -> Arc<Batch> {
        let batch = Arc::new(batch);
        let mut pages = self.pages();
        pages.numbers.insert(Arc::clone(&batch.id), batch.number);
        pages.batches.insert(batch.number, Arc::clone(&batch));
        batch
    }

    /// A batch of that provider.
    pub(crate) fn batch(&self, provider: Provider, id: &str) -> Option<Arc<Batch>> {
        let pages = self.pages();
        let batch = pages.batches.get(pages.numbers.get(id)?)?;
        (batch.wire.provider() == provider).then(|| Arc::clone(batch))
    }

    /// Forgets a batch.
    pub(crate) fn forget(&self, batch: &Batch) {
        let mut pages = self.pages();
        pages.numbers.remove(&batch.id);
        pages.batches.remove(&batch.number);
    }

    /// All batches, the oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Batch>> {
        self.pages().batches.values().cloned().collect()
    }

    /// That provider's batches that lists have, the newest first: those older than one, or newer than one.
    pub(crate) fn list(&self, provider: Provider, older: Option<u64>, newer: Option<u64>) -> Vec<Arc<Batch>> {
        let from = newer.map_or(0, |number| number + 1);
        let end = older.unwrap_or(u64::MAX).max(from);
        let pages = self.pages();
        let listed = pages.batches.range(from..end).rev().map(|(_, batch)| batch);
        listed.filter(|batch| batch.wire.provider() == provider && batch.is_listed()).cloned().collect()
    }

    /// Keeps a file.
    pub(crate) fn store(&self, file: Stored) -> Arc<Stored> {
        let file = Arc::new(file);
        let mut pages = self.pages();
        pages.file_numbers.insert(file.id.clone(), file.number);
        pages.files.insert(file.number, Arc::clone(&file));
        file
    }

    /// A file of that provider.
    pub(crate) fn file(&self, provider: Provider, id: &str) -> Option<Arc<Stored>> {
        let pages = self.pages();
        let file = pages.files.get(pages.file_numbers.get(id)?)?;
        (file.provider == provider).then(|| Arc::clone(file))
    }

    /// Deletes a file; batches made of it keep their bytes.
    pub(crate) fn delete(&self, file: &Stored) {
        let mut pages = self.pages();
        pages.file_numbers.remove(&file.id);
        pages.files.remove(&file.number);
    }

    /// That provider's files, the oldest first.
    pub(crate) fn files(&self, provider: Provider) -> Vec<Arc<Stored>> {
        self.pages().files.values().filter(|file| file.provider == provider).cloned().collect()
    }

    /// Begins an upload and returns its id.
    pub(crate) fn begin(&self, upload: Upload) -> String {
        let id = self.letters(self.number());
        self.pages().uploads.insert(id.clone(), Arc::new(Mutex::new(upload)));
        id
    }

    /// An upload that has begun.
    pub(crate) fn upload(&self, id: &str) -> Option<Arc<Mutex<Upload>>> {
        self.pages().uploads.get(id).cloned()
    }
}
