//! What a log keeps of each source, for people.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::Stopped;
use super::located::Located;
use crate::receipt::Receipt;
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// What the log keeps of each source, what waits of it, and where the calls of a receipt are.
pub trait Accounts {
    /// By source: the number of frames that are in no object in the store yet, and when the first of them was
    /// received.
    fn undelivered(&self) -> BTreeMap<SourceId, (u64, UnixMillis)>;

    /// Sources with undelivered frames.
    fn sources(&self) -> Vec<SourceId>;

    /// The sources that the log keeps anything of and that are `wanted`.
    fn known_sources(&self, wanted: &dyn Fn(&SourceId) -> bool) -> BTreeSet<SourceId>;

    /// Forgets each of `sources` that has no undelivered frame and no unclosed day: its buckets, its last
    /// closed days, and its accounts, whose counts [`Removed`](super::Removed) takes over. Returns the
    /// sources that it forgot. A source whose last counts are not noted yet is forgotten by a later call.
    /// Waits for the disk.
    ///
    /// The caller knows that no frame of these sources will come before [`SetLocations::set_locations`] names
    /// them again, and that no second reader needs one.
    ///
    /// [`SetLocations::set_locations`]: super::SetLocations::set_locations
    fn forget(&self, sources: &BTreeSet<SourceId>) -> Result<BTreeSet<SourceId>, Stopped>;

    /// Finds the positions of a receipt of this log. Waits for the disk.
    fn locate(&self, receipt: &Receipt) -> io::Result<Vec<Located>>;
}
