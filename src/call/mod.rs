//! Pure functions from a request's bytes and a clock reading to lines: of calls, and of objects that are set.
//!
//! Nothing here knows sockets, files, the runtime or the spool. The rules are those of the tracking API.

mod body;
mod check;
mod client;
mod context;
mod envelope;
pub mod export_time;
pub mod fingerprint;
pub mod kind;
pub mod limits;
mod line;
mod name;
pub mod object_sets;
pub mod pixel;
mod rejected;
pub mod request;
pub mod sink;
mod stamp;
mod times;
pub mod timestamp;

pub use body::BodyError;
pub use client::{CLIENT_LIBRARIES, ClientLibraries};
pub use fingerprint::Fingerprinter;
pub use kind::{CallKind, Shape};
pub use limits::{Limits, Validation};
pub use object_sets::ObjectSets;
pub use pixel::{call_of_query, write_rejected_pixel};
pub use request::Request;
pub use sink::{LineSink, RejectReason};
pub use stamp::{Stamp, Tally};
