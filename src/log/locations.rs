//! The bucket of each source's frames, by position.

use std::collections::BTreeSet;
use std::fmt;

use super::Stopped;
use crate::object::S3Location;
use crate::sources::SourceId;

/// The buckets of sources. The log records them, so that stored frames keep theirs when the
/// configuration changes.
pub trait Locations: Send + Sync + fmt::Debug {
    /// The bucket of `source`'s frame at `position`, and the first later position that has another.
    fn location(&self, source: &SourceId, position: u64) -> Option<(S3Location, Option<u64>)>;

    /// The bucket of new frames of `source`.
    fn current_location(&self, source: &SourceId) -> Option<S3Location>;

    /// The bucket of new frames of each source.
    fn current_locations(&self) -> Vec<(SourceId, S3Location)>;

    /// Sources whose frames have more than one bucket.
    fn moved_sources(&self) -> BTreeSet<SourceId>;
}

/// Says where frames that come later go.
pub trait SetLocations: Locations {
    /// Records the buckets of frames appended from now on. Call this before the first frame of a source,
    /// and before its first frame with another bucket. The first bucket recorded for a source
    /// applies to all its frames. Returns the sources whose bucket changed.
    fn set_locations(&self, wanted: Vec<(SourceId, S3Location)>) -> Result<Vec<SourceId>, Stopped>;
}
