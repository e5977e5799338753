//! What the rest of the process shows of deliveries, the archive and imports.

use std::fmt;
use std::time::Duration;

use super::archive::{ArchiveDays, ArchiveObjects, Peek};
use super::deliveries::Deliveries;
use super::destinations::AllDestinations;
use super::found::{AskedCalls, Found};
use super::imports::Imports;
use crate::boxed_future::BoxFuture;
use crate::object::{ObjectKey, Stream};
use crate::sources::SourceId;
use crate::time::{ReceivedDay, UnixMillis};

/// Deliveries, days, objects and imports, for people. Every answer is bounded; [`NotShown`] says why there is
/// none.
pub trait ArchiveView: Send + Sync + fmt::Debug {
    /// Pending objects, and at most `limit` objects delivered before `before`, of one source or of all.
    fn deliveries(
        &self,
        source: Option<SourceId>,
        before: UnixMillis,
        limit: usize,
    ) -> BoxFuture<'_, Result<Deliveries, NotShown>>;

    /// The days of one source or of all.
    fn days(&self, source: Option<SourceId>) -> BoxFuture<'_, Result<ArchiveDays, NotShown>>;

    /// Objects of a day.
    fn objects(&self, asked: AskedObjects) -> BoxFuture<'_, Result<ArchiveObjects, NotShown>>;

    /// The first lines of an object of a source.
    fn peek(&self, source: SourceId, key: ObjectKey) -> BoxFuture<'_, Result<Peek, NotShown>>;

    /// The same destinations, with how many of their dead letters were sent again, as far as the buckets say. What
    /// was read of the buckets within `fresh` is not read again. Cancel-safe.
    fn sent_again(&self, all: AllDestinations, fresh: Duration) -> BoxFuture<'_, AllDestinations>;

    /// Finds calls in what is recent.
    fn find(&self, asked: AskedCalls) -> BoxFuture<'_, Result<Found, NotShown>>;

    /// Imports, the newest first.
    fn imports(&self, asked: AskedImports) -> BoxFuture<'_, Result<Imports, NotShown>>;
}

/// Which imports to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedImports {
    /// At most so many.
    pub limit: usize,
    /// Only files of the import of a bucket with this name.
    pub import: Option<SourceId>,
    /// Only those in this state.
    pub only: Option<ImportStateName>,
}

closed_list! {
    /// The state of an import.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum ImportStateName by slug and of {
        /// It is under way.
        Running = "running",
        /// It was stopped, and can go on.
        Stopped = "stopped",
        /// All rows of the file are imported.
        Done = "done",
        /// It failed, and is retried.
        Failed = "failed",
        /// It failed too often.
        GivenUp = "given_up",
        /// Its object was replaced after rows of it were stored, and the new one is not imported.
        Changed = "changed",
        /// Its object was replaced before its end, and the new one is imported as another file.
        Replaced = "replaced",
        /// Its object is gone, and rows of it are stored.
        Gone = "gone",
        /// It belongs to another instance.
        Claimed = "claimed",
    }
}

/// Which objects to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedObjects {
    /// The source.
    pub source: SourceId,
    /// The received-day.
    pub day: ReceivedDay,
    /// The stream.
    pub stream: Stream,
    /// Whether to ask the bucket, instead of the list of deliveries.
    pub from_bucket: bool,
    /// The last key of the previous page.
    pub after: Option<ObjectKey>,
}

/// Why something is not shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotShown {
    /// The source is unknown, or it is not known where its objects are.
    #[error("there is no source {0}")]
    UnknownSource(SourceId),
    /// The key is not one of an object of the source.
    #[error("{0}")]
    BadKey(String),
    /// The configuration shows nobody what calls contain.
    #[error("admin.live_view is off: what calls contain is not shown")]
    Off,
    /// There is no such object.
    #[error("there is no object {0}")]
    NoObject(ObjectKey),
    /// Too many requests to stores are under way.
    #[error("the node has too many requests to its stores under way; retry in a few seconds")]
    Busy,
    /// Another search is under way.
    #[error("the node looks for calls of somebody else; retry in a few seconds")]
    Searching,
    /// The store did not answer in time.
    #[error("the store did not answer within {0} seconds")]
    Slow(u64),
    /// The store failed.
    #[error("the store: {0}")]
    Store(String),
    /// This process failed.
    #[error("{0}")]
    Internal(String),
}
