//! Why a job cannot go on in this process.

use tokio::task::JoinError;

use super::tools::ToolsError;
use crate::disk::is_no_space;
use crate::jobs::attempts::LogError;
use crate::jobs::job::live_state::EventError;
use crate::jobs::job::transition::Refusal;
use crate::jobs::joined::SettleError;
use crate::jobs::manifest::ManifestError;
use crate::jobs::report::write::ReportError;
use crate::jobs::run::RunError;
use crate::jobs::task_rows::TaskRowsError;
use crate::words::causes::io_causes;

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

impl JobError {
    /// Whether the disk has no space: it was waited for until the job had to stop.
    pub fn is_no_space(&self) -> bool {
        io_causes(self).any(is_no_space)
    }
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

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::jobs::job::id::JobId;
    use crate::runtime::SystemRandom;

    #[test]
    fn a_full_disk_is_known_wherever_it_was_found() {
        let check = |kind: io::ErrorKind, expected| {
            let log = || SettleError::Log(LogError::Disk("write", JobId::random(&SystemRandom), kind.into()));
            assert_eq!(JobError::from(log()).is_no_space(), expected, "{kind}");
            let of_results = RunError::Results(io::Error::other(log()));
            assert_eq!(JobError::from(of_results).is_no_space(), expected, "{kind}");
        };
        check(io::ErrorKind::StorageFull, true);
        check(io::ErrorKind::QuotaExceeded, true);
        check(io::ErrorKind::PermissionDenied, false);
    }
}
