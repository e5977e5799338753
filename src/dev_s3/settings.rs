//! The settings of the S3 server of dev mode, its fixed names, and why it cannot start.

use std::path::PathBuf;
use std::sync::Arc;

use crate::random::Random;
use crate::time::Clock;

/// The bucket that always exists after a start.
pub const BUCKET: &str = "forebay";
/// The region of every bucket.
pub const REGION: &str = "us-east-1";
/// The access key id of the one user.
pub const ACCESS_KEY_ID: &str = "forebay";
/// The secret access key of the one user. It protects nothing: the server is only for loopback.
pub const SECRET_ACCESS_KEY: &str = "forebay-secret";
/// The most connections at once, if there are enough file handles. At the limit, new connections wait to be
/// accepted.
pub const CONNECTIONS_MAX: usize = 512;

/// The server's data directory, clock and random source.
#[derive(Debug)]
pub struct DevS3Settings {
    /// The data directory, which is created if it is missing.
    pub data_dir: PathBuf,
    /// The clock for `LastModified`.
    pub clock: Arc<dyn Clock>,
    /// The random numbers for body names and upload ids.
    pub random: Arc<dyn Random>,
    /// The most connections at once: [`CONNECTIONS_MAX`], or as many as there are file handles for.
    pub connections: usize,
}

/// The key pair of the one user.
#[derive(Clone)]
pub struct KeyPair {
    /// The access key id.
    pub id: String,
    /// The secret access key.
    pub secret: String,
}

debug_fields!(KeyPair { id });

impl KeyPair {
    /// That of the dev server, which everybody knows.
    pub fn of_dev() -> Self {
        Self { id: ACCESS_KEY_ID.to_owned(), secret: SECRET_ACCESS_KEY.to_owned() }
    }
}

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
