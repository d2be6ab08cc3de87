//! Where a fault can be played: on an ask, on an item of a batch, on a batch's future, on a call of the batch API.
//! Refuses to know what a fault does there.

use super::effect::Effect;

/// One place at which a fault can be played; `at=` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    Ask,
    Item,
    /// What becomes of a batch, drawn when it is created.
    Fate,
    Upload,
    Create,
    Status,
    List,
    Results,
    Cancel,
    Delete,
    Files,
}

/// All names.
pub(crate) const POINTS: &[(&str, Point)] = &[
    ("ask", Point::Ask),
    ("item", Point::Item),
    ("batch", Point::Fate),
    ("upload", Point::Upload),
    ("create", Point::Create),
    ("status", Point::Status),
    ("list", Point::List),
    ("results", Point::Results),
    ("cancel", Point::Cancel),
    ("delete", Point::Delete),
    ("files", Point::Files),
];

impl Point {
    /// Whether the fault means anything here.
    pub(crate) fn takes(self, effect: Effect) -> bool {
        let item = effect.is_item();
        let fate = effect.is_fate();
        match self {
            Self::Fate => fate,
            Self::Ask => !item && !fate,
            Self::Item => item || is_answer(effect),
            Self::Results => is_call(effect) || is_body(effect),
            _ => is_call(effect),
        }
    }

    /// Whether the fault is played here when it does not say where: answers alike in an ask and in a batch.
    pub(crate) fn is_home(self) -> bool {
        matches!(self, Self::Ask | Self::Item | Self::Fate)
    }

    /// Whether the prompt is at hand here, and with it its markers.
    pub(crate) fn has_prompt(self) -> bool {
        matches!(self, Self::Ask | Self::Item)
    }
}

/// What an item of a batch can be answered with.
fn is_answer(effect: Effect) -> bool {
    use Effect as E;
    matches!(
        effect,
        E::Status(_)
            | E::InsufficientQuota
            | E::SpendLimit
            | E::BadKey
            | E::ErrorEvent
            | E::Malformed
            | E::Empty
            | E::MaxTokens
            | E::Refusal
            | E::Blocked
            | E::Misfit
            | E::UnknownStop
            | E::Usage
    )
}

/// What a call can be answered with instead of its answer.
fn is_call(effect: Effect) -> bool {
    use Effect as E;
    matches!(
        effect,
        E::Status(_)
            | E::InsufficientQuota
            | E::SpendLimit
            | E::BadKey
            | E::Slow
            | E::Reset
            | E::Malformed
            | E::WrongType
    )
}

/// What can happen to a body of lines.
fn is_body(effect: Effect) -> bool {
    use Effect as E;
    matches!(effect, E::SlowBody | E::CutStream | E::CutBody | E::SplitUtf8 | E::Crlf | E::Lf)
}
