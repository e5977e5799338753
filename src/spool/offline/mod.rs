//! Reads a spool that no process has open, for the offline tools, and records a person's decision in it.

mod export;
mod inspect;
mod resolve;
mod survey;
pub(super) mod verify;
mod view;

pub use export::{ExportError, Exported, Wanted, export, export_to_file};
pub(crate) use inspect::{BatchAbout, Inspection, SealAbout, SegmentIs, inspect};
pub(crate) use resolve::Conflict;
pub use resolve::ResolveError;
pub(crate) use survey::Answered;
pub use survey::{Finding, Visitor, survey};
pub use verify::{Verified, verify};
pub use view::{View, ViewError};
