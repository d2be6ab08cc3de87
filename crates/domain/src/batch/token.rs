//! The names that a batch and its items have at the provider: whoever reads one back knows whose it is.
//! Both have a fixed width, so that the size of a file is known before it is written.

use std::{fmt, str::FromStr};
use uuid::Uuid;

/// The length of every [`CustomId`] in bytes.
pub const CUSTOM_ID_BYTES: usize = 43;
/// The highest number that a submission can have.
pub const LAST_SUBMISSION: i32 = 999;
/// The most items that one batch can name.
pub const MOST_ITEMS: u32 = 1_000_000;

/// The name of one submission of a batch: every create has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    /// The batch.
    pub batch: Uuid,
    /// Which of its submissions, from 1 to [`LAST_SUBMISSION`].
    pub submission: i32,
}

/// The name of one item in one submission of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CustomId {
    /// The submission.
    pub token: Token,
    /// The item's place in the batch, from 0.
    pub seq: i32,
}

/// A text that is no name of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a batch or of an item of ours")]
pub struct NotOurs;

impl Token {
    /// Names an item of this submission.
    #[must_use]
    pub const fn item(self, seq: i32) -> CustomId {
        CustomId { token: self, seq }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:03}", self.batch.simple(), self.submission)
    }
}

impl fmt::Display for CustomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:06}", self.token, self.seq)
    }
}

impl FromStr for Token {
    type Err = NotOurs;

    fn from_str(text: &str) -> Result<Self, NotOurs> {
        let (batch, submission) = text.split_once('-').ok_or(NotOurs)?;
        Ok(Self { batch: hex(batch)?, submission: digits(submission, 3)? })
    }
}

impl FromStr for CustomId {
    type Err = NotOurs;

    fn from_str(text: &str) -> Result<Self, NotOurs> {
        let (token, seq) = text.rsplit_once('-').ok_or(NotOurs)?;
        Ok(Self { token: token.parse()?, seq: digits(seq, 6)? })
    }
}

fn hex(text: &str) -> Result<Uuid, NotOurs> {
    let ours = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    ours.then(|| Uuid::try_parse(text).ok()).flatten().ok_or(NotOurs)
}

fn digits(text: &str, count: usize) -> Result<i32, NotOurs> {
    let ours = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    ours.then(|| text.parse().ok()).flatten().ok_or(NotOurs)
}
