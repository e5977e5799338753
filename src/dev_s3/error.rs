//! Why the S3 server of dev mode cannot start or be reset.

use std::path::PathBuf;

/// Why the S3 server of dev mode cannot start or be reset.
#[derive(Debug, thiserror::Error)]
pub enum DevS3Error {
    /// The directory is in use by another process.
    #[error("the S3 data directory {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// Something below the directory cannot be read, written or synced.
    #[error("{what} {}", .path.display())]
    Disk {
        /// The failed operation.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error.
        #[source]
        cause: std::io::Error,
    },
    /// The content of a file cannot be parsed.
    #[error("{} is damaged: remove it, or the whole S3 data directory", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The parser's error.
        #[source]
        cause: serde_json::Error,
    },
    /// The listener is unusable.
    #[error("use the listener of the S3 server")]
    Listener(#[source] std::io::Error),
    /// A task of the server panicked or was cancelled.
    #[error("the S3 server ended unexpectedly")]
    Task(#[source] tokio::task::JoinError),
}
