//! What caller, keeper and confined process tell one another: lines of JSON on a socket pair.

use crate::{End, Error, Layer, Spec};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::io::{BufRead, BufReader, Read, Write};

/// From the keeper to the process that will become the command.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// What to become.
    pub(crate) spec: Spec,
    /// The uid and gid of its own, when there is one.
    pub(crate) owner: Option<Owner>,
    /// The keeper's pid, to notice that it died before the death signal was set.
    pub(crate) keeper: i32,
}

/// A uid and gid that no other run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    /// The uid of the command.
    pub(crate) uid: u32,
    /// Its gid.
    pub(crate) gid: u32,
}

/// Upwards: from the confined process to the keeper, and from the keeper to the caller.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Message {
    /// The keeper has begun, with this uid for the command.
    Began { uid: Option<u32> },
    /// The layers are on.
    Confined { layers: Vec<Layer> },
    /// A layer was refused.
    Refused { layer: Layer, why: String },
    /// The program could not be started.
    NotStarted { why: String },
    /// Something else failed before the program was started.
    NotPrepared { why: String },
    /// It is over, and nothing of it runs any more.
    Ended(Report),
}

/// The keeper's last word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) end: End,
    pub(crate) wall_micros: u64,
    pub(crate) cpu_micros: u64,
    pub(crate) peak_bytes: u64,
}

impl Message {
    /// Builds a refusal.
    pub(crate) fn refused(layer: Layer, why: impl std::fmt::Display) -> Self {
        Self::Refused { layer, why: why.to_string() }
    }

    /// Builds the report of a failed preparation.
    pub(crate) fn not_prepared(what: &str, why: impl std::fmt::Display) -> Self {
        Self::NotPrepared { why: format!("{what}: {why}") }
    }

    /// Returns the error that this message means to the caller, if it means one.
    pub(crate) fn into_error(self, program: &str) -> Option<Error> {
        match self {
            Self::Refused { layer, why } => Some(Error::Refused { layer, why }),
            Self::NotStarted { why } => Some(Error::Start { program: program.to_owned(), why }),
            Self::NotPrepared { why } => Some(Error::Launch(std::io::Error::other(why))),
            Self::Began { .. } | Self::Confined { .. } | Self::Ended(_) => None,
        }
    }
}

/// Writes one line.
pub(crate) fn say(to: &mut impl Write, message: &impl Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line)
}

/// Reads one line.
pub(crate) fn hear<T: DeserializeOwned>(from: &mut impl Read) -> std::io::Result<T> {
    let mut line = Vec::new();
    BufReader::new(from).read_until(b'\n', &mut line)?;
    Ok(serde_json::from_slice(&line)?)
}
