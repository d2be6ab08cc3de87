//! Tasks, playbooks, agents and money: the types and the decisions taken over them.
//! Refuses to know the time, the network, the database and chance: whatever a decision needs is
//! handed in, so that millions of schedules can be simulated in seconds.

pub mod advance;
pub mod batch;
mod department;
mod document;
pub mod level;
pub mod money;
pub mod order;
pub mod pace;
pub mod playbook;
pub mod roster;
pub mod schema;
pub mod task;
mod template;

pub use document::Refused;
