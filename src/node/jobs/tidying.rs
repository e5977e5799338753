//! Removes jobs that ended long ago.

use crate::jobs::job::folder::{FolderError, JobsFolder};
use crate::jobs::job::id::JobId;
use crate::time::UnixMillis;

/// Removes jobs that ended 90 days ago, and gives their ids. Blocks. Errors: the folder cannot be read.
pub fn tidy(folder: &JobsFolder, now: UnixMillis) -> Result<Vec<JobId>, FolderError> {
    let tidied = folder.tidy(now)?;
    for job in &tidied.removed {
        tracing::info!(%job, "removed a job that ended 90 days ago");
    }
    for (name, error) in tidied.failed {
        tracing::warn!(name, %error, "cannot remove what is left of a job");
    }
    Ok(tidied.removed)
}
