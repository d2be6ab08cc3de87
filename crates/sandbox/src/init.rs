//! The hidden entry by which a program serves as its own launcher.

use crate::{confine, identity, keep};
use std::ffi::OsStr;

/// The first argument of a program that is started as launcher.
pub(crate) const ASKED: &str = "sandbox-init";
/// Keeps one run: starts it, watches it, kills what is left of it, reports.
pub(crate) const KEEP: &str = "keep";
/// Puts on the layers and becomes the command.
pub(crate) const CONFINE: &str = "confine";
/// Kills all that runs as the uid given, after its keeper was lost.
pub(crate) const PURGE: &str = "purge";

/// Serves as launcher and never returns, when this process was started as one; else does nothing.
/// The first call of every `main` whose program calls [`crate::Sandbox::run`].
pub fn init_if_asked() {
    let mut args = std::env::args_os().skip(1);
    if args.next().as_deref() != Some(OsStr::new(ASKED)) {
        return;
    }
    let code = match args.next().as_deref().and_then(OsStr::to_str) {
        Some(KEEP) => keep::keep(),
        Some(CONFINE) => confine::confine(),
        Some(PURGE) => identity::purge(args.next().and_then(|uid| uid.to_str()?.parse().ok())),
        _ => 64,
    };
    leave(code)
}

#[expect(clippy::disallowed_methods, reason = "a launcher has no runtime and nothing to drain")]
fn leave(code: i32) -> ! {
    std::process::exit(code)
}
