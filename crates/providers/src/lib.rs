//! Model APIs over HTTP: one request, one answer and one error over four wire formats.
//! Refuses to know what a task is, who asks, and where an answer goes.
//!
//! Proxies of the environment are ignored and redirects are refused: a key goes to the host that
//! the configuration names, and to no other.

pub mod batch;
mod call;
mod catalogue;
mod chat;
mod classify;
mod delay;
mod endpoint;
mod error;
mod finish;
mod http;
mod metrics;
mod providers;
mod redact;
mod span;
mod sse;
mod stream;
mod strict;
mod tries;
mod wire;

pub use batch::{
    BatchJob, BatchLine, BatchLines, BatchOffer, BatchOutcome, BatchResult, BatchResults, BatchSpec, Batches,
    CreateError, FaultKind, Found, JobFault, JobState, Offer,
};
pub use catalogue::{Batch, Catalogue, CatalogueError, Dialect, MaxTokens, Model, Provider, SchemaDialect, Wire};
pub use chat::{Answer, Chunk, Message, Request, Role, Stop};
pub use error::{Class, Error, SetupError};
pub use metrics::Metrics;
pub use providers::{Providers, Status};
pub use stream::Chunks;
