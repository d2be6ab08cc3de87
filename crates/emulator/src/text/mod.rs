//! Writes the text answers: short, structured, about what was asked, in its language and from the asked role's
//! side. Refuses to invent facts: it quotes the question and says what it would look at.

mod compose;
mod korean;
mod lens;
mod merge;
mod question;

pub(crate) use compose::{brief, compose, prose};
pub(crate) use lens::lenses;
pub(crate) use question::Question;

/// What every text answer begins with.
pub const MARK: &str = "〔에뮬레이터 응답 · emulated〕";
