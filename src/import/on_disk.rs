//! Work with a journal, from a task that must not wait for the disk.

use std::sync::Arc;

use super::journal::{Journal, JournalError};

/// Does work with a journal on a thread that may wait for the disk.
/// Errors: those of the work, and [`JournalError`] if it panicked.
pub(super) async fn on_disk<T: Send + 'static, E: From<JournalError> + Send + 'static>(
    journal: &Arc<dyn Journal>,
    work: impl FnOnce(&dyn Journal) -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    let journal = Arc::clone(journal);
    let done = tokio::task::spawn_blocking(move || work(&*journal)).await;
    done.unwrap_or_else(|error| Err(JournalError::of(error).into()))
}
