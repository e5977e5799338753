//! What fails, and what follows from it.
//!
//! `health` records which puts fail, and `spool_share` divides the spool among the failing parties.
//! `refusals_and_alarms` calls both at each check, has the log refuse sources, and raises the alarms;
//! `failing` holds the result. `damage` raises the alarms of calls that the spool lost. `encryption_mismatch` compares how
//! objects are encrypted with what was requested.

pub mod damage;
pub(super) mod encryption_mismatch;
pub(super) mod failing;
mod health;
pub(super) mod refusals_and_alarms;
pub mod spool_share;
