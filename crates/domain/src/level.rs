//! How much a command is trusted with. Refuses to read scripts: what a shell may do does not depend on how it is told.

use crate::{
    advance::CommandWork,
    task::{UnknownWord, words},
};
use serde::{Deserialize, Serialize};

words! {
    /// How much harm a command could do.
    Level {
        /// It reads inside its workspace.
        Low = "low",
        /// It writes there, or fetches a page.
        Medium = "medium",
        /// It is a program of its own: a shell, Python.
        High = "high",
        /// It reaches beyond its workspace: a commit that is pushed, a deployment.
        Critical = "critical",
    }
}

impl Level {
    /// Returns the level of what is asked. Every command is a script for a shell today, and a shell may do whatever its
    /// sandbox allows: `cat` and `rm` are the same to ask for.
    #[must_use]
    pub const fn of(work: &CommandWork) -> Self {
        let CommandWork { script: _, timeout_ms: _, repeatable: _ } = work;
        Self::High
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_high_however_it_is_spelled() {
        for script in ["", "ls", "cat 보고서.md", "sh -c 'rm -rf .'", "python3 -c 'print(1)'", "git push"] {
            let work = CommandWork { script: script.to_owned(), timeout_ms: 1, repeatable: true };
            assert_eq!(Level::of(&work), Level::High, "{script}");
        }
    }
}
