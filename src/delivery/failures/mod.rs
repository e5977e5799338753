//! What fails, and what follows from it.
//!
//! `health` records which puts fail. `refusals_and_alarms` asks the log at each check who is to be refused
//! because of that ([`refusals`](crate::log::refusals)), has it refuse them, and raises the alarms; `failing`
//! holds the result. `damage` raises the alarms of calls that the spool lost. `encryption_mismatch` compares
//! how objects are encrypted with what was requested.

pub mod damage;
pub(super) mod encryption_mismatch;
pub(super) mod failing;
pub(super) mod health;
pub(super) mod refusals_and_alarms;
