//! The playbooks: built in, or from a mounted folder; kept in Postgres by the hash of their text, so that an
//! order under way keeps the recipe it was accepted with.

use crate::Config;
use anyhow::Context as _;
use domain::playbook::Playbook;
use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};
use store::{NewPlaybook, Origin, Store};

/// The recipes that every installation has.
const BUILT_IN: [(&str, &str); 3] = [
    ("report.toml", include_str!("../playbooks/report.toml")),
    ("broadcast.toml", include_str!("../playbooks/broadcast.toml")),
    ("answer.toml", include_str!("../playbooks/answer.toml")),
];

/// Parsed playbooks by hash; they never change, so they are parsed once.
#[derive(Default)]
pub(crate) struct Playbooks {
    parsed: Mutex<HashMap<String, Arc<Playbook>>>,
}

impl Playbooks {
    /// Returns a playbook by its hash, from memory or from Postgres.
    pub(crate) async fn find(&self, store: &Store, hash: &str) -> Result<Option<Arc<Playbook>>, store::Error> {
        if let Some(known) = self.parsed.lock().unwrap_or_else(PoisonError::into_inner).get(hash) {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(row) = store.playbook_by_hash(hash).await? else {
            return Ok(None);
        };
        match Playbook::parse(&row.name, &row.source) {
            Ok(book) => {
                let book = Arc::new(book);
                let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
                parsed.insert(hash.to_owned(), Arc::clone(&book));
                Ok(Some(book))
            }
            Err(error) => {
                tracing::error!(%error, playbook = row.name, "a stored playbook is refused by this version");
                Ok(None)
            }
        }
    }
}

/// Parses the built-in playbooks and the folder's, checks them against the roster and makes them current.
///
/// # Errors
/// When a file cannot be read or is refused: file, line and reason.
pub(crate) async fn publish(config: &Config, store: &Store) -> anyhow::Result<()> {
    let mut found = Vec::new();
    for (file, source) in BUILT_IN {
        found.push(checked(config, file, source, Origin::BuiltIn)?);
    }
    if let Some(folder) = &config.playbooks_dir {
        for (file, source) in read_folder(folder)? {
            found.push(checked(config, &file, &source, Origin::Folder)?);
        }
    }
    store.playbooks_put(&found).await.context("the playbooks could not be stored")
}

fn checked(config: &Config, file: &str, source: &str, origin: Origin) -> anyhow::Result<NewPlaybook> {
    let book = Playbook::parse(file, source)?;
    config.roster.check_playbook(&book).with_context(|| file.to_owned())?;
    Ok(NewPlaybook::of(&book, source, origin))
}

fn read_folder(folder: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    let listing =
        std::fs::read_dir(folder).with_context(|| format!("PLAYBOOKS_DIR {} cannot be read", folder.display()))?;
    for entry in listing {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let source =
                std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
            files.push((path.display().to_string(), source));
        }
    }
    files.sort();
    Ok(files)
}
