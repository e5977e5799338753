//! Reads a spool that no process has open, for the offline tools.

mod inspect;
mod survey;
pub(super) mod verify;
mod view;

pub use inspect::{BatchAbout, Inspection, SealAbout, SegmentIs, inspect};
pub use survey::{Answered, Finding, Visitor, survey};
pub use verify::{Verified, check_parked, manifest_findings, verify};
pub use view::{View, ViewError, batch_of};
