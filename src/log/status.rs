//! What a log says about itself and about what waits in it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use super::batches::OpenBatch;
use super::days::DayStage;
use super::ledger_report::{Report, Rows};
use super::seals::PendingSeal;
use super::space::Usage;
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
