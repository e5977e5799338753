//! A bucket as an archive: what its objects, their metadata and the markers of closed days say, and whether that is whole.
//!
//! ```text
//! {prefix/}segment-logs/{source}/{day}/…gz              calls
//! {prefix/}segment-logs/_rejected/{source}/{day}/…gz    what was rejected
//! {prefix/}segment-logs/_closed/{source}/{day}/…json    markers of closed days
//! ```
//!
//! A *chain* is what one spool delivered of one source, received-day and stream: each of its objects names the last
//! position of the object before it. Positions are given spool-wide, so gaps between objects mean nothing; what proves that
//! nothing is missing is that each object finds the one before it. Nothing follows the last object: its place at the end
//! is proved by the day's marker.
//!
//! Days come one after the other, source by source, and are forgotten when they are told: memory grows with the largest
//! day, not with the bucket. What is decided (`chain`, `day`, `lines`, `object`, `repeats`) is apart from what reads the
//! bucket (`bucket`, `listing`, `verify`).

pub mod bucket;
pub mod chain;
pub mod closing;
pub mod day;
pub mod day_chain;
pub mod finding;
pub mod lines;
pub mod listing;
pub mod lookup;
pub mod object;
pub mod repeats;
pub mod verify;

pub use bucket::{Archive, ArchiveError, Progress};
pub use day::{DayReport, DayState};
pub use finding::{Finding, Place, Positions, Problem};
pub use listing::Span;
pub use lookup::{HeldBy, Lookup};
pub use verify::{Options, Verify};
