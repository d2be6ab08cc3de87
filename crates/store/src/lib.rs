//! Postgres: the rows that are the truth. One function for each statement, one round trip for each move.
//! Refuses to know streams, HTTP and models, and to decide anything: `domain` decides, this carries out.
//!
//! # Locks
//! Whoever changes a tree as a whole ([`Store::begin`], [`Store::cancel`]) locks root rows first, in id order, and
//! only then children. A statement that takes a slice of children locks them in id order, and an advance that takes
//! outcomes in locks whatever is open under its roots in that one pass, for it may end the rest when it commits.
//! A statement about batches locks batches first, then their items, then tasks, each in the order of their keys; a
//! close waits for nobody. Budgets come last, and what a trigger on charges or reservations locks of them, in key order.
//! What need not have a row that is locked (the sweep, the renewal of leases) skips it. Nothing waits for a root
//! while it holds a child, so no ring of waits can close. Should Postgres see one anyway (40P01), the error is
//! transient.

mod accept;
mod advance;
mod batch;
mod batch_read;
mod blackout;
mod board;
mod budget;
mod budget_read;
mod cancel;
mod claim;
mod connect;
mod counts;
mod error;
mod facts;
mod finish;
mod held;
mod idempotency;
mod keys;
mod leases;
mod list;
mod metrics;
mod migrate;
mod pace;
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
pub use batch::{
    BatchCount, BatchCounts, BatchRow, Close, Created, Declined, GivenUp, Group, ItemEnd, ItemRow, ItemThen, JobEnd,
    Lines, NewItem, Polled, Settled, SettledItem, WaitingCount,
};
pub use batch_read::{
    BatchFilter, BatchOrder, BatchPage, BatchView, BatchWait, CancelWish, Latency, Tally, WaitingGroup,
};
pub use blackout::{Blackout, BlackoutCache, BlackoutPut};
pub use board::{ClaimedOpen, MovedOpen};
pub use budget::{Refusal, Wanted};
pub use budget_read::{BudgetFilter, BudgetKey, BudgetPage, BudgetView, Period, Scope};
pub use cancel::{Cancelled, Retried, Retry};
pub use claim::Claimed;
pub use connect::{Options, Store};
pub use counts::{Count, Counts, Day, HeldCount, Total};
pub use error::Error;
pub use facts::{BudgetSum, SpentToday};
pub use finish::{Charge, End, Finished, Outcome};
pub use held::{Held, Hold, Release};
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
