//! Reads a spool that no process has open, for the offline tools, and records a person's decision in it.

mod inspect;
mod resolve;
mod survey;
pub(super) mod verify;
mod view;

pub(crate) use inspect::{BatchAbout, Inspection, SealAbout, SegmentIs, inspect};
pub(crate) use resolve::{Conflict, Decision};
pub(crate) use survey::Answered;
pub use survey::{Finding, Visitor, survey};
pub use verify::{Verified, verify};
pub(crate) use verify::{check_parked, manifest_findings};
pub use view::{View, ViewError};
