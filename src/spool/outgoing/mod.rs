//! The spool as a [`Log`](crate::log::Log): what delivery reads, and the notes that record its progress.
//!
//! Order O2: a seal is synced before the first byte of its object is uploaded. Order O3: the store's success
//! is verified before the commit is synced, and a segment is released only after that.

mod batches;
mod days;
mod imports;
mod reports;
mod seals;
mod space;

use std::sync::Arc;

use crate::batch::BatchKey;
use crate::spool::shared::Shared;

pub(crate) use space::CALLS_PERCENT_MIN;

/// An open spool, as delivery and status see it. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::spool) struct SpoolLog {
    pub(in crate::spool) shared: Arc<Shared>,
}

fn log_lost(batch: &BatchKey, frames: u64) {
    if frames > 0 {
        tracing::error!(
            %batch,
            frames,
            "stored lines of this batch can no longer be read; the ledger counts them as lost"
        );
    }
}
