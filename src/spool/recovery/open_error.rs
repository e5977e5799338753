//! Why a spool cannot be opened.

use std::io;

use crate::spool::format::ident::IdentError;
use crate::spool::manifest::ManifestError;
use crate::words::counted;

/// Why a spool cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk reported an error.
    #[error("open the spool: {0}")]
    Disk(&'static str, #[source] io::Error),
    /// The spool's identity cannot be read.
    #[error(transparent)]
    Ident(#[from] IdentError),
    /// The spool's manifest cannot be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A newer release wrote a segment.
    #[error(
        "segment {0} was written by a newer release (format {1}); start that release, or drain \
         the spool with it first"
    )]
    Newer(u64, u16),
    /// Damage was found, and the configuration says to stop.
    #[error(
        "the spool has lost {} (the first lost positions are {first} to {last}), so it is not opened with \
         `spool.on_corruption = \"stop\"`; `forebay spool verify SPOOL` lists the damage",
        counted(*.count, "frame", "frames")
    )]
    Damaged {
        /// The first position lost.
        first: u64,
        /// The last position of that range.
        last: u64,
        /// The number of frames lost in total.
        count: u64,
    },
    /// The spool stopped while it was being opened.
    #[error("the spool stopped while it was being opened; the log states the reason")]
    Stopped,
}

/// The error of a step that failed.
pub(super) fn failed(what: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    move |cause| OpenError::Disk(what, cause)
}
