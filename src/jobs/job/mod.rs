//! A job: what it was asked to do, its states, its folder, and the wishes of other processes.
//!
//! ```text
//! <state folder>/batch/<job id>/
//!   LOCK        locked while a process holds the job; the process id of the holder
//!   job.json    what the job was asked to do: written once
//!   rows        the copy of the manifest
//!   log         states and results (`attempts`)
//!   wish-*      requests of other processes, in the order of their names
//!   answer-*    what became of them
//!   report-*    files of the completion report until they are stored
//!   trouble     what the job waits for, while a process holds it
//! ```
//!
//! Beside the jobs stand `new-<job id>`, a job that is being made, `old-<job id>`, one that is being removed, and
//! `CREATING`, which a server locks while it makes a job.

pub mod creation_lock;
pub mod folder;
pub mod folder_disk;
pub mod holder;
pub mod id;
pub mod import_way;
pub mod live_state;
pub mod operation;
pub mod patient_disk;
pub mod sealed;
pub mod slots;
pub mod spec;
pub mod spec_checks;
pub mod state;
pub mod status;
pub mod transition;
pub mod troubles;
pub mod wish;
pub mod wishes;

#[cfg(test)]
pub(crate) mod crash_disk;
#[cfg(test)]
mod model_tests;
