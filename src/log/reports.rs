//! What a log reports: about itself, about what waits in it, and about each source and its bucket.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::Arc;

use tokio::sync::watch;

use super::Stopped;
use super::batches::OpenBatch;
use super::days::DayStage;
use super::ledger_report::{Report, Rows};
use super::seals::PendingSeal;
use super::space::Usage;
use crate::object::S3Location;
use crate::receipt::Receipt;
use crate::sources::SourceId;
use crate::time::{ReceivedDay, UnixMillis};

/// Identity, health, and what waits for the store. No method changes the log, so reports hold this trait as
/// well as delivery.
pub trait Status: Send + Sync + fmt::Debug {
    /// The log's id, as receipts and object names contain it: 32 hexadecimal digits.
    fn spool_id(&self) -> String;

    /// The node id, as object names contain it.
    fn node(&self) -> String;

    /// Holds the reason once the log has stopped.
    fn stopped(&self) -> watch::Receiver<Option<Arc<str>>>;

    /// How much space is used.
    fn usage(&self) -> Usage;

    /// The ledger's differences and the rows that are wanted, at one instant.
    fn ledger(&self, rows: Rows<'_>) -> Report;

    /// When the oldest frame that is in no object in the store yet was received. Parked objects count as
    /// undelivered.
    fn oldest_undelivered(&self) -> Option<UnixMillis>;

    /// Every batch with unsealed frames, sorted by key.
    fn open_batches(&self) -> Vec<OpenBatch>;

    /// Passes each seal whose object is not known to be in the store to `visit`, oldest first. `visit` must
    /// not call the log, which may be locked meanwhile.
    fn each_pending_seal(&self, visit: &mut dyn FnMut(&PendingSeal));

    /// The last day that has ended.
    fn days_over(&self) -> Option<ReceivedDay>;

    /// The days that are not closed, by source, and their stages. Days with calls but no object yet are
    /// included.
    fn unclosed_days(&self) -> BTreeMap<(ReceivedDay, SourceId), DayStage>;
}

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

/// Consecutive positions with the same standing.
#[derive(Clone, Debug)]
pub struct Located {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// Why they were rejected; `None` for calls.
    pub reason: Option<String>,
    /// Where they are.
    pub standing: Standing,
}

/// Where a position is.
#[derive(Clone, Debug)]
pub enum Standing {
    /// In a batch, and in no object yet.
    Open(OpenBatch),
    /// In the object of one of these seals, which is not known to be in the store. There is one seal, unless
    /// a parked object of calls and one of rejected items both span the position.
    Sealed(Vec<PendingSeal>),
    /// It can no longer be read.
    Lost,
    /// The spool has not reached this position.
    NotGiven,
    /// It is not in the spool: it was delivered, or does not belong to this source and day.
    NotHere,
}
