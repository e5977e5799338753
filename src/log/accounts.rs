//! What a log reports about itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use tokio::sync::watch;

use super::Stopped;
use super::ledger_report::{Report, Rows};
use super::located::Located;
use crate::receipt::Receipt;
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// Identity, health, the ledger, and undelivered frames.
pub trait Accounts {
    /// The log's id, as receipts and object names contain it: 32 hexadecimal digits.
    fn spool_id(&self) -> String;

    /// The node id, as object names contain it.
    fn node(&self) -> String;

    /// Holds the reason once the log has stopped.
    fn stopped(&self) -> watch::Receiver<Option<Arc<str>>>;

    /// Records a step of the wall clock.
    ///
    /// # Errors
    /// [`Stopped`].
    fn note_clock(&self, from: UnixMillis, to: UnixMillis) -> Result<(), Stopped>;

    /// The ledger's differences and the rows that are wanted, at one instant.
    fn ledger(&self, rows: Rows<'_>) -> Report;

    /// By source: the number of frames that are in no object in the store yet, and when the first of them was
    /// received.
    fn undelivered(&self) -> BTreeMap<SourceId, (u64, UnixMillis)>;

    /// When the oldest frame that is in no object in the store yet was received. Parked objects count as
    /// undelivered.
    fn oldest_undelivered(&self) -> Option<UnixMillis>;

    /// Sources with undelivered frames.
    fn sources(&self) -> Vec<SourceId>;

    /// The sources that the log keeps anything of and that are `wanted`.
    fn known_sources(&self, wanted: &dyn Fn(&SourceId) -> bool) -> BTreeSet<SourceId>;

    /// Forgets each of `sources` that has no undelivered frame and no unclosed day: its buckets, its last
    /// closed days, and its accounts, whose counts [`Removed`](super::Removed) takes over. Returns the
    /// sources that it forgot. A source whose last counts are not noted yet is forgotten by a later call.
    /// Waits for the disk.
    ///
    /// The caller knows that no frame of these sources will come before [`Locations::set_locations`] names
    /// them again, and that no second reader needs one.
    ///
    /// [`Locations::set_locations`]: super::Locations::set_locations
    ///
    /// # Errors
    /// [`Stopped`].
    fn forget(&self, sources: &BTreeSet<SourceId>) -> Result<BTreeSet<SourceId>, Stopped>;

    /// Finds the positions of a receipt of this log. Waits for the disk.
    ///
    /// # Errors
    /// The disk's error.
    fn locate(&self, receipt: &Receipt) -> io::Result<Vec<Located>>;
}
