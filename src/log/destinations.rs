//! The bucket of each source's frames, by position.

use std::collections::BTreeSet;

use super::Stopped;
use crate::object::Destination;
use crate::sources::SourceId;

/// The buckets of sources. The log records them, so that stored frames keep theirs when the
/// configuration changes.
pub trait Destinations {
    /// The bucket of `source`'s frame at `position`, and the first later position that has another.
    fn destination(&self, source: &SourceId, position: u64) -> Option<(Destination, Option<u64>)>;

    /// The bucket of new frames of `source`.
    fn current_destination(&self, source: &SourceId) -> Option<Destination>;

    /// The bucket of new frames of each source.
    fn current_destinations(&self) -> Vec<(SourceId, Destination)>;

    /// Records the buckets of frames appended from now on. Call this before the first frame of a source,
    /// and before its first frame with another bucket. The first bucket recorded for a source
    /// applies to all its frames. Returns the sources whose bucket changed.
    ///
    /// # Errors
    /// [`Stopped`].
    fn set_destinations(&self, wanted: Vec<(SourceId, Destination)>) -> Result<Vec<SourceId>, Stopped>;

    /// Sources whose frames have more than one bucket.
    fn moved_sources(&self) -> BTreeSet<SourceId>;
}
