//! Why the S3 server of dev mode cannot start.

use std::path::PathBuf;

/// Why the S3 server of dev mode cannot start.
#[derive(Debug, thiserror::Error)]
pub enum DevS3Error {
    /// The directory is in use by another process.
    #[error("the S3 data directory {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// This operation on a file or directory failed.
    #[error("{} {}", .0, .1.display())]
    Disk(&'static str, PathBuf, #[source] std::io::Error),
    /// The content of a file cannot be parsed.
    #[error("{} is damaged: remove it, or the whole S3 data directory", .0.display())]
    Damaged(PathBuf, #[source] serde_json::Error),
    /// The listener is unusable.
    #[error("use the listener of the S3 server")]
    Listener(#[source] std::io::Error),
    /// A task of the server panicked or was cancelled.
    #[error("the S3 server ended unexpectedly")]
    Task(#[source] tokio::task::JoinError),
}
