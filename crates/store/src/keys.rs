//! API keys, by the hash of what their holder knows. The key itself never comes here.

use crate::{
    connect::Store,
    error::Error,
    row::Columns,
    statement::{KEY_COUNT_MASTERS, KEY_FIND, KEY_FIRST, KEY_LIST, KEY_NEW, KEY_REVOKE},
    text,
    transaction::{Durability, EXCLUSIVE, Transaction},
};
use domain::task::UnknownWord;
use std::str::FromStr;
use time::OffsetDateTime;
use tokio_postgres::Row;
use uuid::Uuid;

/// What a key's holder may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Everything.
    Master,
    /// What one agent may.
    Agent,
    /// Look.
    Viewer,
}

impl Role {
    /// Every role.
    pub const ALL: &'static [Self] = &[Self::Master, Self::Agent, Self::Viewer];

    /// Returns the one spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Agent => "agent",
            Self::Viewer => "viewer",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL.iter().copied().find(|role| role.as_str() == word).ok_or_else(|| UnknownWord {
            what: "Role",
            word: word.to_owned(),
            known: &["master", "agent", "viewer"],
        })
    }
}

/// A key that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The key's id.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// The agent that an agent's key speaks for.
    pub agent_name: Option<String>,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it ceased to be good.
    pub revoked_at: Option<OffsetDateTime>,
}

/// A key to be kept.
#[derive(Clone)]
pub struct NewKey {
    /// The key's id, v7.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// The agent that an agent's key speaks for; present for that role alone.
    pub agent_name: Option<String>,
    /// The SHA-256 of the key.
    pub hash: Vec<u8>,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Store {
    /// Finds the key that is still good by its hash.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn key_find(&self, hash: &[u8]) -> Result<Option<ApiKey>, Error> {
        self.row(&KEY_FIND, &[&hash]).await?.map(|row| read(&row, KEY_FIND.name)).transpose()
    }

    /// Keeps a new key.
    ///
    /// # Errors
    /// When the database cannot be asked, a text holds NUL, or the role and the agent's name do not go together.
    pub async fn key_new(&self, key: &NewKey) -> Result<(), Error> {
        text::check("name", &key.name)?;
        text::check("agent_name", key.agent_name.as_deref().unwrap_or_default())?;
        self.rows(&KEY_NEW, &[&key.id, &key.name, &key.role.as_str(), &key.agent_name, &key.hash]).await?;
        Ok(())
    }

    /// Keeps the first master key and returns whether it was; not when there is a master key, however many
    /// replicas start at once. It is shown before it is kept: whoever is killed in between has shown a key that does
    /// not work, and the next start shows another; a key that works and nobody has seen there is never.
    ///
    /// # Errors
    /// When the database cannot be asked, or the name holds NUL; inside, why it could not be shown, and then it is
    /// not kept.
    pub async fn key_first<E>(
        &self,
        key: &NewKey,
        show: impl FnOnce() -> Result<(), E> + Send,
    ) -> Result<Result<bool, E>, Error> {
        text::check("name", &key.name)?;
        let transaction = Transaction::on(self.client().await?);
        transaction.begin(EXCLUSIVE).await?;
        if transaction.rows((&KEY_FIRST, &[&key.id, &key.name, &key.hash])).await?.is_empty() {
            return Ok(Ok(false));
        }
        if let Err(error) = show() {
            return Ok(Err(error));
        }
        transaction.end(Durability::Full).await?;
        Ok(Ok(true))
    }

    /// Lists all keys, the oldest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn key_list(&self) -> Result<Vec<ApiKey>, Error> {
        self.rows(&KEY_LIST, &[]).await?.iter().map(|row| read(row, KEY_LIST.name)).collect()
    }

    /// Revokes a key and returns whether there was one to revoke.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn key_revoke(&self, id: Uuid) -> Result<bool, Error> {
        Ok(self.row(&KEY_REVOKE, &[&id]).await?.is_some())
    }

    /// Counts the master keys that are still good.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn key_count_masters(&self) -> Result<i64, Error> {
        let row = self.row(&KEY_COUNT_MASTERS, &[]).await?;
        row.map_or(Ok(0), |row| Columns::of(&row, KEY_COUNT_MASTERS.name).next())
    }
}

fn read(row: &Row, statement: &'static str) -> Result<ApiKey, Error> {
    let mut columns = Columns::of(row, statement);
    Ok(ApiKey {
        id: columns.next()?,
        name: columns.next()?,
        role: columns.word()?,
        agent_name: columns.next()?,
        created_at: columns.next()?,
        revoked_at: columns.next()?,
    })
}
