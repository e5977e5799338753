//! Step 4: a day is over and all of it is in the store, so it is closed.
//!
//! `closing` has `marker` put the day's marker, and calls the hook. `closing_days` records which days are
//! being closed, and why some wait.

pub mod closing;
pub(super) mod closing_days;
mod marker;
