//! Appending to a log.

use std::fmt;

use super::imports::ImportProgress;
use super::in_logs::InLogs;
use super::request_frames::RequestFrames;
use crate::boxed_future::BoxFuture;
use crate::object::stream::NAMED_STREAMS_MAX;
use crate::time::UnixMillis;

/// Stores the frames of requests.
pub trait Append: Send + Sync + fmt::Debug {
    /// The earliest `receivedAt` that is accepted: the first instant after the days that have ended.
    fn not_before(&self) -> UnixMillis;

    /// Stores the frames of one request and waits until they are durable.
    ///
    /// `Ok` means that every frame is on stable storage. Dropping the future does not withdraw frames that
    /// are already queued: they may still be stored.
    /// Errors: [`AppendError`]: no frame of the request has been stored, or will be. After
    /// [`AppendError::Unknown`], any of them may be stored, now or later.
    fn append(&self, frames: RequestFrames) -> BoxFuture<'_, Result<Appended, AppendError>>;
}

/// Maximum number of bytes of all frames of one request. Longer ones get [`AppendError::TooLarge`].
pub const REQUEST_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// The error code of [`AppendError::Full`].
pub const SPOOL_FULL: &str = "spool_full";
/// The error code of [`AppendError::LocationFull`].
pub const LOCATION_FULL: &str = "destination_full";
/// The error code of [`AppendError::Unknown`].
pub const OUTCOME_UNKNOWN: &str = "outcome_unknown";
/// The outcome of a request, all of whose frames are now on stable storage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Number of frames stored, of calls and of rejected items.
    pub stored: u32,
    /// Number of calls that repeat calls already on stable storage.
    pub repeats: u32,
    /// Where they are. Empty if none was stored, or if the log does not yet know its id: the request has no
    /// receipt then.
    pub stored_in: InLogs,
    /// The file's progress, if the request was a step of an import.
    pub import: Option<Box<ImportProgress>>,
}

/// Why a request is not acknowledged. None of its frames is stored, except perhaps after
/// [`AppendError::Unknown`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The lines are longer than one block of the spool: 400, because they will never fit.
    #[error("the request's lines are longer than one block of the spool")]
    TooLarge,
    /// The queue of writes to the disk stayed full for the maximum wait: 503.
    #[error("the queue of writes is full")]
    Busy,
    /// No broker has said yet how many partitions the log has: 503. Only a collector in front of Kafka has brokers.
    #[error("no broker has said yet where calls go")]
    NoBroker,
    /// There is no space: the disk is full, or the spool's cap is reached: 503.
    #[error("the spool is full")]
    Full,
    /// The source's bucket fails, and calls waiting for it have used its share of the spool: 503, only
    /// for the sources of that bucket.
    #[error("the bucket of this source accepts no objects, and its share of the spool is used up")]
    LocationFull,
    /// The day of its `receivedAt` ended while the request waited: 503. A retry gets a new `receivedAt`.
    #[error("the day on which the request was received has ended")]
    DayOver,
    /// The request is a step of an import, and its first row is not the file's next row: another importer
    /// stored these rows, or an earlier attempt did.
    #[error("these rows are not the next ones of their file")]
    OtherRow {
        /// The file's next row. `None` if the log does not know the import.
        next: Option<u64>,
    },
    /// The request is the first with objects of its collection, and the spool has its largest number of
    /// collections ([`NAMED_STREAMS_MAX`](crate::object::stream::NAMED_STREAMS_MAX)): 400. Decided by
    /// [`NewStreams`](super::NewStreams).
    #[error(
        "the spool has the largest number of collections, {NAMED_STREAMS_MAX}, and this one would be new"
    )]
    TooManyStreams,
    /// An item repeats a call that is stored, and must not: see
    /// [`RequestFrames::only_if_new`](super::RequestFrames::only_if_new). Only imports ask for that.
    #[error("another call has the id of a call")]
    Known {
        /// The first such item of the request, from 0.
        item: u32,
    },
    /// The frames may be stored, or not, or be stored later: a write or sync of them failed, or its answer
    /// did not come:
    /// 503. A retry is safe: what is stored then is a repeat, or a step whose rows are not the next ones.
    #[error("it is not known whether the calls are stored; send them again")]
    Unknown,
    /// The spool has stopped: an earlier write or sync failed, or the process is shutting down: 503.
    #[error("the spool has stopped")]
    Stopped,
}
