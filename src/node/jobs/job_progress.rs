//! How far a job is.

use crate::jobs::job::status::Status;
use crate::jobs::manifest;
use crate::jobs::run::decide::Progress;

/// How far a job is.
#[derive(Clone, Debug)]
pub struct JobProgress {
    /// Where it stands.
    pub status: Status,
    /// How far the reading of its manifest is, while it is Preparing.
    pub reading: manifest::Progress,
    /// How far its tasks are.
    pub tasks: Progress,
}
