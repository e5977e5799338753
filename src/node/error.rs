//! Why a node cannot start or go on.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::task::JoinError;

use crate::admin_client::TokenError;
use crate::collector::StartError;
#[cfg(feature = "dev")]
use crate::dev_s3::DevS3Error;
use crate::disk::real_disk::DirectoryError;
use crate::import::Unusable;
use crate::import::journal::JournalError;
use crate::log::Stopped;
use crate::spool::OpenError;
use crate::spool::offline::{ResolveError, ViewError};

/// Why a node cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// An address cannot be listened on for a purpose, such as `accept calls`.
    #[error("cannot listen on {0} to {1}: {2}")]
    Listen(SocketAddr, &'static str, io::Error),
    /// The spool is on a file system where a sync does not guarantee durability, and nobody has accepted
    /// that.
    #[error(
        "the spool directory {} is on {}, where a sync does not guarantee durability; use a directory on ext4 or xfs, \
         or set spool.unsafe_filesystem = true and accept that a power cut may lose acknowledged calls",
        .0.display(),
        .1
    )]
    UnsafeFilesystem(PathBuf, String),
    /// The directory of the spool cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// An operation on a directory of dev mode failed.
    #[error("cannot {} {}: {}", .0, .1.display(), .2)]
    DataDir(&'static str, PathBuf, io::Error),
    /// The S3 of dev mode cannot start, or failed.
    #[cfg(feature = "dev")]
    #[error(transparent)]
    DevS3(#[from] DevS3Error),
    /// The spool cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The spool cannot be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// A decision about a sealed object cannot be recorded.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// An import cannot begin.
    #[error(transparent)]
    Import(#[from] Unusable),
    /// There is no usable token for the admin listener of a node.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The journal of imports cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The collector cannot start.
    #[error(transparent)]
    Collector(#[from] StartError),
    /// The log takes no more notes.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// A task panicked, or was cancelled.
    #[error(transparent)]
    Task(#[from] JoinError),
    /// The system refused an operation.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Another reason, in words.
    #[error("{0}")]
    Other(String),
}
