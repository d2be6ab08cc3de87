//! Runs one process confined, streams and caps its output, and kills its whole tree.
//! Refuses to know what is run, for whom, or what becomes of the result; refuses to run unconfined.
//!
//! A confined process is never a child of the calling, many-threaded program. [`Sandbox::run`] starts
//! the program again (`/proc/self/exe sandbox-init keep`) as a small *keeper*, which gathers every
//! orphan of the tree, and the keeper starts it a second time (`confine`) to put on the layers and
//! become the command. Both are fresh, so no secret of the caller is in their memory or environment.
//! Therefore **`main` calls [`init_if_asked`] before anything else**, above all before a runtime.
//!
//! What a command can still do: read what anyone may read under `/usr` and in a short list of `/etc`;
//! learn by `stat` that a path exists; send UDP; connect to a Unix socket by path that its uid may
//! write to, until the kernel has Landlock ABI 9. Seccomp and namespaces will be further [`Layer`]s,
//! put on in `confine.rs`.

mod capture;
mod confine;
mod error;
mod files;
mod identity;
mod init;
mod keep;
mod leavings;
mod limits;
mod message;
mod run;
mod spec;
mod sys;
mod tree;

pub use capture::Captured;
pub use error::Error;
pub use init::init_if_asked;
pub use run::{Chunk, Ended, Sandbox, Stream};
pub use spec::{End, Layer, Limits, Spec};
