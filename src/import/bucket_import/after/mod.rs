//! What happens to an object once all of its rows are stored: it is tagged, moved or deleted.
//!
//! The journal gets an [entry] with the end of the object's import, in one write, and keeps it until this is
//! done; so a kill at any moment forgets nothing. [`act`] does it for one object, [`sweep`] for all that
//! wait. [`settle`] lets it begin for objects that were kept because of rejected rows.

pub(super) mod act;
mod action;
pub(super) mod entry;
pub(super) mod mark;
pub(super) mod moved;
mod report;
pub(super) mod settle;
pub(super) mod sweep;
pub(super) mod tally;

pub use action::{After, moved_key};
pub use report::{AfterDone, AfterReport, AfterWaits, Waiting};
