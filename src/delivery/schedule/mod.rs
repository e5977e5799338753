//! Step 1: which batches are due.
//!
//! `scheduler` checks all batches and `due` decides; `requests` are what operators ask for. `measure`,
//! `estimate` and `sizes` estimate how large the object of a batch would become.

pub(super) mod due;
mod estimate;
mod measure;
pub(super) mod requests;
pub(super) mod scheduler;
pub(super) mod sizes;
