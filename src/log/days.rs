//! Received-days that are not closed.

use super::Stopped;
use super::seals::Seal;
use crate::object::{BucketString, ClosedMarker, S3Location};
use crate::sources::SourceId;
use crate::time::{ReceivedDay, UnixMillis};

/// Ending days and closing them, and steps of the clock that ends them.
pub trait Days {
    /// Ends the days through `through` durably: no further call is stored on them. A log that others write
    /// notes the position at which they end, and stores late calls as of the day after. Does nothing if they
    /// have ended.
    fn end_days(&self, through: ReceivedDay) -> Result<(), Stopped>;

    /// Records a step of the wall clock.
    fn note_clock(&self, from: UnixMillis, to: UnixMillis) -> Result<(), Stopped>;

    /// For each day that is not closed, the source and the bucket of its newest object.
    fn day_locations(&self) -> Vec<(SourceId, S3Location)>;

    /// Days that have ended, whose objects are all in the store, and which `wanted` accepts. The log is read
    /// to the position at which such a day ended: no call of it can come any more.
    fn closable(&self, wanted: &mut dyn FnMut(&DayInBucket, &S3Location) -> bool) -> Vec<Closable>;

    /// Records durably that a day's marker is in the store and its hook has been called.
    fn closed(&self, place: &DayInBucket) -> Result<(), Stopped>;
}

/// A day in a bucket string. If the bucket string of a source changes during a day, the day has two places.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct DayInBucket {
    /// The source.
    pub source: SourceId,
    /// The received-day.
    pub day: ReceivedDay,
    /// Bucket and prefix.
    pub bucket: BucketString,
}

impl DayInBucket {
    /// The day that a sealed object belongs to.
    pub fn of(seal: &Seal) -> Self {
        let (source, day) = (seal.batch.source.clone(), seal.batch.day);
        Self { source, day, bucket: seal.location.bucket.clone() }
    }
}

closed_list! {
    /// The stage of a day that has calls in the spool, or objects, and is not closed.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub enum DayStage by slug {
        /// Calls may still be added to it, or stand in a part of the log that is not read yet.
        Open = "open",
        /// It is over, and some of it is not in the store.
        Delivering = "delivering",
        /// All of it is in the store except its marker.
        Closing = "closing",
        /// It is uncertain what the store has of it: notes of the manifest were lost, calls were lost before
        /// they were put, or a person decided about one of its objects. It is never closed.
        Unsure = "unsure",
    }
}

/// A day whose objects are all in the store, but not its marker.
#[derive(Clone, Debug)]
pub struct Closable {
    /// The source, day and bucket string.
    pub place: DayInBucket,
    /// The bucket of its marker.
    pub location: S3Location,
    /// The marker.
    pub marker: ClosedMarker,
}
