//! Postgres: the rows that are the truth. One function for each statement, one round trip for each move.
//! Refuses to know streams, HTTP and models, and to decide anything: `domain` decides, this carries out.
//!
//! # Locks
//! Whoever changes a tree as a whole ([`Store::begin`], [`Store::cancel`]) locks root rows first, in id order, and
//! only then children. A statement that takes a slice of children locks them in id order, and an advance that takes
//! outcomes in locks whatever is open under its roots in that one pass, for it may end the rest when it commits.
//! What need not have a row that is locked (the sweep, the renewal of leases) skips it. Nothing waits for a root
//! while it holds a child, so no ring of waits can close. Should Postgres see one anyway (40P01), the error is
//! transient.

mod accept;
mod advance;
mod board;
mod cancel;
mod claim;
mod connect;
mod counts;
mod error;
mod finish;
mod idempotency;
mod keys;
mod leases;
mod list;
mod metrics;
mod migrate;
mod playbooks;
mod read;
mod roots;
mod roster;
mod row;
mod run;
mod statement;
mod sweep;
mod task;
mod text;
mod transaction;
mod write;

pub use accept::{Accepted, NewTask};
pub use advance::{Advance, RootRow, Tree};
pub use board::{ClaimedOpen, MovedOpen};
pub use cancel::{Cancelled, Retried, Retry};
pub use claim::Claimed;
pub use connect::{Options, Store};
pub use counts::{Count, Counts, Day};
pub use error::Error;
pub use finish::{Charge, End, Finished, Outcome};
pub use idempotency::{Idempotency, Replay};
pub use keys::{ApiKey, NewKey, Role};
pub use leases::Leases;
pub use list::{Filter, Page};
pub use metrics::Metrics;
pub use migrate::Applied;
pub use playbooks::{NewPlaybook, Origin, PlaybookRow};
pub use read::{EventRow, Report, Status, TaskResult};
pub use roster::{AgentRow, DepartmentRow};
pub use sweep::{Name, Swept};
pub use task::Task;
pub use write::Write;
