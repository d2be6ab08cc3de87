//! Speaks the wire formats of Anthropic, OpenAI and Gemini, with answers made from the request alone and
//! faults played on demand, for tests, demos and benchmarks. Refuses to know anything of Chavion, and never
//! passes itself off as a model: every answer carries a header and a mark.

mod batch;
mod body;
mod control;
mod count;
mod draft;
mod fault;
mod ledger;
mod options;
mod problem;
mod program;
mod routes;
mod running;
mod seed;
mod serve;
mod server;
mod shape;
mod state;
mod text;
mod wire;

pub use fault::{Rule, SpecError};
pub use ledger::{Entry, Ledger, Tally};
pub use options::Options;
pub use program::run;
pub use running::{Emulator, Error, Running};
pub use text::MARK;
