//! Appends requests to the log, for intake.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use super::hints::Hints;
use super::sending::Sending;
use crate::boxed_future::BoxFuture;
use crate::lock::{read, write};
use crate::log::{
    AccountKey, Append, AppendError, Appended, InLogs, LOCATION_FULL, REQUEST_BYTES_MAX, RequestFrames,
};
use crate::metrics::{Metrics, ReasonLabel};
use crate::partition::receipts::stored_in;
use crate::partition::spread::{partition, parts};
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// Over how many partitions the calls of a source go; one if it is not there.
pub type Spreads = BTreeMap<SourceId, u32>;

/// Appends requests to the log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Appender {
    pub(super) sending: Arc<Sending>,
    pub(super) hints: Arc<Hints>,
    pub(super) spreads: Arc<RwLock<Spreads>>,
    pub(super) metrics: Metrics,
}

impl Appender {
    /// Changes over how many partitions the calls of sources go. Until all collectors know it, repeats of calls
    /// from before may be stored, and the order of a source is not kept.
    pub fn set_spreads(&self, spreads: Spreads) {
        *write(&self.spreads) = spreads;
    }

    /// Over how many partitions the calls of a source go.
    fn spread(&self, source: &SourceId) -> u32 {
        read(&self.spreads).get(source).copied().unwrap_or(1)
    }

    /// Whether owners refuse a source, or a partition that its calls go to.
    pub(super) fn refuses(&self, source: &SourceId) -> bool {
        let spread = self.spread(source);
        let partitions = self.hints.partitions();
        self.hints.refuses(source, (0..spread.max(1)).map(|slot| partition(source, slot, partitions)))
    }

    async fn store(&self, frames: RequestFrames) -> Result<Appended, AppendError> {
        if frames.bytes().len() > REQUEST_BYTES_MAX || frames.has_oversize() {
            return Err(AppendError::TooLarge);
        }
        // Importers reach a collector as remote: it knows no imports, and no rows.
        if frames.import.is_some() || !frames.only_if_new.is_empty() {
            return Err(AppendError::OtherRow { next: None });
        }
        if frames.is_empty() {
            return Ok(Appended::default());
        }
        let partitions = self.hints.partitions();
        if partitions == 0 {
            self.sending.refused();
            return Err(AppendError::NoBroker);
        }
        let spread = self.spread(frames.source());
        let account = AccountKey::new(frames.source().clone(), frames.stream());
        let parts = parts(frames, spread, partitions);
        if self.hints.refuses(&account.source, parts.iter().map(|(partition, _)| *partition)) {
            self.sending.refused();
            let label = ReasonLabel { source: account.source.to_string(), reason: LOCATION_FULL };
            self.metrics.refused.get_or_create(&label).inc();
            return Err(AppendError::LocationFull);
        }
        let stored = parts.iter().fold(0_u32, |sum, (_, part)| sum.saturating_add(part.frames));
        let outcome = self.sending.offer(account, parts)?;
        // Without an outcome the process ends, and any of the parts may be on its way.
        let places = outcome.await.ok().flatten().ok_or(AppendError::Unknown)?;
        let stored_in =
            self.hints.log_id().map_or_else(InLogs::default, |log_id| stored_in(&log_id, &places));
        // Which of them are repeats, the writers find out.
        Ok(Appended { stored, repeats: 0, stored_in, import: None })
    }
}

impl Append for Appender {
    /// Owners end days, and a call that comes too late for its day is stored in the next one.
    fn not_before(&self) -> UnixMillis {
        UnixMillis(i64::MIN)
    }

    fn append(&self, frames: RequestFrames) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(self.store(frames))
    }
}
