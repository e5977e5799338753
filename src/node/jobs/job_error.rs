//! Why a job cannot go on in this process.

use tokio::task::JoinError;

use super::tools::ToolsError;
use crate::jobs::attempts::LogError;
use crate::jobs::job::live_state::EventError;
use crate::jobs::job::transition::Refusal;
use crate::jobs::joined::SettleError;
use crate::jobs::manifest::ManifestError;
use crate::jobs::report::write::ReportError;
use crate::jobs::run::RunError;
use crate::jobs::task_rows::TaskRowsError;

/// Why a job cannot go on in this process. Nothing is lost: what is recorded counts, and its id lets it go
/// on.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Its log cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The copy of its manifest cannot be read.
    #[error(transparent)]
    Rows(#[from] TaskRowsError),
    /// Its manifest cannot be copied to the disk of this machine.
    #[error(transparent)]
    Copy(ManifestError),
    /// Its tasks cannot go on.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The files of its report cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The files of its report cannot be read.
    #[error("read the files of the report")]
    Staged(#[source] std::io::Error),
    /// What it works with cannot be made.
    #[error(transparent)]
    Tools(#[from] ToolsError),
    /// A change that another part of this process made could not be logged: why.
    #[error("{0}")]
    Elsewhere(String),
    /// A fault of the program.
    #[error("{0}: a fault of this program")]
    Refused(#[from] Refusal),
    /// A thread panicked, or the process ends.
    #[error("a thread of the job ended early")]
    Thread(#[from] JoinError),
}

impl From<SettleError> for JobError {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::Log(error) => Self::Log(error),
            SettleError::Thread(error) => Self::Thread(error),
        }
    }
}

impl From<EventError> for JobError {
    fn from(error: EventError) -> Self {
        match error {
            EventError::Refused(refusal) => Self::Refused(refusal),
            EventError::Log(error) => Self::Log(error),
        }
    }
}
