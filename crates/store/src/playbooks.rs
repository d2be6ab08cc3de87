//! Playbooks as texts, by hash: an order keeps the one it began with. Refuses to read them.

use crate::{
    connect::Store,
    error::Error,
    row::Columns,
    statement::{PLAYBOOK_FIND, PLAYBOOK_LIST, PLAYBOOK_PUT, PLAYBOOK_REPLACE, PLAYBOOK_RETIRE},
    text,
};
use domain::{playbook::Playbook, task::UnknownWord};
use sha2::{Digest as _, Sha256};
use std::{fmt::Write as _, str::FromStr};
use time::OffsetDateTime;
use tokio_postgres::{Row, types::ToSql};

/// Where a playbook came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The program.
    BuiltIn,
    /// A mounted folder.
    Folder,
    /// The API.
    Api,
}

impl Origin {
    /// Returns the one spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BuiltIn => "built_in",
            Self::Folder => "folder",
            Self::Api => "api",
        }
    }
}

impl FromStr for Origin {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        [Self::BuiltIn, Self::Folder, Self::Api]
            .into_iter()
            .find(|origin| origin.as_str() == word)
            .ok_or_else(|| UnknownWord { what: "Origin", word: word.to_owned(), known: &["built_in", "folder", "api"] })
    }
}

/// A playbook to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPlaybook {
    /// The SHA-256 of its source, in hexadecimal.
    pub hash: String,
    /// Its name.
    pub name: String,
    /// One sentence for people.
    pub description: String,
    /// The TOML.
    pub source: String,
    /// Where it came from.
    pub origin: Origin,
}

impl NewPlaybook {
    /// Takes a playbook in, under the hash of its text.
    #[must_use]
    pub fn of(book: &Playbook, source: &str, origin: Origin) -> Self {
        let hash = Sha256::digest(source.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        let (name, description) = (book.name.clone(), book.description.clone());
        Self { hash, name, description, source: source.to_owned(), origin }
    }
}

/// A playbook that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaybookRow {
    /// The SHA-256 of its source, in hexadecimal.
    pub hash: String,
    /// Its name.
    pub name: String,
    /// One sentence for people.
    pub description: String,
    /// The TOML.
    pub source: String,
    /// Where it came from.
    pub origin: Origin,
    /// Whether new orders get it.
    pub current: bool,
    /// When it was first kept.
    pub created_at: OffsetDateTime,
}

impl Store {
    /// Makes these the current playbooks, one for each name. Others from the program and the folder are retired
    /// (running orders keep them); those from the API stay, and keep their names.
    ///
    /// # Errors
    /// When the database cannot be asked, a text holds NUL, or a name comes twice.
    pub async fn playbooks_put(&self, playbooks: &[NewPlaybook]) -> Result<(), Error> {
        let put = Put::of(playbooks)?;
        self.exclusive(&[(&PLAYBOOK_RETIRE, &[&put.hashes]), (&PLAYBOOK_PUT, &put.parameters())]).await?;
        Ok(())
    }

    /// Makes a playbook that came over the API the current one of its name, in place of its last version.
    ///
    /// # Errors
    /// As [`Store::playbooks_put`]; [`Error::is_taken`] when the program or its folder has a playbook of that name.
    pub async fn playbook_add(&self, playbook: &NewPlaybook) -> Result<(), Error> {
        let put = Put::of(std::slice::from_ref(playbook))?;
        self.exclusive(&[(&PLAYBOOK_REPLACE, &[&playbook.name, &playbook.hash]), (&PLAYBOOK_PUT, &put.parameters())])
            .await?;
        Ok(())
    }

    /// Reads a playbook, current or not.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn playbook_by_hash(&self, hash: &str) -> Result<Option<PlaybookRow>, Error> {
        self.row(&PLAYBOOK_FIND, &[&[hash].as_slice()]).await?.map(|row| read(&row, PLAYBOOK_FIND.name)).transpose()
    }

    /// Lists the current playbooks by name.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn playbooks_list(&self) -> Result<Vec<PlaybookRow>, Error> {
        self.rows(&PLAYBOOK_LIST, &[]).await?.iter().map(|row| read(row, PLAYBOOK_LIST.name)).collect()
    }
}

/// Playbooks, column by column.
struct Put<'a> {
    hashes: Vec<&'a str>,
    names: Vec<&'a str>,
    descriptions: Vec<&'a str>,
    sources: Vec<&'a str>,
    origins: Vec<&'a str>,
}

impl<'a> Put<'a> {
    fn of(playbooks: &'a [NewPlaybook]) -> Result<Self, Error> {
        for playbook in playbooks {
            text::check("name", &playbook.name)?;
            text::check("description", &playbook.description)?;
            text::check("source", &playbook.source)?;
        }
        let column = |read: fn(&NewPlaybook) -> &str| playbooks.iter().map(read).collect::<Vec<_>>();
        Ok(Self {
            hashes: column(|playbook| &playbook.hash),
            names: column(|playbook| &playbook.name),
            descriptions: column(|playbook| &playbook.description),
            sources: column(|playbook| &playbook.source),
            origins: column(|playbook| playbook.origin.as_str()),
        })
    }

    fn parameters(&self) -> [&(dyn ToSql + Sync); 5] {
        [&self.hashes, &self.names, &self.descriptions, &self.sources, &self.origins]
    }
}

fn read(row: &Row, statement: &'static str) -> Result<PlaybookRow, Error> {
    let mut columns = Columns::of(row, statement);
    Ok(PlaybookRow {
        hash: columns.next()?,
        name: columns.next()?,
        description: columns.next()?,
        source: columns.next()?,
        origin: columns.word()?,
        current: columns.next()?,
        created_at: columns.next()?,
    })
}
