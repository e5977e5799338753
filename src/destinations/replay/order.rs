//! What is sent again, and what became of it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::lanes::LaneDied;
use crate::archive::{Archive, ArchiveError};
use crate::destinations::class::Class;
use crate::object::Stream;
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// Which calls are sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayFrom {
    /// Dead letters of the bucket.
    Dlq,
    /// Calls of the archive that were received at this time or later.
    Time(UnixMillis),
    /// The lines of a file.
    File(PathBuf),
}

/// What is sent again.
#[derive(Clone, Debug)]
pub struct ReplayOrder {
    /// Where the calls are.
    pub from: ReplayFrom,
    /// With [`ReplayFrom::Time`]: only calls that were received before.
    pub to: Option<UnixMillis>,
    /// Only calls of this source.
    pub source: Option<SourceId>,
    /// Only dead letters with this cause.
    pub class: Option<String>,
    /// With [`ReplayFrom::Dlq`]: also dead letters that an earlier replay delivered.
    pub again: bool,
    /// The calls are counted, and none is sent.
    pub dry_run: bool,
    /// The new file for calls that fail, if there is one. It is made with the first.
    pub failed: Option<PathBuf>,
}

/// The streams of a source in its bucket.
#[derive(Clone, Debug)]
pub struct Shelf {
    /// The bucket.
    pub archive: Arc<Archive>,
    /// The source.
    pub source: SourceId,
    /// Its streams.
    pub streams: Vec<Stream>,
}

/// Why calls cannot be sent again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A bucket cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The file of calls cannot be read.
    #[error("read {0}")]
    File(PathBuf, #[source] io::Error),
    /// The destination takes no calls of the source that was asked for.
    #[error("{destination} takes no calls of a source {source_id}")]
    NotTaken {
        /// The destination.
        destination: SourceId,
        /// The source.
        source_id: SourceId,
    },
    /// Neither a bucket was named, nor a configuration that has one.
    #[error("no bucket is named")]
    NoBucket,
    /// A bug in Forebay.
    #[error(transparent)]
    Died(#[from] LaneDied),
    /// The functions cannot be invoked, or a line not be unpacked.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// How far a replay is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Objects and files that were read.
    pub objects: u64,
    /// Calls that were sent, or would be.
    pub given: u64,
    /// Calls that functions took.
    pub delivered: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Invocations under way.
    pub in_flight: usize,
    /// Why a function fails now.
    pub failing: Option<Class>,
}

/// What became of the calls.
#[derive(Debug)]
pub struct Sent {
    /// Calls that functions took.
    pub delivered: u64,
    /// Calls that were sent, or would be.
    pub given: u64,
    /// Calls that the destination does not take.
    pub not_taken: u64,
    /// Objects and files that were read.
    pub objects: u64,
    /// Calls that failed: the class, how many, and the first text.
    pub failed: Vec<(Class, u64, String)>,
    /// The file with calls that failed.
    pub failed_file: Option<PathBuf>,
    /// Objects that could not be read, or not to their end.
    pub unreadable: Vec<String>,
    /// Why what was delivered could not be noted.
    pub not_noted: Option<String>,
    /// Where it was stopped.
    pub stopped_in: Option<String>,
}

impl Sent {
    /// Calls that failed.
    pub fn failures(&self) -> u64 {
        self.failed.iter().map(|(_, count, _)| count).sum()
    }
}
