//! Runs work that blocks, off the runtime's threads.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::settings::DiskWork;
use super::shared::Shared;
use crate::log::Stopped;
use crate::sources::SourceId;
use crate::tasks::joined;

/// Why nothing can be sealed or committed on a full disk.
pub(super) const NO_SPACE_FOR_NOTE: &str =
    "the disk is full and the spool's manifest cannot grow: free some space";
/// How long to wait before a note that found no space is retried.
const NOTE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Runs work that waits for the disk, and waits for its end.
pub(super) async fn blocking<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce() -> Result<T, Stopped> + Send + 'static,
) -> Result<T, Stopped> {
    ended(on_disk(shared, work)).await
}

/// Runs work that writes a note, and repeats it while there is no space for the note: what the note records
/// has already happened.
pub(super) async fn noted<T: Send + 'static>(
    shared: &Arc<Shared>,
    source: Option<&SourceId>,
    work: impl Fn() -> Result<T, Stopped> + Clone + Send + 'static,
) -> Result<T, Stopped> {
    loop {
        match blocking(shared, work.clone()).await {
            Err(Stopped) if !shared.deps.log.is_stopped() => {
                if let Some(source) = source {
                    shared.waits(source, NO_SPACE_FOR_NOTE.to_owned());
                }
                tokio::time::sleep(NOTE_AGAIN_AFTER).await;
            }
            outcome => return outcome,
        }
    }
}

/// Runs a computation on low-priority threads, and waits for its end.
pub(super) async fn in_background<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce() -> Result<T, Stopped> + Send + 'static,
) -> Result<T, Stopped> {
    let task = match (shared.settings.disk_work, &shared.deps.background) {
        (DiskWork::OnThreads, Some(background)) => shared.tasks.spawn_blocking_on(work, background),
        _ => on_disk(shared, work),
    };
    ended(task).await
}

/// Begins work that waits for the disk. It is tracked, so that a shutdown waits for what is being written
/// even if the task that began it has ended.
pub(super) fn on_disk<T: Send + 'static>(
    shared: &Shared,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    match shared.settings.disk_work {
        DiskWork::OnThreads => shared.tasks.spawn_blocking(work),
        DiskWork::InPlace => shared.tasks.spawn(async move { work() }),
    }
}

/// If this work panics, so does the task that waits for it, and is restarted after a pause.
async fn ended<T>(task: JoinHandle<Result<T, Stopped>>) -> Result<T, Stopped> {
    // It is cancelled only when the process ends.
    joined(task.await).unwrap_or(Err(Stopped))
}
