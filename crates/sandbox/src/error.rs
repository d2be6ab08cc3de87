//! What can prevent a run.

use crate::Layer;

/// Why a process was not run, or why its end is not known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was asked can never be run.
    #[error("cannot be run: {0}")]
    Spec(String),
    /// The kernel refused a layer, so nothing was run.
    #[error("refused to run without the layer {layer}: {why}")]
    Refused {
        /// The layer.
        layer: Layer,
        /// What the kernel said, and what would help.
        why: String,
    },
    /// The confined process could not become the program.
    #[error("cannot start {program}: {why}")]
    Start {
        /// The program that was asked for.
        program: String,
        /// What the kernel said.
        why: String,
    },
    /// The keeper could not be started, or could not prepare the run.
    #[error("cannot prepare the run: {0}")]
    Launch(#[source] std::io::Error),
    /// The keeper is gone without a word: whether the command had its effect is not known.
    #[error("the keeper of the command was lost: {0}")]
    Lost(String),
}

impl Error {
    /// Tells whether the same run may succeed later. Nothing was run in that case.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        use std::io::ErrorKind::{Interrupted, OutOfMemory, ResourceBusy, WouldBlock};
        match self {
            Self::Launch(error) => {
                matches!(error.kind(), Interrupted | OutOfMemory | ResourceBusy | WouldBlock)
            }
            Self::Spec(_) | Self::Refused { .. } | Self::Start { .. } | Self::Lost(_) => false,
        }
    }
}
