//! Where the position of a receipt is.

use super::batches::OpenBatch;
use super::seals::PendingSeal;

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
