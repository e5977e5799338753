//! Where work that waits for the disk runs.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Where work that waits for the disk runs.
#[derive(Clone, Debug, Default)]
pub enum DiskWork {
    /// On the runtime's threads for blocking work, so that no other task waits for it.
    #[default]
    OnThreads,
    /// On the threads of another runtime, whose priority is lower.
    OnThreadsOf(Handle),
    /// On the calling thread, after this time. A simulation runs on one thread, and its disk never waits.
    InPlaceAfter(Duration),
}

impl DiskWork {
    /// Begins work that waits for the disk. It goes on if the handle is dropped.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        match self {
            Self::OnThreads => tokio::task::spawn_blocking(work),
            Self::OnThreadsOf(runtime) => runtime.spawn_blocking(work),
            Self::InPlaceAfter(time) => {
                let time = *time;
                tokio::spawn(async move {
                    tokio::time::sleep(time).await;
                    work()
                })
            }
        }
    }
}
