//! A bucket as an archive: checks its objects, their metadata and the markers of closed days for
//! completeness.
//!
//! ```text
//! {prefix/}segment-logs/{source}/{day}/…gz              calls
//! {prefix/}segment-logs/_rejected/{source}/{day}/…gz    rejected items
//! {prefix/}segment-logs/{source}/{day}/…-imp_….gz       parts of imports (in no chain)
//! {prefix/}segment-logs/_closed/{source}/{day}/…json    markers of closed days
//! ```
//!
//! A *chain* is the sequence of objects that one spool delivered for one source, received-day and stream:
//! each names the last position of the object before it. Positions are spool-wide, so gaps between the
//! objects of a chain are normal. The chain is complete if each object follows the one before it. The day's
//! marker proves that the last object is the last.
//!
//! Days are processed one after the other, source by source, and forgotten after their report: memory grows
//! with the largest day, not with the bucket. Pure decisions (`chain`, `day`, `lines`, `object`, `part`,
//! `repeats`) are separate from reading the bucket (`bucket`, `listing`, `verify`). `first_lines` shows how
//! an object begins; `listing` and `stored_lines` give the lines to those who send them again.

pub mod bucket;
pub mod chain;
pub mod closed_day;
pub mod day;
pub mod day_chain;
pub mod finding;
pub mod first_lines;
pub mod lines;
pub mod listing;
pub mod lookup;
pub mod object;
pub mod part;
pub mod repeats;
pub mod stored_lines;
pub mod summary;
pub mod verify_bucket;

pub use bucket::{Archive, ArchiveError, Progress};
pub use day::{DayReport, DayState};
pub use finding::{BucketFinding, BucketPlace, BucketProblem};
pub use listing::{Objects, Span};
pub use lookup::{HeldBy, Lookup};
pub use stored_lines::StoredLines;
pub use verify_bucket::{Options, Verify};
